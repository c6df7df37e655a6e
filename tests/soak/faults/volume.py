"""Files of the volume that are damaged."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

from tests.soak.faults.base import Fault
from tests.soak.site import Site

_UNREADABLE = (
    "cannot be read just now",
    "is damaged",
    "process died",
    "without an answer",
    "50[03]",
    "ConnectionError",
)


class DamagedFiles(Fault):
    """Files that are cut off, have flipped bits, or are no gzip: a checksum tells."""

    name = "damaged-files"
    longest_s = 8.0
    explains = _UNREADABLE
    share = 0.05

    def __init__(self) -> None:
        self._damaged: list[Path] = []

    def inject(self, site: Site, chance: random.Random) -> str:
        files = site.world.voxel_files
        for file in chance.sample(files, max(1, int(len(files) * self.share * chance.random()))):
            beside = file.with_name(f".{file.name}.damaged")
            beside.write_bytes(self.damaged(file.read_bytes(), chance))
            beside.replace(file)
            self._damaged.append(file)
        return f"{len(self._damaged)} files"

    def damaged(self, content: bytes, chance: random.Random) -> bytes:
        """The content of a file, damaged."""
        match chance.randrange(3):
            case 0:
                return content[: chance.randrange(1, len(content))]
            case 1:
                place = chance.randrange(10, len(content))
                return content[:place] + bytes([content[place] ^ 1 << chance.randrange(8)]) + content[place + 1 :]
            case _:
                return chance.randbytes(len(content))

    def mend(self, site: Site) -> None:
        while self._damaged:
            site.world.mend(self._damaged.pop())


class NoiseInFiles(DamagedFiles):
    """Noise, well packed: nothing tells but what the blocks point to."""

    name = "noise-in-files"

    def damaged(self, content: bytes, chance: random.Random) -> bytes:
        """See `DamagedFiles.damaged`."""
        return gzip.compress(chance.randbytes(5000))


class LastingNoise(NoiseInFiles):
    """As `NoiseInFiles`, but there until an ingest has ended: its chunks fail, and succeed when tried again."""

    name = "lasting-noise"
    longest_s = 1.0
    share = 0.01  # each of its chunks is tried several times before it is given up

    def inject(self, site: Site, chance: random.Random) -> str:
        """See `Fault.inject`."""
        done = super().inject(site, chance)
        site.lasting_damage |= set(self._damaged)
        return done

    def mend(self, site: Site) -> None:
        """Leaves it to `Site.mend_lasting_damage`."""
        self._damaged.clear()
