"""The child's side: `python -m shared.isolation.main`, started by `shared.isolation.child`.

Jobs come on standard input, reports on them go to standard output; whatever else is printed there goes to standard
error. The process ends when its input is closed.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import IO, Any

import numpy as np

from shared.compute.service import ComputeService
from shared.compute.setup import open_compute_service
from shared.config.settings import Settings
from shared.errors import L2CacheError
from shared.geometry.grid import as_triple
from shared.ingest.leaf.kinds import work_on_chunks
from shared.ingest.run import Run
from shared.isolation.wire import error_document, outcome_document, result_document
from shared.telemetry.log import StepTimer, configure, get_logger

_logger = get_logger("isolation")


def main() -> None:
    """Does jobs until there are no more."""
    settings = Settings.from_environment(os.environ)
    configure(settings.log_level, settings.project)
    pipe = _private_stdout()

    def tell(what: str, /, **fields: Any) -> None:
        pipe.write(json.dumps({"tells": what, **fields}).encode() + b"\n")

    def steps() -> StepTimer:
        return StepTimer(lambda step: tell("step", step=step))

    service = replace(open_compute_service(settings), steps=steps)
    # A parent that was killed reads no more; its input, once read to the end, says the same.
    with suppress(BrokenPipeError):
        tell("ready")
        for line in sys.stdin.buffer:
            answer(service, json.loads(line), tell)


def answer(service: ComputeService, job: dict[str, Any], tell: Callable[..., None]) -> None:
    """Does a job and reports the outcome.

    Args:
      service: computes; its timer of steps reports each step that begins.
      job: see `shared.isolation.wire`.
      tell: is given the kind of report, and its fields.
    """
    try:
        tell("result", result=_JOBS[job["job"]](service, job))
    except L2CacheError as error:
        tell("error", **error_document(error))
    except MemoryError:
        tell("fault", what="memory ran out")
    except BrokenPipeError:
        raise  # whoever asked is gone
    except Exception as error:
        _logger.error("isolated job failed unexpectedly", exc_info=error)
        tell("fault", what=f"an unexpected {type(error).__name__}")


def _compute_chunk(service: ComputeService, job: dict[str, Any]) -> dict[str, Any]:
    run, chunk = Run.from_json(job["run"]), as_triple(job["chunk"])
    (result,) = work_on_chunks(service, run, [chunk], service.steps())
    return result_document(result)


def _compute_nodes(service: ComputeService, job: dict[str, Any]) -> dict[str, Any]:
    l2_ids = np.array(job["l2_ids"], dtype=np.uint64)
    return outcome_document(service.compute_nodes(job["graph_id"], l2_ids, job["is_edit"]))


_JOBS: dict[str, Callable[[ComputeService, dict[str, Any]], dict[str, Any]]] = {
    "chunk": _compute_chunk,
    "nodes": _compute_nodes,
}


def _private_stdout() -> IO[bytes]:
    """Standard output, unbuffered; what libraries print there goes to standard error from now on."""
    private = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    return private


if __name__ == "__main__":
    main()
