"""A leaf task: the chunks of one block, computed where the compute function runs."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from shared.errors import BadRequestError, L2CacheError, StorageUnavailableError, TransientError
from shared.geometry import Box
from shared.ingest.blocks import block_name, chunks, parse_block
from shared.ingest.run import BlockDone, Run
from shared.log import event, get_logger
from shared.types import Triple

if TYPE_CHECKING:
    from datetime import datetime

    from shared.store import CacheStore

_LOG = get_logger("ingest")
ATTEMPTS_IN_LEAF = 3
ATTEMPTS_OF_TASK = 8
BACK_OFF_S = 0.5


class ChunkOutcome(Protocol):
    """What is known of a computed chunk."""

    @property
    def n_nodes(self) -> int:
        """Rows written."""


class ChunkComputer(Protocol):
    """Computes one chunk and writes its rows."""

    def compute_chunk(self, graph_id: str, coordinate: Triple, timestamp: datetime | None) -> ChunkOutcome:
        """Reads, maps, computes and writes one chunk at a moment of the graph."""


@dataclass(frozen=True)
class LeafService:
    """Does leaf tasks.

    Attributes:
      computer: computes a chunk.
      store: where the marks go.
      clock: Unix time.
      sleep: waits that many seconds between tries.
    """

    computer: ChunkComputer
    store: CacheStore
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep

    def compute_block(self, body: bytes, attempt: int = 1) -> BlockDone:
        """Computes every chunk of a block, then marks the block as done.

        A failing chunk does not fail its block: it is tried again, then written down with its reason. Only where
        nothing works at all (every chunk failed for a transient reason) is the whole task left to the queue's back-off,
        a limited number of times.

        Args:
          body: the task's JSON, made by `leaf_body`.
          attempt: how often the queue has delivered this task, from 1.

        Raises:
          BadRequestError: if the body is no leaf task.
          TransientError: if the task is to be delivered again.
        """
        run, block = parse_leaf(body)
        nodes = 0
        failures: dict[Triple, L2CacheError] = {}
        for chunk in chunks(block):
            try:
                nodes += self._compute_chunk(run, chunk)
            except StorageUnavailableError:
                raise
            except L2CacheError as error:
                failures[chunk] = error
        transient = [error for error in failures.values() if isinstance(error, TransientError)]
        if len(transient) == block.volume and attempt < ATTEMPTS_OF_TASK:
            raise transient[0]
        done = BlockDone(block.volume, nodes, len(failures), self.clock())
        self._mark(run, block, failures, done)
        return done

    def _compute_chunk(self, run: Run, chunk: Triple) -> int:
        for attempt in range(1, ATTEMPTS_IN_LEAF):
            try:
                return self.computer.compute_chunk(run.graph_id, chunk, run.timestamp).n_nodes
            except TransientError as error:
                event(
                    _LOG, logging.WARNING, "chunk failed, trying again", chunk=chunk, attempt=attempt, reason=str(error)
                )
                self.sleep(BACK_OFF_S * 2 ** (attempt - 1))
        return self.computer.compute_chunk(run.graph_id, chunk, run.timestamp).n_nodes

    def _mark(self, run: Run, block: Box, failures: dict[Triple, L2CacheError], done: BlockDone) -> None:
        reasons = {
            run.failed_mark(chunk): json.dumps({"reason": str(error), "kind": type(error).__name__}).encode()
            for chunk, error in failures.items()
        }
        for key, reason in reasons.items():
            event(_LOG, logging.ERROR, "chunk failed", run_id=run.run_id, mark=key, reason=reason.decode())
        succeeded = [run.failed_mark(chunk) for chunk in chunks(block) if chunk not in failures]
        # The block's mark comes last: until it is there the block counts as not done.
        self.store.write_marks(run.table_id, reasons)
        self.store.delete_marks(run.table_id, succeeded)
        self.store.write_marks(run.table_id, {run.done_prefix + block_name(block): done.to_json()})


def leaf_body(run: Run, block: Box) -> bytes:
    """The JSON of a task for one block of a run."""
    return json.dumps({"run": json.loads(run.to_json()), "block": block_name(block)}).encode()


def parse_leaf(body: bytes) -> tuple[Run, Box]:
    """The inverse of `leaf_body`.

    Raises:
      BadRequestError: if it is no task's body, or its block lies outside the run's.
    """
    try:
        document = json.loads(body)
        run, block = Run.from_json(document["run"]), parse_block(document["block"])
    except (ValueError, KeyError, TypeError) as error:
        raise BadRequestError(f"not a block task: {error!r}") from error
    if run.block.intersection(block) != block:
        raise BadRequestError(f"block {block_name(block)} lies outside its run {run.run_id}")
    return run, block
