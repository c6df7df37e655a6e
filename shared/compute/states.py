"""What the compute function says of ids that have no row yet, or get none: asked for and begun, or given up."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from shared.attributes import SIZE
from shared.errors import (
    ChunkFaultError,
    ConfigurationError,
    DeadlineError,
    GraphDisagreementError,
    GraphResponseError,
    GraphUnavailableError,
    L2CacheError,
    OutOfMemoryError,
    StorageUnavailableError,
    TableNotFoundError,
    VolumeUnavailableError,
)
from shared.store.protocol import FAILED, PENDING, CacheStore, NodeState
from shared.store.states import remembered_unknown
from shared.telemetry.log import event, get_logger
from shared.types import UInt64Array

# Clients read these: they say nothing of paths, hosts or processes.
_REASONS: dict[type[BaseException], str] = {
    ChunkFaultError: "its chunk ends the process that computes it",
    OutOfMemoryError: "memory ran out while its chunk was computed",
    DeadlineError: "there was never enough time to compute it",
    GraphDisagreementError: "graph and segmentation do not agree on its chunk",
    GraphResponseError: "the graph server's answer could not be used",
    GraphUnavailableError: "the graph server could not be reached",
    VolumeUnavailableError: "the segmentation could not be read",
    StorageUnavailableError: "the storage could not be reached",
    TableNotFoundError: "the cache table does not exist",
    ConfigurationError: "the dataset is not set up correctly",
    L2CacheError: "it could not be computed",
}

_logger = get_logger("compute")


def reason_for_clients(error: L2CacheError) -> str:
    """Why ids were given up, for whoever asked for them: by the error's class or the nearest class above it."""
    return next(_REASONS[kind] for kind in type(error).__mro__ if kind in _REASONS)


@dataclass(frozen=True)
class IdStates:
    """Writes states of ids. It is a help to clients: where it fails, nodes are computed all the same, and it is logged.

    Attributes:
      store: where states lie.
      now_s: Unix time.
    """

    store: CacheStore
    now_s: Callable[[], float] = time.time

    def begin(self, table_id: str, l2_ids: UInt64Array) -> None:
        """Says that ids without a row are being computed."""
        with self._may_fail(table_id):
            self._write(table_id, l2_ids, PENDING)

    def give_up(self, table_id: str, l2_ids: UInt64Array, error: L2CacheError) -> None:
        """Says that ids are given up, except for those that have a row by now and those that the graph does not know.

        Args:
          table_id: the cache table.
          l2_ids: uint64[n], distinct.
          error: why.
        """
        with self._may_fail(table_id):
            without_row = np.setdiff1d(l2_ids, self._with_row(table_id, l2_ids))
            if without_row.size:
                unknown = remembered_unknown(self.store.read_states(table_id, without_row), self.now_s())
                self._write(table_id, np.setdiff1d(without_row, unknown), FAILED, reason_for_clients(error))

    def _with_row(self, table_id: str, l2_ids: UInt64Array) -> UInt64Array:
        try:
            return self.store.read_cells(table_id, l2_ids, [SIZE.name]).l2_ids
        except TableNotFoundError:
            return l2_ids[:0]

    def _write(self, table_id: str, l2_ids: UInt64Array, name: str, reason: str = "") -> None:
        if l2_ids.size:
            self.store.write_states(table_id, dict.fromkeys(l2_ids.tolist(), NodeState(name, self.now_s(), reason)))

    @contextmanager
    def _may_fail(self, table_id: str) -> Iterator[None]:
        try:
            yield
        except L2CacheError as error:
            event(_logger, logging.WARNING, "states of ids cannot be written", table_id=table_id, reason=str(error))
