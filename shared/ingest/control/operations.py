"""The operations of an operator. `OPERATIONS` lists them all: a new one is one more entry in its part.

HTTP routes, calls at `/`, the checks of a request, their error texts, the description that `GET /operations` answers
and, from that description, the commands of the terminal client: all follow from the entry.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from shared.errors import BadRequestError, UnknownDatasetError
from shared.ingest.control.audit_operations import AUDIT_OPERATIONS
from shared.ingest.control.fields import FORMS, read_fields
from shared.ingest.control.files_operations import FILES_OPERATIONS
from shared.ingest.control.operation import Answer, Operation
from shared.ingest.control.run_operations import RUN_OPERATIONS
from shared.ingest.control.service import IngestService
from shared.ingest.control.view_operations import VIEW_OPERATIONS

OPERATIONS: tuple[Operation, ...] = (*RUN_OPERATIONS, *AUDIT_OPERATIONS, *VIEW_OPERATIONS, *FILES_OPERATIONS)
"""All operations, in the order in which they are listed."""


@dataclass(frozen=True)
class Operations:
    """Does operations by name: a JSON document in, one out, whatever carries them.

    Attributes:
      service: what they act on.
      now: the present moment, aware.
      known: the operations.
    """

    service: IngestService
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    known: tuple[Operation, ...] = OPERATIONS

    def names(self) -> tuple[str, ...]:
        """The operations' names."""
        return tuple(operation.name for operation in self.known)

    def run(self, name: str, document: object) -> Answer:
        """Does an operation.

        Args:
          name: of the operation.
          document: its decoded JSON arguments.

        Returns:
          The answer in JSON's types.

        Raises:
          BadRequestError: naming what is unknown, missing or wrong; an unknown dataset among it.
          L2CacheError: what the operation raises.
        """
        operation = next((operation for operation in self.known if operation.name == name), None)
        if operation is None:
            raise BadRequestError(f"unknown operation {name[:40]!r}; known are {', '.join(self.names())}")
        values = read_fields(document, operation.fields, self.now(), f"the arguments of {name}")
        try:
            return operation.run(self.service, values)
        except UnknownDatasetError as error:
            raise BadRequestError(str(error)) from error


def describe(operations: Sequence[Operation] = OPERATIONS) -> dict[str, Any]:
    """Operations and their fields in JSON's types, and how values of each kind of field are written."""
    return {
        "operations": [operation.describe() for operation in operations],
        "forms": {kind.value: form for kind, form in FORMS.items()},
    }
