"""Tables as answers to requests."""

from __future__ import annotations

from collections.abc import Sequence

import flask

from shared.attributes import SIZE
from shared.config.datasets import Dataset
from shared.lookup.found import Found
from shared.lookup.query import Query
from shared.lookup.service import LookupService
from shared.lookup.table.encoding import encode_arrow, encode_csv
from shared.lookup.table.negotiation import Form, buffer_compression
from shared.lookup.table.nodes import node_columns
from shared.table.column import Column
from shared.telemetry.log import StepTimer


def look_up_table(
    service: LookupService, dataset: Dataset, query: Query, form: Form, steps: StepTimer, caller: str
) -> tuple[Found, flask.Response]:
    """What was found, and the table of it.

    Args:
      service: looks it up.
      dataset: where to look.
      query: what is asked for.
      form: `ARROW` or `CSV`.
      steps: gets the time of each step.
      caller: who asks.

    Raises:
      L2CacheError: as `LookupService.find`.
    """
    # The size is read even if it is not asked for: it tells which nodes have no voxels.
    read = query.attributes if SIZE in query.attributes else (*query.attributes, SIZE)
    found = service.find(dataset, query.l2_ids, read, steps, caller, publish=query.publish_misses, wait_s=query.wait_s)
    with steps.step("encode"):
        columns = node_columns(found.l2_ids, found.states, found.cells, query.attributes, found.geometry)
        return found, table_response(columns, form)


def table_response(columns: Sequence[Column], form: Form) -> flask.Response:
    """A table as the answer to the request that is being answered, Arrow compressed as the client accepts it.

    Args:
      columns: of the same length.
      form: `ARROW` or `CSV`.
    """
    if form is Form.ARROW:
        body = encode_arrow(columns, buffer_compression(flask.request.accept_encodings))
    else:
        body = encode_csv(columns)
    return flask.Response(body, mimetype=form.value)
