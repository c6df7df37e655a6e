"""What every cache store promises."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.attributes import ATTRIBUTES, SIZE, VOXELLESS_SIZE, feature_cells
from shared.errors import ConfigurationError, TableNotFoundError, UnknownAttributeError
from shared.features.result import Features
from shared.store.open import open_store
from shared.store.protocol import UNKNOWN, CacheStore, NodeState, TableMeta
from tests.contract.store_writer import ROWS_PER_BATCH, batch_ids
from tests.support.features.further import BOX, NINE
from tests.support.features.rows import FIRST_L2_ID, features_strategy, random_features

STARTED_MS = int(time.time() * 1000) - 600_000
ALL = [attribute.name for attribute in ATTRIBUTES]
META = TableMeta("graph", "graphene://https://example.org/segmentation/table/graph", datetime(2026, 6, 1, tzinfo=UTC))
REPOSITORY = Path(__file__).parents[2]

# the store outlives an example, which is what these tests want: rows of other examples must not matter
per_example = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30)
state_names = st.sampled_from(["unknown", "pending", "failed"])
mark_keys = st.text(st.sampled_from("/ab") | st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)


def ids_of(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.uint64)


def recent_s(later_ms: int = 0) -> float:
    """A moment of the last hour, in whole milliseconds, or one so much later: states of long ago may be forgotten."""
    return (STARTED_MS + later_ms) / 1000


def rows_of(store: CacheStore, table_id: str, ids: np.ndarray, names: list[str] = ALL) -> dict[int, dict[str, bytes]]:
    """What the store answers, as {id: {qualifier: value}}."""
    found = store.read_cells(table_id, ids, names)
    assert found.l2_ids.dtype == np.uint64
    assert np.all(found.l2_ids[1:] > found.l2_ids[:-1])
    assert set(found.columns) == set(names)
    assert all(len(column) == len(found.l2_ids) for column in found.columns.values())
    return {
        l2_id: {name: found.columns[name][row] for name in names} for row, l2_id in enumerate(found.l2_ids.tolist())
    }


class CacheStoreContract:
    """Subclasses provide the fixture `address`; what is written there may be kept between tests."""

    @pytest.fixture
    def store(self, address: str) -> Iterator[CacheStore]:
        store = open_store(address)
        yield store
        store.close()

    @pytest.fixture
    def table(self, store: CacheStore) -> str:
        """A new, empty table."""
        table_id = f"l2cache.test-{uuid.uuid4().hex[:12]}_v1"
        assert store.create_table(table_id, META)
        return table_id

    # tables

    def test_a_table_tells_the_meta_that_it_was_made_with(self, store: CacheStore, table: str) -> None:
        assert store.read_meta(table) == META

    def test_metas_time_is_utc(self, store: CacheStore) -> None:
        noon_in_tokyo = datetime(2026, 3, 4, 12, tzinfo=timezone(timedelta(hours=9)))
        table_id = f"tokyo_{uuid.uuid4().hex[:8]}"
        store.create_table(table_id, TableMeta("g", "graphene://x", noon_in_tokyo))
        read = store.read_meta(table_id).timestamp
        assert read == noon_in_tokyo
        assert read.utcoffset() == timedelta(0)

    def test_making_a_table_again_leaves_it_as_it_was(self, store: CacheStore, table: str) -> None:
        features = random_features(ids_of(FIRST_L2_ID))
        store.write_features(table, features)
        assert not store.create_table(table, TableMeta("other", "graphene://other", datetime(2020, 1, 1, tzinfo=UTC)))
        assert store.read_meta(table) == META
        assert rows_of(store, table, features.node_ids) == dict(feature_cells(features))

    def test_tables_do_not_mix(self, store: CacheStore, table: str) -> None:
        other = f"other_{uuid.uuid4().hex[:8]}"
        store.create_table(other, META)
        store.write_features(table, random_features(ids_of(FIRST_L2_ID)))
        store.write_marks(table, {"a": b"1"})
        assert rows_of(store, other, ids_of(FIRST_L2_ID)) == {}
        assert store.read_marks(other, "") == {}

    def test_a_cache_table_cannot_take_the_place_of_the_states(self, store: CacheStore) -> None:
        with pytest.raises(ConfigurationError, match="l2cache_states"):
            store.create_table("l2cache_states", META)

    @pytest.mark.parametrize("table_id", ["", "a b", "-a", ".a", "a/b", 'a"; DROP TABLE cells; --', "a" * 51, "ä"])
    def test_a_name_that_no_table_can_have_is_refused_or_not_found(self, store: CacheStore, table_id: str) -> None:
        with pytest.raises(ConfigurationError):
            store.create_table(table_id, META)
        with pytest.raises(TableNotFoundError):
            store.read_meta(table_id)

    USES: tuple[tuple[str, Callable[[CacheStore, str], Any]], ...] = (
        ("read_meta", lambda store, table: store.read_meta(table)),
        ("read_cells", lambda store, table: store.read_cells(table, ids_of(FIRST_L2_ID), ALL)),
        ("scan_ids", lambda store, table: store.scan_ids(table, [(0, FIRST_L2_ID)])),
        ("scan_rows", lambda store, table: store.scan_rows(table, [(0, FIRST_L2_ID)])),
        ("write_features", lambda store, table: store.write_features(table, random_features(ids_of(FIRST_L2_ID)))),
        ("write_voxelless", lambda store, table: store.write_voxelless(table, ids_of(FIRST_L2_ID))),
        ("write_marks", lambda store, table: store.write_marks(table, {"a": b"1"})),
        ("read_marks", lambda store, table: store.read_marks(table, "")),
        ("replace_mark", lambda store, table: store.replace_mark(table, "a", None, b"1")),
    )

    @pytest.mark.parametrize(("name", "use"), USES, ids=[name for name, _ in USES])
    def test_a_table_that_is_not_there_is_an_error_that_names_it(
        self, store: CacheStore, name: str, use: Callable[[CacheStore, str], Any]
    ) -> None:
        with pytest.raises(TableNotFoundError, match="no_such_table"):
            use(store, "no_such_table")

    # rows

    def test_rows_come_back_byte_for_byte(self, store: CacheStore, table: str) -> None:
        @per_example
        @given(features_strategy())
        def check(features: Features) -> None:
            store.write_features(table, features)
            assert rows_of(store, table, features.node_ids) == dict(feature_cells(features))

        check()

    def test_any_ids_find_the_rows_that_are_there(self, store: CacheStore, table: str) -> None:
        features = random_features(np.arange(0, 40, 2, dtype=np.uint64) + np.uint64(FIRST_L2_ID))
        store.write_features(table, features)
        written = dict(feature_cells(features))

        @per_example
        @given(st.lists(st.integers(FIRST_L2_ID, FIRST_L2_ID + 45) | st.integers(0, 2**64 - 1)))
        def check(asked: list[int]) -> None:
            expected = {l2_id: written[l2_id] for l2_id in asked if l2_id in written}
            assert rows_of(store, table, np.array(asked, dtype=np.uint64)) == expected

        check()

    def test_only_the_wanted_attributes_are_answered(self, store: CacheStore, table: str) -> None:
        features = random_features(ids_of(FIRST_L2_ID, FIRST_L2_ID + 9))
        store.write_features(table, features)

        @per_example
        @given(st.lists(st.sampled_from(ALL), unique=True))
        def check(names: list[str]) -> None:
            expected = {l2_id: {name: cells[name] for name in names} for l2_id, cells in feature_cells(features)}
            assert rows_of(store, table, features.node_ids, names) == expected

        check()

    def test_an_unknown_attribute_is_refused(self, store: CacheStore, table: str) -> None:
        with pytest.raises(UnknownAttributeError, match="colour"):
            store.read_cells(table, ids_of(FIRST_L2_ID), ["size_nm3", "colour"])

    def test_rows_without_pca_have_empty_cells(self, store: CacheStore, table: str) -> None:
        features = random_features(np.arange(50, dtype=np.uint64) + np.uint64(FIRST_L2_ID))
        store.write_features(table, features)
        rows = rows_of(store, table, features.node_ids, ["pca", "pca_val"])
        lengths = [(len(row["pca"]), len(row["pca_val"])) for row in rows.values()]
        assert lengths == [(18, 12) if has_pca else (0, 0) for has_pca in features.has_pca]

    def test_a_node_without_voxels_has_a_size_of_eight_zero_bytes(self, store: CacheStore, table: str) -> None:
        ids = ids_of(FIRST_L2_ID + 5, FIRST_L2_ID + 3, FIRST_L2_ID + 5)
        store.write_voxelless(table, ids)
        only_size = dict.fromkeys(ALL, b"") | {"size_nm3": VOXELLESS_SIZE}
        assert rows_of(store, table, ids) == {FIRST_L2_ID + 3: only_size, FIRST_L2_ID + 5: only_size}

    def test_a_row_is_there_whatever_attribute_is_asked_for(self, store: CacheStore, table: str) -> None:
        store.write_voxelless(table, ids_of(FIRST_L2_ID))
        assert rows_of(store, table, ids_of(FIRST_L2_ID), ["area_nm2"]) == {FIRST_L2_ID: {"area_nm2": b""}}
        assert rows_of(store, table, ids_of(FIRST_L2_ID), []) == {FIRST_L2_ID: {}}

    def test_the_newest_cells_count(self, store: CacheStore, table: str) -> None:
        ids = ids_of(FIRST_L2_ID, FIRST_L2_ID + 1)
        store.write_features(table, random_features(ids, seed=1))
        newest = random_features(ids, seed=2)
        store.write_features(table, newest)
        assert rows_of(store, table, ids) == dict(feature_cells(newest))

    def test_writing_twice_changes_nothing(self, store: CacheStore, table: str) -> None:
        features = random_features(np.arange(30, dtype=np.uint64) + np.uint64(FIRST_L2_ID))
        voxelless = ids_of(FIRST_L2_ID + 100)
        for _ in range(2):
            store.write_features(table, features)
            store.write_voxelless(table, voxelless)
        everything = rows_of(store, table, np.arange(200, dtype=np.uint64) + np.uint64(FIRST_L2_ID))
        assert {l2_id: everything[l2_id] for l2_id in features.node_ids.tolist()} == dict(feature_cells(features))
        assert len(everything) == len(features) + 1

    def test_ids_of_any_64_bits_are_kept_apart(self, store: CacheStore, table: str) -> None:
        features = random_features(ids_of(0, 1, 2**53, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 2, 2**64 - 1))
        store.write_features(table, features)
        assert rows_of(store, table, features.node_ids) == dict(feature_cells(features))

    def test_nothing_to_do_is_done(self, store: CacheStore, table: str) -> None:
        store.write_features(table, Features.empty())
        store.write_voxelless(table, ids_of())
        store.write_marks(table, {})
        assert rows_of(store, table, ids_of()) == {}
        assert rows_of(store, table, ids_of(FIRST_L2_ID, 7)) == {}
        assert store.read_marks(table, "") == {}

    def test_a_large_look_up_is_complete(self, store: CacheStore, table: str) -> None:
        features = random_features(np.arange(0, 40_000, 2, dtype=np.uint64) + np.uint64(FIRST_L2_ID))
        store.write_features(table, features)
        asked = np.random.default_rng(0).permutation(np.arange(40_000, dtype=np.uint64) + np.uint64(FIRST_L2_ID))
        assert rows_of(store, table, asked) == dict(feature_cells(features))

    # whole ranges of ids

    def test_a_scan_finds_the_ids_of_ranges_that_have_rows_and_which_are_empty(
        self, store: CacheStore, table: str
    ) -> None:
        middle = 1 << 63
        ids = ids_of(0, *range(FIRST_L2_ID, FIRST_L2_ID + 3000, 3), middle - 1, middle, 2**64 - 1)
        store.write_features(table, random_features(ids))
        voxelless = ids_of(FIRST_L2_ID + 1, middle + 1)
        store.write_voxelless(table, voxelless)
        store.write_marks(table, {f"{FIRST_L2_ID:020d}": b"1"})
        for ranges in (
            [(FIRST_L2_ID + 1, FIRST_L2_ID + 3), (FIRST_L2_ID + 6, FIRST_L2_ID + 6), (FIRST_L2_ID + 9, middle - 2)],
            [(middle - 1, middle + 1)],
            [(FIRST_L2_ID + 1, FIRST_L2_ID + 2), (FIRST_L2_ID + 4, FIRST_L2_ID + 5)],
            [(middle, 2**64 - 1), (0, 0)],
            [(0, 2**64 - 1)],
            [],
        ):
            found = store.scan_ids(table, ranges)
            there = sorted({*ids.tolist(), *voxelless.tolist()})
            expected = [one for one in there if any(first <= one <= last for first, last in ranges)]
            assert (found.l2_ids.dtype, found.l2_ids.tolist()) == (np.uint64, expected)
            assert found.l2_ids[found.empty].tolist() == [one for one in expected if one in voxelless.tolist()]

    def test_rows_are_scanned_cell_for_cell_and_written_elsewhere_as_they_are(
        self, store: CacheStore, table: str
    ) -> None:
        ids = ids_of(*range(FIRST_L2_ID, FIRST_L2_ID + 40))
        features = random_features(ids)
        store.write_features(table, features)
        store.write_voxelless(table, ids_of(FIRST_L2_ID + 50))
        ranges = [(FIRST_L2_ID + 50, FIRST_L2_ID + 60), (FIRST_L2_ID, FIRST_L2_ID + 29)]
        found = store.scan_rows(table, ranges)
        cells = {l2_id: own for l2_id, _, own in found.rows()}
        assert list(cells) == [*range(FIRST_L2_ID, FIRST_L2_ID + 30), FIRST_L2_ID + 50]
        expected = dict(feature_cells(features))
        assert {l2_id: own for l2_id, own in cells.items() if l2_id in expected} == {
            l2_id: expected[l2_id] for l2_id in cells if l2_id in expected
        }
        assert cells[FIRST_L2_ID + 50] == {SIZE.name: VOXELLESS_SIZE}
        assert len(store.scan_rows(table, [])) == 0
        other = f"{table[:40]}_copy"
        store.create_table(other, META)
        for _ in range(2):
            store.write_rows(other, found)
        copied = store.scan_rows(other, ranges)
        assert list(copied.rows()) == list(found.rows())
        assert copied.others == found.others == {}

    # attributes that were added after the table was made

    @pytest.fixture
    def newer(self, address: str) -> Iterator[CacheStore]:
        """A store of a later version, which knows one attribute more."""
        store = open_store(address, NINE)
        yield store
        store.close()

    def test_rows_of_before_have_no_value_of_it(self, store: CacheStore, newer: CacheStore, table: str) -> None:
        features, voxelless = random_features(ids_of(FIRST_L2_ID, FIRST_L2_ID + 1)), FIRST_L2_ID + 2
        store.write_features(table, features)
        store.write_voxelless(table, ids_of(voxelless))
        ids = ids_of(*features.node_ids.tolist(), voxelless, FIRST_L2_ID + 3)
        expected = {l2_id: cells | {BOX.name: b""} for l2_id, cells in feature_cells(features)}
        expected[voxelless] = dict.fromkeys(NINE.names, b"") | {SIZE.name: VOXELLESS_SIZE}
        assert rows_of(newer, table, ids, list(NINE.names)) == expected
        assert rows_of(newer, table, ids, [BOX.name]) == {l2_id: {BOX.name: b""} for l2_id in expected}

    def test_it_is_written_beside_the_others_and_older_readers_see_theirs(
        self, store: CacheStore, newer: CacheStore, table: str
    ) -> None:
        ids = np.arange(40, dtype=np.uint64) + np.uint64(FIRST_L2_ID)
        before, after = random_features(ids), random_features(ids, table=NINE).take(ids % np.uint64(2) == 0)
        store.write_features(table, before)
        newer.write_features(table, after)
        expected = {l2_id: cells | {BOX.name: b""} for l2_id, cells in feature_cells(before)}
        expected |= dict(feature_cells(after))
        assert rows_of(newer, table, ids, list(NINE.names)) == expected
        assert {len(row[BOX.name]) for row in expected.values()} == {0, BOX.n_bytes}
        assert rows_of(store, table, ids) == dict(feature_cells(before))
        store.write_features(table, before)
        assert rows_of(newer, table, ids, list(NINE.names)) == expected

    def test_a_newer_table_is_read_and_written_by_an_older_version(self, store: CacheStore, newer: CacheStore) -> None:
        table_id = f"newer_{uuid.uuid4().hex[:8]}"
        newer.create_table(table_id, META)
        features = random_features(ids_of(FIRST_L2_ID))
        store.write_features(table_id, features)
        assert rows_of(store, table_id, features.node_ids) == dict(feature_cells(features))
        assert rows_of(newer, table_id, features.node_ids, [BOX.name]) == {FIRST_L2_ID: {BOX.name: b""}}
        with pytest.raises(UnknownAttributeError, match=BOX.name):
            store.read_cells(table_id, features.node_ids, [BOX.name])

    # marks

    def test_marks_are_read_by_prefix_in_order(self, store: CacheStore, table: str) -> None:
        marks = {"run/b": b"1", "run/a": b"", "run0": b"2", "ru": b"3", "run/\U0010ffff": b"4", "run/é": b"\x00\xff"}
        store.write_marks(table, marks)
        assert list(store.read_marks(table, "run/").items()) == [
            ("run/a", b""), ("run/b", b"1"), ("run/é", b"\x00\xff"), ("run/\U0010ffff", b"4")
        ]  # fmt: skip
        assert store.read_marks(table, "") == marks
        assert store.read_marks(table, "other") == {}
        assert store.read_marks(table, "run/a") == {"run/a": b""}

    def test_marks_behave_as_a_dictionary(self, store: CacheStore, table: str) -> None:
        expected: dict[str, bytes] = {}

        @per_example
        @given(
            st.dictionaries(mark_keys, st.binary(max_size=50)),
            st.dictionaries(mark_keys, st.none() | st.binary(max_size=50)),
            mark_keys,
        )
        def check(first: dict[str, bytes], second: dict[str, bytes | None], prefix: str) -> None:
            nonlocal expected
            store.write_marks(table, first)
            store.write_marks(table, second)
            both = expected | first | second
            expected = dict(sorted((key, value) for key, value in both.items() if value is not None))
            assert list(store.read_marks(table, "").items()) == list(expected.items())
            for chosen in (prefix, *(key[: len(key) // 2 + 1] for key in (first | second))):
                wanted = {key: value for key, value in expected.items() if key.startswith(chosen)}
                assert list(store.read_marks(table, chosen).items()) == list(wanted.items())

        check()

    def test_a_mark_is_replaced_only_if_it_is_what_it_was(self, store: CacheStore, table: str) -> None:
        assert not store.replace_mark(table, "head/run", b"none", b"1")
        assert store.replace_mark(table, "head/run", None, b"1")
        assert not store.replace_mark(table, "head/run", None, b"2")
        assert not store.replace_mark(table, "head/run", b"0", b"2")
        assert store.read_marks(table, "") == {"head/run": b"1"}
        assert store.replace_mark(table, "head/run", b"1", b"2")
        store.write_marks(table, {"head/run": b"3", "head/other": b"4"})
        assert not store.replace_mark(table, "head/run", b"2", b"5")
        assert store.replace_mark(table, "head/run", b"3", b"\x00\xff")
        store.write_marks(table, {"head/run": None})
        assert store.replace_mark(table, "head/run", None, b"6")
        assert store.read_marks(table, "") == {"head/run": b"6", "head/other": b"4"}

    def test_of_many_that_replace_a_mark_at_once_one_succeeds(self, store: CacheStore, table: str) -> None:
        def claim(number: int) -> bool:
            barrier.wait()
            return store.replace_mark(table, "head/run", seen, b"%d of %d" % (number, turn))

        seen = None
        with ThreadPoolExecutor(8) as pool:
            for turn in range(20):
                barrier = threading.Barrier(8)
                won = [number for number, is_won in enumerate(pool.map(claim, range(8))) if is_won]
                assert len(won) == 1
                seen = store.read_marks(table, "head/")["head/run"]
                assert seen == b"%d of %d" % (won[0], turn)

    def test_marks_are_never_among_the_rows(self, store: CacheStore, table: str) -> None:
        digits = f"{FIRST_L2_ID:020d}"
        marks = {digits: b"1", "meta": b"2", "version": b"3", "": b"4"}
        store.write_marks(table, marks)
        assert rows_of(store, table, ids_of(FIRST_L2_ID)) == {}
        assert store.read_meta(table) == META
        store.write_features(table, random_features(ids_of(FIRST_L2_ID)))
        assert store.read_marks(table, "") == marks
        assert store.read_meta(table) == META
        assert len(rows_of(store, table, ids_of(FIRST_L2_ID))) == 1

    def test_many_marks_of_a_row_and_of_many_rows_are_read_at_once(self, store: CacheStore, table: str) -> None:
        together = {f"block/{number:06d}": b"done" for number in range(6_000)}
        apart = {f"blocks/{number:06d}/it": b"done" for number in range(6_000)}
        store.write_marks(table, {**apart, **together})
        assert store.read_marks(table, "block/") == together
        assert list(store.read_marks(table, "block").items()) == list({**together, **apart}.items())

    # states

    def test_states_come_back_whatever_the_order_and_however_often_asked_for(
        self, store: CacheStore, table: str
    ) -> None:
        since_s = recent_s()

        @per_example
        @given(
            st.dictionaries(st.integers(0, 2**64 - 1), st.tuples(state_names, st.text(max_size=30))),
            st.lists(st.integers(0, 2**64 - 1), max_size=5),
            st.randoms(use_true_random=False),
        )
        def check(written: dict[int, tuple[str, str]], others: list[int], random: Random) -> None:
            states = {l2_id: NodeState(name, since_s, reason) for l2_id, (name, reason) in written.items()}
            store.write_states(table, states)
            asked = [*written, *others, *written]
            random.shuffle(asked)
            found = store.read_states(table, np.array(asked, dtype=np.uint64))
            assert {l2_id: found[l2_id] for l2_id in written} == states

        check()

    def test_ids_without_a_state_have_none(self, store: CacheStore, table: str) -> None:
        assert store.read_states(table, ids_of(FIRST_L2_ID)) == {}
        assert store.read_states(table, ids_of()) == {}
        store.write_states(table, {})
        store.write_states(table, {FIRST_L2_ID: NodeState(UNKNOWN, recent_s())})
        assert store.read_states(table, ids_of(FIRST_L2_ID - 1, FIRST_L2_ID + 1)) == {}
        assert store.read_states(table, ids_of()) == {}

    def test_states_of_tables_are_apart_and_need_no_table(self, store: CacheStore, table: str) -> None:
        others = [table + "0", table[:-1], f"never_made_{uuid.uuid4().hex[:8]}"]
        state = NodeState(UNKNOWN, recent_s(), "asked for by a look-up")
        store.write_states(table, {FIRST_L2_ID: state})
        assert [store.read_states(other, ids_of(FIRST_L2_ID)) for other in others] == [{}, {}, {}]
        other_state = NodeState("failed", recent_s())
        for other in others:
            store.write_states(other, {FIRST_L2_ID: other_state})
        assert store.read_states(table, ids_of(FIRST_L2_ID)) == {FIRST_L2_ID: state}
        assert all(store.read_states(other, ids_of(FIRST_L2_ID)) == {FIRST_L2_ID: other_state} for other in others)

    def test_the_state_that_began_last_counts_in_whatever_order_they_are_written(
        self, store: CacheStore, table: str
    ) -> None:
        first, second, third = (
            NodeState("pending", recent_s()),
            NodeState("failed", recent_s(1)),
            NodeState("x", recent_s(9)),
        )
        store.write_states(table, {FIRST_L2_ID: first, FIRST_L2_ID + 1: third})
        store.write_states(table, {FIRST_L2_ID: second, FIRST_L2_ID + 1: first})
        store.write_states(table, {FIRST_L2_ID: first, FIRST_L2_ID + 1: second})
        found = store.read_states(table, ids_of(FIRST_L2_ID, FIRST_L2_ID + 1))
        assert found == {FIRST_L2_ID: second, FIRST_L2_ID + 1: third}

    def test_of_states_that_began_together_the_one_written_last_counts(self, store: CacheStore, table: str) -> None:
        for reason in ("one", "another", ""):
            state = NodeState("failed", recent_s(), reason)
            store.write_states(table, {FIRST_L2_ID: state})
            assert store.read_states(table, ids_of(FIRST_L2_ID)) == {FIRST_L2_ID: state}

    def test_states_are_never_among_the_rows_and_rows_change_no_state(self, store: CacheStore, table: str) -> None:
        state = NodeState(UNKNOWN, recent_s())
        store.write_states(table, {FIRST_L2_ID: state})
        assert rows_of(store, table, ids_of(FIRST_L2_ID)) == {}
        assert store.read_marks(table, "") == {}
        store.write_voxelless(table, ids_of(FIRST_L2_ID))
        assert store.read_states(table, ids_of(FIRST_L2_ID)) == {FIRST_L2_ID: state}

    def test_thousands_of_states_are_written_and_read_at_once(self, store: CacheStore, table: str) -> None:
        states = {FIRST_L2_ID + 3 * n: NodeState(UNKNOWN, recent_s(n), str(n)) for n in range(25_000)}
        store.write_states(table, states)
        asked = np.random.default_rng(0).permutation(np.arange(80_000, dtype=np.uint64) + np.uint64(FIRST_L2_ID))
        assert store.read_states(table, asked) == states

    @pytest.mark.parametrize("table_id", ["", "a b", "a/b", "a" * 51])
    def test_states_of_a_table_that_cannot_be_are_refused(self, store: CacheStore, table_id: str) -> None:
        with pytest.raises(TableNotFoundError):
            store.write_states(table_id, {FIRST_L2_ID: NodeState(UNKNOWN, recent_s())})
        with pytest.raises(TableNotFoundError):
            store.read_states(table_id, ids_of(FIRST_L2_ID))

    # many writers

    def test_threads_share_a_store(self, store: CacheStore, table: str) -> None:
        def write(batch: int) -> None:
            store.write_features(table, random_features(batch_ids(batch), seed=batch))
            store.write_marks(table, {f"{batch}": b""})
            assert len(rows_of(store, table, batch_ids(batch))) == ROWS_PER_BATCH

        failures: list[BaseException] = []

        def run(batch: int) -> None:
            try:
                write(batch)
            except BaseException as error:  # noqa: BLE001  # handed to the test's thread
                failures.append(error)

        threads = [threading.Thread(target=run, args=(batch,)) for batch in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert len(store.read_marks(table, "")) == 16

    def test_many_who_read_a_few_rows_at_once_get_each_their_own(self, store: CacheStore, table: str) -> None:
        features = random_features(np.arange(0, 40, 2, dtype=np.uint64) + np.uint64(FIRST_L2_ID))
        store.write_features(table, features)
        store.write_states(table, {FIRST_L2_ID + 1: NodeState(UNKNOWN, recent_s())})
        written = dict(feature_cells(features))

        def read(seed: int) -> None:
            random = Random(seed)
            for _ in range(20):
                asked = random.sample(range(FIRST_L2_ID, FIRST_L2_ID + 40), random.randint(1, 10))
                names = random.sample(ALL, random.choice([1, 3, len(ALL)]))
                expected = {i: {name: written[i][name] for name in names} for i in asked if i in written}
                assert rows_of(store, table, np.array(asked, dtype=np.uint64), names) == expected
                assert [*store.read_states(table, ids_of(*asked))] == [FIRST_L2_ID + 1] * (FIRST_L2_ID + 1 in asked)

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(read, range(16)))

    def test_processes_write_at_once_and_lose_nothing(self, store: CacheStore, address: str, table: str) -> None:
        with ExitStack() as stack:
            writers = [stack.enter_context(writer(address, table, 20 * n, 20 * n + 20)) for n in range(4)]
            assert [process.wait(timeout=120) for process in writers] == [0] * 4
        for batch in range(80):
            expected = dict(feature_cells(random_features(batch_ids(batch), seed=batch)))
            assert rows_of(store, table, batch_ids(batch)) == expected
        assert len(store.read_marks(table, "batch/")) == 80

    def test_a_killed_writer_leaves_whole_rows_and_all_that_it_was_told_is_written(
        self, store: CacheStore, address: str, table: str
    ) -> None:
        with writer(address, table, 0, 100_000) as process:
            assert process.stdout is not None
            assert process.stdout.readline().strip() == b"writing"
            process.kill()
        finished = len(store.read_marks(table, "batch/"))
        assert 1 <= finished < 100_000
        for batch in range(finished + 2):
            expected = dict(feature_cells(random_features(batch_ids(batch), seed=batch)))
            found = rows_of(store, table, batch_ids(batch))
            assert all(cells == expected[l2_id] for l2_id, cells in found.items())
            assert len(found) == ROWS_PER_BATCH or batch >= finished
        store.write_features(table, random_features(batch_ids(0), seed=0))


def writer(address: str, table: str, first_batch: int, end_batch: int) -> subprocess.Popen[bytes]:
    """Another process that writes batches `first_batch` to `end_batch`; `with` waits for its end."""
    command = [sys.executable, "-m", "tests.contract.store_writer", address, table, str(first_batch), str(end_batch)]
    return subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE)
