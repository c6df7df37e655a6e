"""The operations of an operator by name: a JSON document in, one out, whatever carries them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from shared.errors import BadRequestError, UnknownDatasetError
from shared.ingest.control import answers
from shared.ingest.control.request import FIELDS, StartRequest
from shared.ingest.control.service import IngestService
from shared.ingest.progress import RunStatus

CONCURRENCY = 1000
PAGE = 1000
MAX_PAGE = 10_000
_LEVELS = 3  # the object, the corners of its bounding box, their coordinates
_MOST_DIGITS = 20
_SHOWN_CHARACTERS = 60
_RUN_FIELDS = frozenset({"dataset", "run"})
_RESUME_FIELDS = FIELDS | _RUN_FIELDS | {"resume"}


@dataclass(frozen=True)
class Operations:
    """What an operator can ask for.

    Attributes:
      service: does it.
      now: the present moment, aware.
    """

    service: IngestService
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def names(self) -> tuple[str, ...]:
        """The operations' names."""
        return tuple(self._by_name())

    def run(self, name: str, document: object) -> dict[str, Any]:
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
        operation = self._by_name().get(name)
        if operation is None:
            raise BadRequestError(f"unknown operation {name[:40]!r}; known are {', '.join(self.names())}")
        if not isinstance(document, Mapping):
            raise BadRequestError(f"the arguments of {name} must be a JSON object with the field dataset")
        if _is_deeper(document, _LEVELS):
            raise BadRequestError(f"the arguments of {name} are nested too deeply")
        try:
            return operation(document)
        except UnknownDatasetError as error:
            raise BadRequestError(str(error)) from error

    def _by_name(self) -> dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]]:
        return {
            "plan": self._plan,
            "start": self._start,
            "status": self._status,
            "failed": self._failed,
            "retry": self._retry,
            "cancel": self._cancel,
            "runs": self._runs,
        }

    def _plan(self, document: Mapping[str, Any]) -> dict[str, Any]:
        concurrency = _whole(document, "concurrency", CONCURRENCY, 1, 1_000_000)
        request = self._request({key: value for key, value in document.items() if key != "concurrency"})
        return answers.plan(self.service.plan(request, concurrency))

    def _start(self, document: Mapping[str, Any]) -> dict[str, Any]:
        resume = document.get("resume", False)
        if not isinstance(resume, bool):
            raise BadRequestError(f"resume must be true or false, not {_shown(resume)}")
        if not resume:
            request = self._request({key: value for key, value in document.items() if key != "resume"})
            return answers.status(self.service.start(request))
        dataset, run_id = _run_of(document, _RESUME_FIELDS)
        rest = {key: value for key, value in document.items() if key not in ("resume", "run")}
        if rest.keys() & {"timestamp", "bounding_box", "test"}:
            run_id = self.service.run_id(self._request(rest))
        return answers.status(self.service.resume(dataset, run_id))

    def _status(self, document: Mapping[str, Any]) -> dict[str, Any]:
        return answers.status(self.service.status(*_run_of(document, _RUN_FIELDS)))

    def _failed(self, document: Mapping[str, Any]) -> dict[str, Any]:
        dataset, run_id = _run_of(document, _RUN_FIELDS | {"limit", "after"})
        limit = _whole(document, "limit", PAGE, 1, MAX_PAGE)
        return answers.failed(self.service.failed(dataset, run_id, limit, _text(document, "after") or ""))

    def _retry(self, document: Mapping[str, Any]) -> dict[str, Any]:
        return answers.status(self.service.retry(*_run_of(document, _RUN_FIELDS)))

    def _cancel(self, document: Mapping[str, Any]) -> dict[str, Any]:
        cancelled = self.service.cancel(*_run_of(document, _RUN_FIELDS))
        return answers.status(cancelled) if isinstance(cancelled, RunStatus) else answers.dismissed(cancelled)

    def _runs(self, document: Mapping[str, Any]) -> dict[str, Any]:
        dataset, _ = _run_of(document, frozenset({"dataset"}))
        return {
            "runs": [answers.status(status) for status in self.service.runs(dataset)],
            "unreadable": [answers.unreadable(run) for run in self.service.unreadable_runs(dataset)],
        }

    def _request(self, document: Mapping[str, Any]) -> StartRequest:
        return StartRequest.from_document(document, self.now())


def _run_of(document: Mapping[str, Any], fields: frozenset[str]) -> tuple[str, str | None]:
    unknown = sorted(str(key) for key in document if key not in fields)
    if unknown:
        raise BadRequestError(f"unknown field {_shown(unknown[0])}; known are {', '.join(sorted(fields))}")
    dataset = _text(document, "dataset")
    if not dataset:
        raise BadRequestError("dataset must be given as text")
    return dataset, _text(document, "run")


def _text(document: Mapping[str, Any], field: str) -> str | None:
    value = document.get(field)
    if value is not None and not isinstance(value, str):
        raise BadRequestError(f"{field} must be text, not {_shown(value)}")
    return value or None


def _whole(document: Mapping[str, Any], field: str, default: int, least: int, most: int) -> int:
    value = document.get(field, default)
    number = int(value) if isinstance(value, str) and value.isdecimal() and len(value) <= _MOST_DIGITS else value
    if not isinstance(number, int) or isinstance(number, bool) or not least <= number <= most:
        raise BadRequestError(f"{field} must be a whole number from {least} to {most}, not {_shown(value)}")
    return number


def _is_deeper(value: object, levels: int) -> bool:
    """Whether objects and lists are nested in more levels."""
    if not isinstance(value, Mapping | list):
        return False
    inner = value.values() if isinstance(value, Mapping) else value
    return levels == 0 or any(_is_deeper(entry, levels - 1) for entry in inner)


def _shown(value: object) -> str:
    """As much of a wrong value as tells its sender which it is."""
    shown = repr(value)
    return shown if len(shown) <= _SHOWN_CHARACTERS else f"{shown[:_SHOWN_CHARACTERS]}..."
