"""Folders of exports in the memory of a simulation; of the files of rows only their names are there."""

from __future__ import annotations

from dataclasses import dataclass, field

from shared.files.open import Folders
from shared.files.protocol import Folder

EXPORTS = "gs://simulated"


class MemoryFolder:
    """A `Folder` in memory."""

    def __init__(self) -> None:
        self._files: dict[str, bytes] = {}

    def write(self, name: str, content: bytes) -> None:
        """As `Folder.write`."""
        self._files[name] = content

    def create(self, name: str, content: bytes) -> bool:
        """As `Folder.create`."""
        return self._files.setdefault(name, content) is content

    def read(self, name: str) -> bytes | None:
        """As `Folder.read`."""
        return self._files.get(name)

    def names(self) -> list[str]:
        """As `Folder.names`."""
        return sorted(self._files)


@dataclass(frozen=True)
class MemoryFolders(Folders):
    """Folders below `EXPORTS`, each empty at first.

    Attributes:
      opened: those that were opened, by address.
    """

    allowed: tuple[str, ...] = (EXPORTS,)
    opened: dict[str, MemoryFolder] = field(default_factory=dict)

    def open(self, address: str) -> Folder:
        """As `Folders.open`."""
        return self.opened.setdefault(self.check(address), MemoryFolder())
