"""The folders that the settings allow."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

from shared.errors import BadRequestError, ConfigurationError
from shared.files.protocol import Folder

_BUCKET = re.compile(r"[a-z0-9][-_.a-z0-9]{1,220}[a-z0-9]")
_LONGEST = 1000


@dataclass(frozen=True)
class Folders:
    """Opens folders by their addresses, `file:///FOLDER` or `gs://BUCKET/FOLDER`.

    Attributes:
      allowed: addresses of the folders below which they have to be; none for none at all.
    """

    allowed: tuple[str, ...] = ()

    @classmethod
    def below(cls, addresses: str) -> Folders:
        """The folders below some addresses, which are separated by spaces.

        Raises:
          ConfigurationError: if one of them is no address.
        """
        allowed = []
        for address in addresses.split():
            try:
                allowed.append(checked_address(address))
            except BadRequestError as error:
                raise ConfigurationError(f"L2CACHE_EXPORTS: {error}") from error
        return cls(tuple(allowed))

    def check(self, address: str) -> str:
        """An address in its plain form.

        Raises:
          BadRequestError: if it is none, or of a folder that is not allowed.
        """
        plain = checked_address(address)
        if not any(plain == one or plain.startswith(one.rstrip("/") + "/") for one in self.allowed):
            where = f"below {' or '.join(self.allowed)}" if self.allowed else "nowhere: L2CACHE_EXPORTS names no folder"
            raise BadRequestError(f"exports are allowed {where}")
        return plain

    def open(self, address: str) -> Folder:
        """The folder at an address.

        Raises:
          BadRequestError: if it is none, or of a folder that is not allowed.
        """
        return _open(self.check(address))


def checked_address(address: str) -> str:
    """An address of a folder in its plain form: no empty parts, no slash at the end.

    Raises:
      BadRequestError: if it is none.
    """
    scheme, separator, rest = address.partition("://")
    parts = rest.split("/")
    wrong = any(part in (".", "..") for part in parts) or not rest.isprintable() or len(address) > _LONGEST
    is_file = scheme == "file" and rest.startswith("/")
    is_bucket = scheme == "gs" and _BUCKET.fullmatch(parts[0]) is not None
    if not separator or wrong or not (is_file or is_bucket):
        raise BadRequestError("the folder of an export must be file:///FOLDER or gs://BUCKET/FOLDER")
    plain = "/".join(part for part in parts if part)
    return f"{scheme}:///{plain}" if is_file else f"{scheme}://{plain}"


@lru_cache(maxsize=16)
def _open(address: str) -> Folder:
    opener: dict[str, Callable[[str], Folder]] = {"file": _open_local, "gs": _open_bucket}
    scheme, _, rest = address.partition("://")
    return opener[scheme](rest)


def _open_local(path: str) -> Folder:
    from shared.files.local import LocalFolder

    return LocalFolder(Path(PurePosixPath(path)))


def _open_bucket(rest: str) -> Folder:
    from shared.files.cloud_storage import CloudStorageFolder

    bucket, _, prefix = rest.partition("/")
    return CloudStorageFolder(bucket, prefix)
