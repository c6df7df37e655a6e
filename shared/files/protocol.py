"""The protocol of a folder of files."""

from __future__ import annotations

from typing import Protocol


class Folder(Protocol):
    """A folder, here or in a bucket. May be used by many threads and processes.

    Where it cannot be reached, methods raise `StorageUnavailableError`; where it refuses, `FolderError`.
    """

    def write(self, name: str, content: bytes) -> None:
        """Puts a file, in place of one of that name: readers see it whole or not at all."""

    def create(self, name: str, content: bytes) -> bool:
        """Puts a file unless there is one of that name; whether it did. Of several at once one does."""

    def read(self, name: str) -> bytes | None:
        """What is in a file; None if there is none."""

    def names(self) -> list[str]:
        """The names of its files, in alphabetical order; none if there is no such folder yet."""
