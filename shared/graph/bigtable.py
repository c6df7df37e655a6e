"""The chunked graph, read from its own Bigtable table: a whole chunk's mapping is one scan of the chunk's L2 rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from shared.deadline import time_left_s
from shared.errors import ConfigurationError, GraphResponseError, GraphUnavailableError, StorageUnavailableError
from shared.geometry.grid import GraphGeometry, as_triple
from shared.geometry.ids import (
    SUPERVOXEL_LAYER,
    chunk_coordinates,
    l2_id_ranges,
    layers,
    node_coordinates,
    node_key,
    slices_of_chunks,
)
from shared.google.bigtable.address import TableAddress
from shared.google.bigtable.clients import DataClients
from shared.google.bigtable.rows import RowCells, read_rows, rows_of
from shared.graph.bigtable_roots import descend
from shared.graph.children import ChildrenCell, SupervoxelOwners, decode_children
from shared.graph.countdown import countdown
from shared.graph.members import check_members
from shared.graph.moment import unix_ms
from shared.graph.protocol import L2Mapping, RootNodes
from shared.once import Once
from shared.types import Triple, UInt64Array

if TYPE_CHECKING:
    from google.cloud.bigtable_v2.types import RowFilter, RowSet

_FAMILY = "0"
_CHILDREN = b"children"
_KEYS_PER_REQUEST = 2_000


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
        self._timeouts_s = attempt_timeout_s, operation_timeout_s
        self._client = Once(clients.rows)

    def geometry(self) -> GraphGeometry:
        """See `Graph.geometry`."""
        return self._geometry()

    def l2_of_supervoxels(self, supervoxels: UInt64Array, timestamp: datetime | None) -> L2Mapping:
        """See `Graph.l2_of_supervoxels`. Reads all L2 nodes of each chunk that the supervoxels lie in.

        A supervoxel belongs to the node whose `children` claimed it last. One whose parent is of a layer above 2 is
        claimed by no L2 node, and so belongs to none.
        """
        chunks = self._chunks_of(supervoxels)
        end_ms = None if timestamp is None else unix_ms(timestamp) + 1
        cells = [] if end_ms is not None and end_ms <= 0 else self._chunk_nodes(chunks, end_ms)
        l2_ids = SupervoxelOwners.of(cells).at(supervoxels)
        # The scan asks for nodes of these chunks only, so that none of another layer can be among them.
        impossible, not_yet = np.zeros((2, supervoxels.size), dtype=np.bool_)
        if timestamp is not None:
            bare = self._without_nodes(chunks, cells)
            not_yet = (l2_ids == 0) & (SupervoxelOwners.of(self._chunk_nodes(bare, None)).at(supervoxels) != 0)
        return L2Mapping(l2_ids, impossible, not_yet)

    def supervoxels_of(self, l2_ids: UInt64Array, within_s: float | None = None) -> dict[int, UInt64Array]:
        """See `Graph.supervoxels_of`."""
        wanted = np.unique(l2_ids).tolist()
        left_s = countdown(within_s)
        found = dict.fromkeys(wanted, np.empty(0, dtype=np.uint64))
        for start in range(0, len(wanted), _KEYS_PER_REQUEST):
            for l2_id, _, children in self._read_nodes(wanted[start : start + _KEYS_PER_REQUEST], left_s()):
                found[l2_id] = np.unique(children)
        check_members(found, self._geometry().layout)
        return found

    def l2_ids_at(self, chunks: Sequence[Triple], timestamp: datetime | None) -> list[UInt64Array]:
        """See `Graph.l2_ids_at`. One scan of the chunks' L2 rows; see `l2_of_supervoxels` for who holds what."""
        end_ms = None if timestamp is None else unix_ms(timestamp) + 1
        cells = [] if end_ms is not None and end_ms <= 0 else self._chunk_nodes(chunks, end_ms)
        return self._by_chunk(SupervoxelOwners.of(cells).nodes, chunks)

    def l2_ids_ever(self, chunks: Sequence[Triple]) -> list[UInt64Array]:
        """See `Graph.l2_ids_ever`."""
        l2_ids = np.array([cell.l2_id for cell in self._chunk_nodes(chunks, None)], dtype=np.uint64)
        return self._by_chunk(np.unique(l2_ids), chunks)

    def _by_chunk(self, l2_ids: UInt64Array, chunks: Sequence[Triple]) -> list[UInt64Array]:
        return [l2_ids[part] for part in slices_of_chunks(l2_ids, chunks, self._geometry().layout)]

    def l2_ids_of_roots(self, root_ids: UInt64Array) -> RootNodes:
        """See `Graph.l2_ids_of_roots`."""
        return descend(root_ids, self._geometry().layout, lambda nodes: self._read_nodes(nodes, time_left_s()))

    def _chunks_of(self, supervoxels: UInt64Array) -> list[Triple]:
        """The chunks inside the grid that supervoxels lie in, by the coordinates in their ids."""
        geometry = self._geometry()
        layout = geometry.layout
        segment_bits = np.uint64(layout.segment_bits(SUPERVOXEL_LAYER))
        chunk_ids = np.unique(supervoxels >> segment_bits) << segment_bits
        chunk_ids = chunk_ids[layers(chunk_ids, layout) == SUPERVOXEL_LAYER]
        coordinates = node_coordinates(chunk_ids, SUPERVOXEL_LAYER, layout)
        inside = (coordinates < np.array(geometry.grid_shape)).all(axis=1)
        return [as_triple(coordinate) for coordinate in coordinates[inside].tolist()]

    def _without_nodes(self, chunks: list[Triple], cells: Iterable[ChildrenCell]) -> list[Triple]:
        """Those of the chunks that none of the nodes is of."""
        l2_ids = np.array([cell.l2_id for cell in cells], dtype=np.uint64)
        with_nodes = {as_triple(chunk) for chunk in chunk_coordinates(l2_ids, self._geometry().layout).tolist()}
        return [chunk for chunk in chunks if chunk not in with_nodes]

    def _chunk_nodes(self, chunks: Sequence[Triple], end_ms: int | None) -> Iterable[ChildrenCell]:
        """The L2 nodes of chunks that were made before `end_ms`, superseded ones included."""
        from google.cloud.bigtable_v2.types import RowRange, RowSet

        if not chunks:
            return ()
        ids = l2_id_ranges(chunks, self._geometry().layout)
        ranges = [RowRange(start_key_closed=node_key(first), end_key_closed=node_key(last)) for first, last in ids]
        return self._read(RowSet(row_ranges=ranges), end_ms)

    def _read_nodes(self, node_ids: list[int], within_s: float) -> Iterable[ChildrenCell]:
        """Those of some nodes that have a row; at least one must be given, since a query for none reads all rows."""
        from google.cloud.bigtable_v2.types import RowSet

        return self._read(RowSet(row_keys=[node_key(node_id) for node_id in node_ids]), None, within_s)

    def _read(self, rows: RowSet, end_ms: int | None, within_s: float = math.inf) -> list[ChildrenCell]:
        """The newest `children` cells before a moment, through one stream, which is begun anew if it breaks off."""
        from google.cloud.bigtable_v2.types import ReadRowsRequest

        attempt_s, operation_s = (min(timeout_s, within_s) for timeout_s in self._timeouts_s)
        request = ReadRowsRequest(table_name=self._address.path, rows=rows, filter=_newest_children(end_ms))

        with _graph_errors(self._address):
            found = read_rows(self._client(), ReadRowsRequest.pb(request), rows_of, operation_s, attempt_s)
            return [_children_cell(key, cells) for key, cells in found]


def _newest_children(end_ms: int | None) -> RowFilter:
    """Lets through the newest `children` cell before a moment of each row that has one."""
    from google.cloud.bigtable_v2.types import ColumnRange, RowFilter, TimestampRange

    column = ColumnRange(family_name=_FAMILY, start_qualifier_closed=_CHILDREN, end_qualifier_closed=_CHILDREN)
    parts = [RowFilter(column_range_filter=column)]
    if end_ms is not None:
        parts.append(RowFilter(timestamp_range_filter=TimestampRange(end_timestamp_micros=1000 * end_ms)))
    return RowFilter(chain=RowFilter.Chain(filters=[*parts, RowFilter(cells_per_column_limit_filter=1)]))


def _children_cell(row_key: bytes, cells: RowCells) -> ChildrenCell:
    ((_, timestamp_us, value),) = cells
    l2_id = int(row_key)
    try:
        return ChildrenCell(l2_id, timestamp_us, decode_children(value))
    except ValueError as error:
        raise GraphResponseError(f"the graph's table has no usable children of node {l2_id}") from error


@contextmanager
def _graph_errors(address: TableAddress) -> Iterator[None]:
    """Turns Bigtable's errors into ours, by whether another try may succeed."""
    from google.api_core import exceptions
    from google.auth.exceptions import GoogleAuthError

    try:
        yield
    except exceptions.NotFound as error:
        raise ConfigurationError(f"graph_table names a table that does not exist: {address.table}") from error
    except (exceptions.InvalidArgument, exceptions.FailedPrecondition, exceptions.MethodNotImplemented) as error:
        raise GraphResponseError(f"Bigtable refuses to read the graph's table {address.table}") from error
    except (exceptions.GoogleAPIError, GoogleAuthError, StorageUnavailableError) as error:
        # Refused credentials too: an operator can grant them, and nothing must be lost until then.
        reason = type(error).__name__
        raise GraphUnavailableError(f"the graph's table {address.table} cannot be read just now ({reason})") from error
