"""The chunked graph, read from its own Bigtable table: a whole chunk's mapping is one scan of the chunk's L2 rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from shared.bigtable import DataClients, TableAddress
from shared.errors import ConfigurationError, GraphResponseError, GraphUnavailableError
from shared.geometry import GraphGeometry, as_triple
from shared.graph.children import ChildrenCell, Holders, decode_children
from shared.graph.moment import unix_ms
from shared.ids import l2_id_range, layers, node_coordinates
from shared.once import Once
from shared.types import Triple, UInt64Array

if TYPE_CHECKING:
    from google.cloud.bigtable.data import ReadRowsQuery, Row, Table
    from google.cloud.bigtable.data.row_filters import RowFilter

_SUPERVOXEL_LAYER = 1
_FAMILY = "0"
_CHILDREN = "children"
_KEYS_PER_REQUEST = 2_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class GraphTable:
    """`Graph` over the table that PyChunkedGraph writes, made for the supervoxels of whole chunks.

    Nothing is connected before the first question, so that it can be made before a server process forks.

    Args:
      address: the table.
      geometry: the graph's geometry, which its table keeps in a form that must not be read.
      clients: where the Bigtable client comes from.
      attempt_timeout_s: time-out of one try of a request.
      operation_timeout_s: time-out of a request with all its tries.
    """

    def __init__(
        self,
        address: TableAddress,
        geometry: Callable[[], GraphGeometry],
        clients: DataClients,
        attempt_timeout_s: float = 60.0,
        operation_timeout_s: float = 300.0,
    ) -> None:
        self._address = address
        self._geometry = geometry
        self._clients = clients
        self._timeouts_s = attempt_timeout_s, operation_timeout_s
        self._table = Once(self._open)

    def geometry(self) -> GraphGeometry:
        """See `Graph.geometry`."""
        return self._geometry()

    def l2_of_supervoxels(self, supervoxels: UInt64Array, timestamp: datetime | None) -> UInt64Array:
        """See `Graph.l2_of_supervoxels`. Reads all L2 nodes of each chunk that the supervoxels lie in.

        A supervoxel belongs to the node whose `children` claimed it last. One whose parent is of a layer above 2 is
        claimed by no L2 node, and so belongs to none.
        """
        end_ms = None if timestamp is None else unix_ms(timestamp) + 1
        if end_ms is not None and end_ms <= 0:
            return np.zeros(supervoxels.size, dtype=np.uint64)
        return Holders.of(self._chunk_nodes(self._chunks_of(supervoxels), end_ms)).at(supervoxels)

    def supervoxels_of(self, l2_ids: UInt64Array) -> dict[int, UInt64Array]:
        """See `Graph.supervoxels_of`."""
        wanted = np.unique(l2_ids).tolist()
        layout = self._geometry().layout
        found = dict.fromkeys(wanted, np.empty(0, dtype=np.uint64))
        for start in range(0, len(wanted), _KEYS_PER_REQUEST):
            for l2_id, _, children in self._read_nodes(wanted[start : start + _KEYS_PER_REQUEST]):
                found[l2_id] = np.unique(children[layers(children, layout) == _SUPERVOXEL_LAYER])
        return found

    def _chunks_of(self, supervoxels: UInt64Array) -> list[Triple]:
        """The chunks inside the grid that supervoxels lie in, by the coordinates in their ids."""
        geometry = self._geometry()
        layout = geometry.layout
        segment_bits = np.uint64(layout.segment_bits(_SUPERVOXEL_LAYER))
        chunk_ids = np.unique(supervoxels >> segment_bits) << segment_bits
        chunk_ids = chunk_ids[layers(chunk_ids, layout) == _SUPERVOXEL_LAYER]
        coordinates = node_coordinates(chunk_ids, _SUPERVOXEL_LAYER, layout)
        inside = (coordinates < np.array(geometry.grid_shape)).all(axis=1)
        return [as_triple(coordinate) for coordinate in coordinates[inside].tolist()]

    def _chunk_nodes(self, chunks: list[Triple], end_ms: int | None) -> Iterator[ChildrenCell]:
        """The L2 nodes of chunks that were made before `end_ms`, superseded ones included."""
        from google.cloud.bigtable.data import ReadRowsQuery, RowRange

        if not chunks:
            return iter(())
        ids = [l2_id_range(chunk, self._geometry().layout) for chunk in chunks]
        rows: list[RowRange] = [
            RowRange(_row_key(first), _row_key(last), start_is_inclusive=True, end_is_inclusive=True)
            for first, last in ids
        ]
        return self._read(ReadRowsQuery(row_ranges=rows, row_filter=_newest_children(end_ms)))

    def _read_nodes(self, l2_ids: list[int]) -> Iterator[ChildrenCell]:
        """Those of some L2 nodes that have a row; at least one must be given, since a query for none reads all rows."""
        from google.cloud.bigtable.data import ReadRowsQuery

        keys: list[str | bytes] = [_row_key(l2_id) for l2_id in l2_ids]
        return self._read(ReadRowsQuery(keys, row_filter=_newest_children(None)))

    def _read(self, query: ReadRowsQuery) -> Iterator[ChildrenCell]:
        with _graph_errors(self._address):
            for row in self._table().read_rows_stream(query):
                yield _children_cell(row)

    def _open(self) -> Table:
        attempt_s, operation_s = self._timeouts_s
        return self._clients.get(self._address.project).get_table(
            self._address.instance,
            self._address.table,
            default_read_rows_attempt_timeout=attempt_s,
            default_read_rows_operation_timeout=operation_s,
        )


def _row_key(node_id: int) -> bytes:
    return b"%020d" % node_id


def _newest_children(end_ms: int | None) -> RowFilter:
    """Lets through the newest `children` cell before a moment of each row that has one."""
    from google.cloud.bigtable.data import row_filters

    parts: list[RowFilter] = [
        row_filters.FamilyNameRegexFilter(_FAMILY),
        row_filters.ColumnQualifierRegexFilter(_CHILDREN),
    ]
    if end_ms is not None:
        end = _EPOCH + timedelta(milliseconds=end_ms)
        parts.append(row_filters.TimestampRangeFilter(end=end))
    return row_filters.RowFilterChain([*parts, row_filters.CellsColumnLimitFilter(1)])


def _children_cell(row: Row) -> ChildrenCell:
    cell = row.get_cells()[0]
    l2_id = int(row.row_key)
    try:
        return ChildrenCell(l2_id, cell.timestamp_micros, decode_children(cell.value))
    except ValueError as error:
        raise GraphResponseError(f"the graph's table has no usable children of node {l2_id}") from error


@contextmanager
def _graph_errors(address: TableAddress) -> Iterator[None]:
    """Says of Bigtable's errors whether another try may mend them."""
    from google.api_core import exceptions
    from google.auth.exceptions import GoogleAuthError

    try:
        yield
    except exceptions.NotFound as error:
        raise ConfigurationError(f"graph_table names a table that does not exist: {address.table}") from error
    except (exceptions.InvalidArgument, exceptions.FailedPrecondition, exceptions.MethodNotImplemented) as error:
        raise GraphResponseError(f"Bigtable refuses to read the graph's table {address.table}") from error
    except (exceptions.GoogleAPIError, GoogleAuthError) as error:
        # Refused credentials too: an operator can mend them, and nothing must be lost until then.
        reason = type(error).__name__
        raise GraphUnavailableError(f"the graph's table {address.table} cannot be read just now ({reason})") from error
