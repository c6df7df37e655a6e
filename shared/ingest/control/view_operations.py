"""Operations that pages ask to show runs."""

from __future__ import annotations

from shared.ingest.control import answers
from shared.ingest.control.chunk_map import MOST_CELLS, map_chunks
from shared.ingest.control.fields import Field, Kind, Values
from shared.ingest.control.operation import RUN, Answer, AnswerKind, Operation
from shared.ingest.control.overview import MOST_RUNS, overview
from shared.ingest.control.pace import MOST_STEPS, pace_of
from shared.ingest.control.request import DATASET
from shared.ingest.control.service import IngestService
from shared.ingest.progress import RunStatus


def _overview(service: IngestService, values: Values) -> Answer:
    return answers.overview(overview(service, values["newest"]))


def _map(service: IngestService, values: Values) -> Answer:
    ledger = service.ledger(values["dataset"], values["run"])
    run = ledger.find(values["run"])
    return answers.chunk_map(map_chunks(run, ledger.pieces(run), values["cells"]))


def _pace(service: IngestService, values: Values) -> Answer:
    ledger = service.ledger(values["dataset"], values["run"])
    run = ledger.find(values["run"])
    pieces, now_s = ledger.pieces(run), service.clock()
    state = RunStatus.of_pieces(run, pieces, now_s, is_cancelled=ledger.is_cancelled(run)).state
    return answers.pace(pace_of(run, pieces, state, now_s, values["generation"], values["steps"]))


VIEW_OPERATIONS = (
    Operation(
        "overview",
        "All datasets with their newest runs.",
        (Field("newest", Kind.WHOLE, "Runs of each dataset and kind.", default=1, least=0, most=MOST_RUNS),),
        _overview,
        reads_only=True,
        answer=AnswerKind.OVERVIEW,
    ),
    Operation(
        "map",
        "Where chunks of a run are done, failed or open, and where an audit has missed rows, seen along each axis.",
        (
            DATASET,
            RUN,
            Field("cells", Kind.WHOLE, "Most cells along an axis.", default=64, least=1, most=MOST_CELLS),
        ),
        _map,
        reads_only=True,
        answer=AnswerKind.MAP,
    ),
    Operation(
        "pace",
        "How fast a run was over time.",
        (
            DATASET,
            RUN,
            Field("generation", Kind.WHOLE, "Of the run; the present one if left out.", least=0, most=1_000_000),
            Field("steps", Kind.WHOLE, "Into how many the time is cut.", default=60, least=1, most=MOST_STEPS),
        ),
        _pace,
        reads_only=True,
        answer=AnswerKind.PACE,
    ),
)
"""In the order in which they are listed."""
