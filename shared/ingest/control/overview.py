"""All datasets with their newest runs, for whoever wants to see at once what there is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.errors import TableNotFoundError
from shared.ingest.control.service import IngestService, UnreadableRun
from shared.ingest.progress import RunStatus

if TYPE_CHECKING:
    from shared.config.datasets import Dataset
    from shared.ingest.ledger import Ledger
    from shared.ingest.run import Run

MOST_RUNS = 100


@dataclass(frozen=True)
class DatasetRuns:
    """The newest runs of a dataset.

    Attributes:
      dataset: the dataset.
      has_table: whether its cache table is there.
      runs: some of each kind, the one that was started or resumed last first.
      older: how many there are besides.
      unreadable: runs whose marks cannot be read.
    """

    dataset: Dataset
    has_table: bool
    runs: Sequence[RunStatus] = ()
    older: int = 0
    unreadable: Sequence[UnreadableRun] = ()


def overview(service: IngestService, newest: int) -> list[DatasetRuns]:
    """The newest runs of all datasets.

    Args:
      service: knows them.
      newest: how many of each dataset and kind of run, at most: the marks of each are counted.
    """
    return [_of_dataset(service, dataset, newest) for dataset in service.datasets.by_graph_id.values()]


def _of_dataset(service: IngestService, dataset: Dataset, newest: int) -> DatasetRuns:
    chosen: list[tuple[Ledger, Run]] = []
    unreadable: list[UnreadableRun] = []
    n_runs = 0
    try:
        for ledger in service.ledgers(dataset.graph_id):
            known = ledger.known()
            ordered = sorted(known.readable, key=lambda run: run.begun_s, reverse=True)
            chosen += [(ledger, run) for run in ordered[:newest]]
            n_runs += len(ordered)
            unreadable += [UnreadableRun(run_id, reason) for run_id, reason in known.unreadable.items()]
    except TableNotFoundError:
        return DatasetRuns(dataset, has_table=False)
    chosen.sort(key=lambda pair: pair[1].begun_s, reverse=True)
    runs = [service.status_of(ledger, run) for ledger, run in chosen]
    return DatasetRuns(dataset, True, runs, n_runs - len(runs), unreadable)
