"""What the embedded bus and queue promise a dispatcher."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import StorageUnavailableError
from shared.sqlite.deliveries import Deliveries
from shared.sqlite.delivery import Counts, Delivery, Failure, RetryPolicy

POLICY = RetryPolicy(attempts=3, first_pause_s=10, longest_pause_s=15, jitter=0.5)
NOW_S = 1_800_000_000.0
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def deliveries(tmp_path: Path) -> Iterator[Deliveries]:
    deliveries = Deliveries(tmp_path / "deliveries.db", POLICY)
    yield deliveries
    deliveries.close()


def message(body: bytes) -> Delivery:
    return Delivery("message", body, {"table_id": "graph"})


def task(name: str, body: bytes = b"{}") -> Delivery:
    return Delivery("compute", body, {}, name, "/chunks")


def test_a_lease_tells_all_of_a_delivery(deliveries: Deliveries) -> None:
    deliveries.add([task("a", b"1"), message(b"2")], NOW_S)
    first, second = deliveries.lease(10, NOW_S)
    assert (first.kind, first.body, first.attributes, first.name, first.path) == (
        "message", b"2", {"table_id": "graph"}, "", "",
    )  # fmt: skip
    assert (second.kind, second.body, second.name, second.path, second.attempt) == ("compute", b"1", "a", "/chunks", 1)


def test_what_is_leased_is_not_leased_again(deliveries: Deliveries) -> None:
    deliveries.add([message(b"%d" % number) for number in range(5)], NOW_S)
    leased = deliveries.lease(3, NOW_S) + deliveries.lease(3, NOW_S)
    assert [lease.body for lease in leased] == [b"0", b"1", b"2", b"3", b"4"]
    assert deliveries.lease(3, NOW_S) == []


def test_the_most_urgent_kinds_come_first_and_only_the_wanted_ones(deliveries: Deliveries) -> None:
    deliveries.add([task("a"), task("b"), message(b"m")], NOW_S)
    assert [lease.kind for lease in deliveries.lease(2, NOW_S, ("message", "compute"))] == ["message", "compute"]
    assert deliveries.lease(2, NOW_S, ("ingest", "message")) == []


def test_nothing_is_leased_before_it_is_due(deliveries: Deliveries) -> None:
    deliveries.add([message(b"later")], NOW_S + 5)
    assert deliveries.lease(1, NOW_S) == []
    assert len(deliveries.lease(1, NOW_S + 5)) == 1


def test_an_acknowledged_delivery_is_over_but_its_name_is_taken(deliveries: Deliveries) -> None:
    deliveries.add([task("a"), message(b"m")], NOW_S)
    deliveries.acknowledge([lease.id for lease in deliveries.lease(10, NOW_S)])
    assert deliveries.lease(10, NOW_S + 1000) == []
    assert deliveries.counts() == {"compute": Counts(done=1), "message": Counts(done=1)}
    assert deliveries.add([task("a")], NOW_S) == 0


def test_acknowledging_twice_counts_once(deliveries: Deliveries) -> None:
    deliveries.add([task("a")], NOW_S)
    (lease,) = deliveries.lease(1, NOW_S)
    deliveries.acknowledge([lease.id])
    deliveries.acknowledge([lease.id])
    assert deliveries.counts() == {"compute": Counts(done=1)}


def test_a_failed_delivery_comes_again_after_a_pause_that_grows(deliveries: Deliveries) -> None:
    deliveries.add([task("a")], NOW_S)
    (lease,) = deliveries.lease(1, NOW_S)
    deliveries.retry([Failure(lease.id, "status 503")], NOW_S)
    assert deliveries.lease(1, NOW_S + 4.9) == []
    (again,) = deliveries.lease(1, NOW_S + 10)
    assert (again.id, again.attempt) == (lease.id, 2)
    deliveries.retry([Failure(lease.id, "status 503")], NOW_S)
    assert deliveries.lease(1, NOW_S + 7.4) == []
    assert len(deliveries.lease(1, NOW_S + 15)) == 1


def test_the_receiver_may_ask_for_a_longer_pause(deliveries: Deliveries) -> None:
    deliveries.add([task("a")], NOW_S)
    (lease,) = deliveries.lease(1, NOW_S)
    deliveries.retry([Failure(lease.id, "status 429", pause_s=100)], NOW_S)
    assert deliveries.lease(1, NOW_S + 99.9) == []
    assert len(deliveries.lease(1, NOW_S + 100)) == 1


def test_the_receiver_cannot_ask_for_a_pause_of_hours(deliveries: Deliveries) -> None:
    deliveries.add([task("a")], NOW_S)
    (lease,) = deliveries.lease(1, NOW_S)
    deliveries.retry([Failure(lease.id, "status 429", pause_s=100_000)], NOW_S)
    assert len(deliveries.lease(1, NOW_S + 600)) == 1


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_pauses_stay_between_jitter_and_longest(attempt: int, random_share: float) -> None:
    pause_s = POLICY.pause_s(attempt, random_share)
    assert min(10 * 2.0 ** min(attempt - 1, 50), 15) * 0.5 <= pause_s <= 15


def test_what_fails_again_and_again_becomes_a_dead_letter_with_its_reason(deliveries: Deliveries) -> None:
    deliveries.add([task("a", b"body")], NOW_S)
    for attempt in range(1, 4):
        (lease,) = deliveries.lease(1, NOW_S + 100 * attempt)
        assert lease.attempt == attempt
        deliveries.retry([Failure(lease.id, f"failure {attempt}")], NOW_S + 100 * attempt)
    assert deliveries.lease(1, NOW_S + 10_000) == []
    (dead,) = deliveries.dead_letters()
    assert (dead.reason, dead.lease.name, dead.lease.body, dead.lease.attempt) == ("failure 3", "a", b"body", 3)
    assert deliveries.counts() == {"compute": Counts(dead=1)}


def test_dead_letters_can_be_replayed_with_all_attempts(tmp_path: Path) -> None:
    deliveries = Deliveries(tmp_path / "deliveries.db", RetryPolicy(attempts=1))
    deliveries.add([task("a"), task("b"), task("c")], NOW_S)
    leases = deliveries.lease(3, NOW_S)
    deliveries.retry([Failure(lease.id, "bad") for lease in leases], NOW_S)
    assert deliveries.replay(NOW_S, [leases[1].id, 12345]) == 1
    assert [(lease.name, lease.attempt) for lease in deliveries.lease(3, NOW_S)] == [("b", 1)]
    assert [dead.lease.name for dead in deliveries.dead_letters()] == ["a", "c"]
    assert [dead.lease.name for dead in deliveries.dead_letters(limit=1)] == ["a"]
    assert deliveries.replay(NOW_S) == 2
    assert deliveries.dead_letters() == []
    assert deliveries.replay(NOW_S) == 0
    deliveries.close()


def test_a_new_dispatcher_takes_over_what_the_killed_one_had_leased(deliveries: Deliveries, tmp_path: Path) -> None:
    deliveries.add([message(b"%d" % number) for number in range(3)], NOW_S)
    program = (
        "import os, sys, pathlib; from shared.sqlite.deliveries import Deliveries;"
        f"print(len(Deliveries(pathlib.Path(sys.argv[1])).lease(2, {NOW_S})), flush=True); os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "deliveries.db")],
        cwd=REPOSITORY,
        capture_output=True,
        check=False,
    )
    assert killed.stdout.strip() == b"2"
    assert killed.returncode == -9
    assert deliveries.counts() == {"message": Counts(waiting=1, leased=2)}
    assert deliveries.release_leases() == 2
    again = deliveries.lease(10, NOW_S)
    assert sorted((lease.body, lease.attempt) for lease in again) == [(b"0", 2), (b"1", 2), (b"2", 1)]


def test_a_lease_ends_by_itself_whoever_held_it(deliveries: Deliveries) -> None:
    deliveries.add([message(b"0"), message(b"1")], NOW_S)
    (lost,) = deliveries.lease(1, NOW_S)
    assert [lease.body for lease in deliveries.lease(2, NOW_S + 30)] == [b"1"]
    assert deliveries.lease(2, NOW_S + 59) == []
    (again,) = deliveries.lease(1, NOW_S + 60)
    assert (again.id, again.attempt) == (lost.id, 2)


def test_an_ended_lease_is_not_left_behind_what_waits(deliveries: Deliveries) -> None:
    deliveries.add([message(b"%d" % number) for number in range(100)], NOW_S)
    deliveries.lease(1, NOW_S)
    assert [lease.body for lease in deliveries.lease(2, NOW_S + 60)] == [b"0", b"1"]


def test_a_renewed_lease_lasts_from_then_on(deliveries: Deliveries) -> None:
    deliveries.add([message(b"kept"), message(b"lost")], NOW_S)
    kept, _ = deliveries.lease(2, NOW_S)
    deliveries.renew([kept.id], NOW_S + 45)
    assert [lease.body for lease in deliveries.lease(2, NOW_S + 100)] == [b"lost"]
    assert [lease.body for lease in deliveries.lease(2, NOW_S + 105)] == [b"kept"]


def test_renewing_what_is_no_lease_any_more_changes_nothing(deliveries: Deliveries) -> None:
    deliveries.add([task("over"), task("failed")], NOW_S)
    over, failed = deliveries.lease(2, NOW_S)
    deliveries.acknowledge([over.id])
    deliveries.retry([Failure(failed.id, "status 503")], NOW_S)
    deliveries.renew([over.id, failed.id], NOW_S)
    assert [lease.name for lease in deliveries.lease(2, NOW_S + 10)] == ["failed"]


def test_who_still_has_a_delivery_under_way_does_not_get_it_again(deliveries: Deliveries) -> None:
    deliveries.add([message(b"0"), message(b"1")], NOW_S)
    first, _ = deliveries.lease(2, NOW_S)
    assert [lease.body for lease in deliveries.lease(2, NOW_S + 600, held=[first.id])] == [b"1"]


def test_a_clock_that_was_set_back_holds_nothing_up(deliveries: Deliveries) -> None:
    an_hour_s = 3600
    deliveries.add([message(b"leased"), message(b"failed"), message(b"waiting")], NOW_S)
    _, failed = deliveries.lease(2, NOW_S)
    deliveries.retry([Failure(failed.id, "status 503")], NOW_S)
    bodies = [lease.body for lease in deliveries.lease(3, NOW_S - an_hour_s)]
    assert sorted(bodies) == [b"failed", b"leased", b"waiting"]


def test_a_file_of_the_time_before_leases_ended_goes_on(deliveries: Deliveries, tmp_path: Path) -> None:
    file = sqlite3.connect(tmp_path / "deliveries.db")
    file.executescript(
        """
        CREATE TABLE deliveries (
          id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, name TEXT NOT NULL, path TEXT NOT NULL,
          attributes TEXT NOT NULL, body BLOB NOT NULL, state TEXT NOT NULL, attempt INTEGER NOT NULL,
          due_s REAL NOT NULL, reason TEXT NOT NULL
        );
        CREATE INDEX deliveries_by_state ON deliveries (state, kind, due_s);
        CREATE TABLE names (name TEXT PRIMARY KEY) WITHOUT ROWID;
        CREATE TABLE done (kind TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID;
        INSERT INTO deliveries (kind, name, path, attributes, body, state, attempt, due_s, reason) VALUES
          ('message', '', '', '{"table_id": "graph"}', x'31', 'leased', 1, 1700000000, ''),
          ('message', '', '', '{"table_id": "graph"}', x'32', 'waiting', 0, 1700000001, ''),
          ('compute', 'a', '/chunks', '{}', x'33', 'dead', 10, 1700000002, 'status 503');
        """
    )
    file.close()
    leases = deliveries.lease(5, NOW_S)
    assert [(lease.kind, lease.body, lease.attempt) for lease in leases] == [("message", b"1", 2), ("message", b"2", 1)]
    assert [dead.reason for dead in deliveries.dead_letters()] == ["status 503"]


def test_what_was_given_up_elsewhere_is_a_dead_letter_and_can_be_replayed(deliveries: Deliveries) -> None:
    deliveries.add_dead_letter(Delivery("edit", b"body", {"table_id": "graph"}, "m7"), 3, "the volume is away")
    assert deliveries.lease(1, NOW_S) == []
    (dead,) = deliveries.dead_letters()
    assert (dead.reason, dead.lease.attempt, dead.lease.name) == ("the volume is away", 3, "m7")
    assert deliveries.replay(NOW_S) == 1
    (lease,) = deliveries.lease(1, NOW_S)
    assert (lease.kind, lease.body, lease.attributes, lease.attempt) == ("edit", b"body", {"table_id": "graph"}, 1)


def test_a_file_that_others_have_locked_is_away_after_its_deadline(tmp_path: Path) -> None:
    deliveries = Deliveries(tmp_path / "deliveries.db", deadline_s=0.1)
    deliveries.add([message(b"0")], NOW_S)
    other = sqlite3.connect(tmp_path / "deliveries.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageUnavailableError):
        deliveries.lease(1, NOW_S)
    other.close()
    (lease,) = deliveries.lease(1, NOW_S)
    assert lease.attempt == 1
    deliveries.close()


def test_counts_tell_every_kind_and_state(deliveries: Deliveries) -> None:
    assert deliveries.counts() == {}
    deliveries.add([task("a"), task("b"), message(b"m")], NOW_S)
    deliveries.lease(1, NOW_S, ("compute",))
    assert deliveries.counts() == {"compute": Counts(waiting=1, leased=1), "message": Counts(waiting=1)}


def test_an_outcome_of_what_is_over_is_ignored(deliveries: Deliveries) -> None:
    deliveries.add([task("a")], NOW_S)
    (lease,) = deliveries.lease(1, NOW_S)
    deliveries.acknowledge([lease.id])
    deliveries.retry([Failure(lease.id, "late")], NOW_S)
    assert deliveries.counts() == {"compute": Counts(done=1)}


def test_a_message_that_was_published_survives_a_kill(deliveries: Deliveries, tmp_path: Path) -> None:
    program = (
        "import os, sys; from shared.bus.open import open_bus;"
        "open_bus('sqlite://' + sys.argv[1]).publish({'a': 'b'}, b'data'); os.kill(os.getpid(), 9)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "deliveries.db")]
    assert subprocess.run(command, cwd=REPOSITORY, check=False).returncode == -9
    assert [(lease.attributes, lease.body) for lease in deliveries.lease(5, 1e12)] == [({"a": "b"}, b"data")]
