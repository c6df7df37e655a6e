"""The kinds of runs: what is done with the chunks of a run's block."""

from __future__ import annotations

from enum import StrEnum


class RunKind(StrEnum):
    """What a run does with its chunks.

    Runs of one kind exclude each other on a table, runs of different kinds do not: rows are a pure function of graph,
    volume and id, so that an audit beside an ingest disturbs nothing, and has its own place for its marks.
    """

    INGEST = "ingest"
    """Computes all their rows."""
    AUDIT = "audit"
    """Compares the rows with the graph."""
    EXPORT = "export"
    """Writes the rows to files."""
    IMPORT = "import"
    """Reads them from files."""

    @property
    def is_by_block(self) -> bool:
        """Whether a leaf does its block whole or not at all, rather than chunk by chunk: a file holds a block."""
        return self in (RunKind.EXPORT, RunKind.IMPORT)

    @classmethod
    def of_run_id(cls, run_id: str) -> RunKind:
        """The kind of the run of that name: all but ingests have it at its beginning.

        >>> RunKind.of_run_id("20260601T000000-0_0_0-752_512_26").value
        'ingest'
        >>> RunKind.of_run_id("audit-1780272060000-20260601T000000-0_0_0-752_512_26").value
        'audit'
        """
        beginning = run_id.partition("-")[0]
        return next((kind for kind in cls if kind is not cls.INGEST and kind.value == beginning), cls.INGEST)
