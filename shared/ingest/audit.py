"""What an audit run is told beside its chunks, which rows it verifies, and what it counts."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np

from shared.documents.json_object import whole_field
from shared.errors import BadRequestError
from shared.ingest.run import Run
from shared.types import UInt64Array

COUNTED = (
    "l2_ids",
    "rows",
    "empty",
    "missing",
    "of_other_moments",
    "orphaned",
    "repaired",
    "verified",
    "differing",
)
"""Names of an audit's counts, in the order in which they are answered."""

DIFFERING_IN = "differing/"
"""Beginning of the names of further counts: in which attributes rows differ."""

_MOST = 2**53


@dataclass(frozen=True)
class AuditOptions:
    """What an audit does beside counting.

    Attributes:
      repair: whether missing rows are computed.
      verify: about how many rows are computed anew and compared.
      rows: how many rows there are about, which makes a share of `verify`.
    """

    repair: bool = False
    verify: int = 0
    rows: int = 0

    @classmethod
    def of(cls, run: Run) -> AuditOptions:
        """The options of a run.

        Raises:
          BadRequestError: if it has none of an audit.
        """
        options, repair = run.options, run.options.get("repair")
        if not isinstance(repair, bool):
            raise BadRequestError("repair must be true or false")
        return cls(repair, whole_field(options, "verify", 0, _MOST), whole_field(options, "rows", 0, _MOST))

    def document(self) -> dict[str, Any]:
        """The options in JSON's types."""
        return {"repair": self.repair, "verify": self.verify, "rows": self.rows}

    @property
    def share(self) -> float:
        """The probability with which each row is verified."""
        return min(1.0, self.verify / self.rows) if self.rows else float(self.verify > 0)


@dataclass(frozen=True)
class Sample:
    """Rows chosen at random, each with the same probability: a function of the run and of the row's id alone, so that
    a task that is delivered again verifies the same ones.

    Attributes:
      seed: of the run.
      share: the probability.
    """

    seed: int
    share: float

    @classmethod
    def of(cls, run: Run) -> Sample:
        """The rows that a run verifies."""
        return cls(int.from_bytes(sha256(run.run_id.encode()).digest()[:8], "little"), AuditOptions.of(run).share)

    def __call__(self, l2_ids: UInt64Array) -> UInt64Array:
        """Those of some ids that are chosen."""
        if self.share <= 0:
            return l2_ids[:0]
        return l2_ids[(_mixed(l2_ids ^ np.uint64(self.seed)) >> np.uint64(11)) < self.share * 2.0**53]


def _mixed(numbers: UInt64Array) -> UInt64Array:
    """Numbers of 64 bits as if by chance: the finalizer of SplitMix64, in which each bit depends on all others."""
    numbers = numbers + np.uint64(0x9E3779B97F4A7C15)
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(numbers ^ (numbers >> np.uint64(31)), dtype=np.uint64)
