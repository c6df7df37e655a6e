"""Reading rows of a Bigtable instance through bare streams, rows of many keys through several at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from shared.deadline import carried, longest_wait_s, uncounted
from shared.errors import StorageUnavailableError
from shared.google.bigtable.joint import JointReads
from shared.google.bigtable.row_layout import KnownLayouts
from shared.google.bigtable.rows import read_rows
from shared.once import Once

if TYPE_CHECKING:
    from google.cloud.bigtable_v2.types import RowFilter, RowSet

    from shared.google.bigtable.row_client import RowClient

T = TypeVar("T")

# more and smaller streams cost more in Python than they save in Bigtable
_READS_AT_ONCE = 4
_KEYS_PER_READ = 2500
_KEYS_OF_JOINT_READS = 100


class RowReader:
    """Reads rows; a stream that breaks off is begun anew. May be used by many threads.

    Args:
      client: what reads; asked for at the first use.
      timeout_s: how long a read is tried before it fails.
      attempt_timeout_s: time-out of one stream.
    """

    def __init__(self, client: Callable[[], RowClient], timeout_s: float, attempt_timeout_s: float) -> None:
        self._client = client
        self._timeouts_s = timeout_s, attempt_timeout_s
        self._known = KnownLayouts()
        self._joint = JointReads()
        self._threads = Once(lambda: ThreadPoolExecutor(_READS_AT_ONCE, thread_name_prefix="bigtable-read"))

    def rows(
        self,
        table_name: str,
        rows: RowSet,
        row_filter: RowFilter,
        read: Callable[..., Iterable[T]],
    ) -> list[T]:
        """Rows with cells that pass the filter.

        Args:
          table_name: `projects/PROJECT/instances/INSTANCE/tables/TABLE`.
          rows: which rows; a set of none means all of them.
          row_filter: what is read of them.
          read: `rows_of` or `merge_rows`.

        Raises:
          StorageUnavailableError: if no time is left.
          See `read_rows` for all else.
        """
        client = self._made_client()
        request = _request(table_name, type(rows).pb(rows), row_filter)
        return read_rows(client, request, partial(read, known=self._known), *self._timeouts_s)

    def by_key(
        self,
        table_name: str,
        keys: Sequence[bytes],
        row_filter: RowFilter,
        read: Callable[..., Iterable[tuple[bytes, T]]],
    ) -> list[tuple[bytes, T]]:
        """As `rows`, those of some keys, which are distinct; none at all for no keys.

        Callers who ask for few rows at a time get them in joint streams, and may be given the same objects.
        """
        from google.cloud.bigtable_v2.types import RowSet

        if not keys:
            return []
        row_set = RowSet.pb()
        client = self._made_client()

        def read_part(part: Sequence[bytes]) -> list[tuple[bytes, T]]:
            request = _request(table_name, row_set(row_keys=part), row_filter)
            return read_rows(client, request, partial(read, known=self._known), *self._timeouts_s)

        if len(keys) <= _KEYS_OF_JOINT_READS:
            kind = table_name, type(row_filter).pb(row_filter).SerializeToString(deterministic=True), read
            return self._joint.read(kind, keys, read_part)
        if len(keys) <= _KEYS_PER_READ:
            return read_part(keys)
        parts = [keys[start : start + _KEYS_PER_READ] for start in range(0, len(keys), _KEYS_PER_READ)]
        try:
            answers = list(self._threads().map(carried(read_part), parts, timeout=longest_wait_s()))
        except TimeoutError:
            raise StorageUnavailableError("storage did not answer in time") from None
        return [row for answer in answers for row in answer]

    def _made_client(self) -> RowClient:
        """The client. Loading its libraries, once in a process, is not what a request's time is for."""
        with uncounted():
            return self._client()

    def close(self) -> None:
        """Ends the threads."""
        self._threads().shutdown()


def _request(table_name: str, rows: Any, row_filter: RowFilter) -> Any:
    """A request in protobuf's own messages: those of the generated client take twenty times as long to make."""
    from google.cloud.bigtable_v2.types import ReadRowsRequest

    return ReadRowsRequest.pb()(table_name=table_name, rows=rows, filter=type(row_filter).pb(row_filter))
