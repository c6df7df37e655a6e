"""A folder in a bucket of Google Cloud Storage, through its JSON API.

The few requests that are needed go over the session of google-auth, which the functions have for Bigtable and Cloud
Tasks: a client of its own would be one more library in three packages.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from shared.errors import FolderError, StorageUnavailableError
from shared.google.retry import transient_retry
from shared.once import Once

if TYPE_CHECKING:
    from requests import Response, Session

_SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
_EMULATOR = "STORAGE_EMULATOR_HOST"
"""As Google's own clients name it: the address of an emulator, which wants no credentials."""

_TIMEOUT_S = 60.0
_PATIENCE_S = 180.0
_MISSING, _TOO_MANY, _TIMED_OUT, _IS_THERE = 404, 429, 408, 412


class CloudStorageFolder:
    """The `Folder` below a prefix of a bucket. Nothing is asked for before the first use.

    An object is put whole by one request. Doing that again puts the same object, or leaves the one that is there.

    Args:
      bucket: the bucket.
      prefix: what the names of its objects begin with, without a slash at the end; empty for the whole bucket.
    """

    def __init__(self, bucket: str, prefix: str) -> None:
        self._bucket, self._prefix = bucket, f"{prefix}/" if prefix else ""
        self._host = os.environ.get(_EMULATOR, "https://storage.googleapis.com").rstrip("/")
        self._session = Once(_open_session)

    def write(self, name: str, content: bytes) -> None:
        """As `Folder.write`."""
        self._put(name, content)

    def create(self, name: str, content: bytes) -> bool:
        """As `Folder.create`; False also if a first try has put it whose answer did not come."""
        return self._put(name, content, ifGenerationMatch="0").status_code != _IS_THERE

    def _put(self, name: str, content: bytes, **conditions: str) -> Response:
        path = f"/upload/storage/v1/b/{self._bucket}/o"
        query = {"uploadType": "media", "name": self._prefix + name, **conditions}
        headers = {"Content-Type": "application/octet-stream"}
        response = self._ask("POST", path, query, data=content, headers=headers)
        if response.status_code == _MISSING:
            raise FolderError("there is no such bucket, or it may not be seen")
        return response

    def read(self, name: str) -> bytes | None:
        """As `Folder.read`."""
        path = f"/storage/v1/b/{self._bucket}/o/{quote(self._prefix + name, safe='')}"
        response = self._ask("GET", path, {"alt": "media"})
        return None if response.status_code == _MISSING else response.content

    def names(self) -> list[str]:
        """As `Folder.names`."""
        found: list[str] = []
        query = {"prefix": self._prefix, "delimiter": "/", "fields": "items/name,nextPageToken"}
        while True:
            response = self._ask("GET", f"/storage/v1/b/{self._bucket}/o", query)
            if response.status_code == _MISSING:
                raise FolderError("there is no such bucket, or it may not be seen")
            page = response.json()
            found += [item["name"].removeprefix(self._prefix) for item in page.get("items", ())]
            if "nextPageToken" not in page:
                return sorted(filter(None, found))
            query = {**query, "pageToken": page["nextPageToken"]}

    def _ask(self, method: str, path: str, query: dict[str, str], **arguments: Any) -> Response:
        """The answer to a request, which succeeded, found nothing, or found what it was not to find.

        Raises:
          StorageUnavailableError: if it does not succeed for some minutes.
          FolderError: if it is refused.
        """
        from google.api_core.exceptions import ClientError, RetryError, ServiceUnavailable
        from google.auth.exceptions import GoogleAuthError
        from requests import RequestException

        def attempt() -> Response:
            try:
                response = self._session().request(
                    method, self._host + path, params=query, timeout=_TIMEOUT_S, **arguments
                )
            except (RequestException, GoogleAuthError) as error:
                raise ServiceUnavailable(f"Cloud Storage does not answer: {type(error).__name__}") from error
            status = response.status_code
            if status >= 500 or status in (_TOO_MANY, _TIMED_OUT):
                raise ServiceUnavailable(f"Cloud Storage answers {status}")
            if not response.ok and status not in (_MISSING, _IS_THERE):
                raise ClientError(f"Cloud Storage refuses the bucket with {status}")
            return response

        try:
            return transient_retry(_PATIENCE_S)(attempt)()
        except (ServiceUnavailable, RetryError) as error:
            raise StorageUnavailableError(error.message) from error
        except ClientError as error:
            raise FolderError(error.message) from error


def _open_session() -> Session:
    if os.environ.get(_EMULATOR):
        import requests

        return requests.Session()
    import google.auth
    from google.auth.transport.requests import AuthorizedSession

    credentials, _ = google.auth.default(scopes=[_SCOPE])
    session: Session = AuthorizedSession(credentials)
    return session
