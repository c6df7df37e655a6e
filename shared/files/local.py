"""A folder of this machine."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.errors import FolderError, StorageUnavailableError

_UNFINISHED = ".unfinished-"
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS)
_REFUSED = (PermissionError, NotADirectoryError, IsADirectoryError, FileExistsError)


class LocalFolder:
    """The `Folder` at a path; made by the first write.

    Args:
      path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, name: str, content: bytes) -> None:
        """As `Folder.write`: under another name first, then renamed. When it returns, the file is on the disk."""
        with _errors(), self._unfinished(content) as unfinished:
            unfinished.replace(self._path / name)
            self._flush()

    def create(self, name: str, content: bytes) -> bool:
        """As `Folder.create`: by a second name for a finished file, which unlike renaming replaces nothing."""
        with _errors(), self._unfinished(content) as unfinished:
            try:
                (self._path / name).hardlink_to(unfinished)
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno in _NO_LINKS:
                    raise FolderError("the folder cannot be used: its file system has no hard links") from error
                raise
            self._flush()
            return True

    def read(self, name: str) -> bytes | None:
        """As `Folder.read`."""
        with _errors():
            try:
                return (self._path / name).read_bytes()
            except FileNotFoundError:
                return None

    def names(self) -> list[str]:
        """As `Folder.names`."""
        with _errors():
            if not self._path.exists():
                return []
            found = (path.name for path in self._path.iterdir() if path.is_file())
            return sorted(name for name in found if not name.startswith(_UNFINISHED))

    @contextmanager
    def _unfinished(self, content: bytes) -> Iterator[Path]:
        """A file with that content, on the disk under a name of its own; gone afterwards, unless it was renamed."""
        self._path.mkdir(parents=True, exist_ok=True)
        unfinished = self._path / f"{_UNFINISHED}{secrets.token_hex(8)}"
        try:
            with unfinished.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            yield unfinished
        finally:
            unfinished.unlink(missing_ok=True)

    def _flush(self) -> None:
        """Puts the names on the disk, too."""
        folder = os.open(self._path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except _REFUSED as error:
        raise FolderError(f"the folder cannot be used: {error.strerror}") from error
    except OSError as error:
        raise StorageUnavailableError(f"a file cannot be read or written: {error.strerror}") from error
