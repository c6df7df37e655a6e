"""What the memory of whole neurons promises."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import numpy as np
import pytest

from shared.store.totals import TotalsMemory
from shared.types import UInt64Array

LARGEST = (1 << 64) - 1
SMALLEST = 5


def ids(*values: int) -> UInt64Array:
    return np.array(values, dtype=np.uint64)


class TotalsMemoryContract:
    """A test class inherits this and gives `open_memory`, which opens the same one once more each time."""

    @pytest.fixture
    def open_memory(self) -> Callable[[], TotalsMemory]:
        raise NotImplementedError

    @pytest.fixture
    def opened(self, open_memory: Callable[[], TotalsMemory]) -> Iterator[Callable[[], TotalsMemory]]:
        """The same, closed in the end."""
        with ExitStack() as stack:

            def opened() -> TotalsMemory:
                memory = open_memory()
                stack.callback(memory.close)
                return memory

            yield opened

    @pytest.fixture
    def table(self) -> str:
        """A cache table that no other test has used."""
        return f"table_{uuid.uuid4().hex}"

    def test_what_one_remembers_all_know(self, opened: Callable[[], TotalsMemory], table: str) -> None:
        memory, others = opened(), opened()
        values = {SMALLEST: b"", LARGEST: bytes(range(256)), 1 << 63: b"x"}
        memory.write(table, values)
        assert others.read(table, ids(LARGEST, SMALLEST, 7, LARGEST, 1 << 63)) == values
        assert others.read(table, ids(SMALLEST)) == {SMALLEST: b""}

    def test_nothing_is_known_of_other_roots_and_tables(self, opened: Callable[[], TotalsMemory], table: str) -> None:
        memory = opened()
        assert memory.read(table, ids(1, 2)) == {}
        memory.write(table, {1: b"a"})
        assert memory.read(table, ids(2, 10, 11)) == {}
        assert memory.read(table + "x", ids(1)) == {}
        assert memory.read(table, ids()) == {}

    def test_a_later_value_takes_the_place_of_an_earlier_one(
        self, opened: Callable[[], TotalsMemory], table: str
    ) -> None:
        memory, others = opened(), opened()
        memory.write(table, {1: b"a", 2: b"b"})
        others.write(table, {1: b"c"})
        others.write(table, {})
        assert memory.read(table, ids(1, 2)) == {1: b"c", 2: b"b"}

    def test_thousands_are_written_and_read_at_once(self, opened: Callable[[], TotalsMemory], table: str) -> None:
        memory = opened()
        values = {root: b"%d" % root for root in range(3_000)}
        memory.write(table, values)
        assert memory.read(table, np.arange(3_500, dtype=np.uint64)) == values
