"""What an operation of an operator is, and the fields that several of them have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias

from shared.ingest.control.fields import Field, Kind, Values

if TYPE_CHECKING:
    from shared.ingest.control.service import IngestService

Answer: TypeAlias = dict[str, Any]

CONCURRENCY = Field("concurrency", Kind.WHOLE, "Leaf tasks at a time.", default=1000, least=1, most=1_000_000)
AFTER = Field("after", Kind.TEXT, "The following page: `next` of the page before.")
RUN = Field("run", Kind.TEXT, "The run's id; the newest ingest if left out.")


class AnswerKind(StrEnum):
    """What an operation answers; clients choose by it how to show the answer."""

    DOCUMENT = "document"
    """Any JSON object."""
    PLAN = "plan"
    """What an ingest will take."""
    RUN = "run"
    """How far a run is."""
    STARTED = "started"
    """How far a run is that goes on from now."""
    CANCELLED = "cancelled"
    """How far a run was that goes on no more."""
    FAILED = "failed"
    """A page of failed chunks."""
    RUNS = "runs"
    """Several runs."""
    AUDIT_PLAN = "audit_plan"
    """What an audit will take."""
    COVERAGE = "coverage"
    """What an audit has found, by blocks."""
    OVERVIEW = "overview"
    """All datasets with their newest runs."""
    MAP = "map"
    """A run's chunks, seen along each axis."""
    PACE = "pace"
    """How fast a run was over time."""
    FILES_PLAN = "files_plan"
    """What an export or an import will take."""


@dataclass(frozen=True)
class Operation:
    """Something that an operator can ask for.

    Attributes:
      name: in paths, in calls at `/` and in the terminal.
      help: what it does, in a sentence.
      fields: its arguments.
      run: does it, given the service and a value for each field.
      reads_only: whether it changes nothing; it is then answered to GET as well, with a query.
      answer: what it answers.
    """

    name: str
    help: str
    fields: tuple[Field, ...]
    run: Callable[[IngestService, Values], Answer]
    reads_only: bool = False
    answer: AnswerKind = AnswerKind.DOCUMENT

    @property
    def methods(self) -> tuple[str, ...]:
        """The HTTP methods that it is answered to."""
        return ("GET", "POST") if self.reads_only else ("POST",)

    def from_query(self, query: Mapping[str, str]) -> dict[str, Any]:
        """The parameters of a query as the JSON object that means the same."""
        fields = {field.name: field for field in self.fields}
        return {name: fields[name].from_query(text) if name in fields else text for name, text in query.items()}

    def describe(self) -> dict[str, Any]:
        """The operation in JSON's types, for whoever builds a client or documentation."""
        return {
            "name": self.name,
            "help": self.help,
            "path": f"/{self.name}",
            "methods": list(self.methods),
            "answer": self.answer.value,
            "fields": [field.describe() for field in self.fields],
        }
