from __future__ import annotations

import threading

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from shared.lookup.published import PublishedMisses


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def array(*ids: int) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    return np.array(sorted(ids), dtype=np.uint64)


@given(
    st.lists(st.tuples(st.floats(0, 40), st.sets(st.integers(0, 30)), st.booleans()), max_size=12),
)
def test_an_id_is_due_again_when_its_pause_is_over_or_its_claim_was_taken_back(
    steps: list[tuple[float, set[int], bool]],
) -> None:
    clock = Clock()
    published = PublishedMisses(60.0, clock=clock)
    until_s: dict[int, float] = {}
    for passed_s, ids, taken_back in steps:
        clock.now_s += passed_s
        due = {i for i in ids if until_s.get(i, 0.0) <= clock.now_s}
        assert published.due(array(*ids)).tolist() == sorted(due)
        assert published.claim(array(*ids)).tolist() == sorted(due)
        until_s.update(dict.fromkeys(due, clock.now_s + 60.0))
        if taken_back:
            published.release(array(*due))
            for i in due:
                del until_s[i]
    assert len(published) == sum(clock.now_s < end for end in until_s.values())


def test_ids_of_the_whole_range_are_kept_apart() -> None:
    published = PublishedMisses(60.0)
    assert published.claim(array(0, 2**63, 2**64 - 2)).tolist() == [0, 2**63, 2**64 - 2]
    assert published.claim(array(1, 2**63, 2**64 - 1)).tolist() == [1, 2**64 - 1]


def test_no_more_than_its_capacity_is_remembered_and_the_oldest_go_first() -> None:
    clock = Clock()
    published = PublishedMisses(60.0, capacity=4, clock=clock)
    for ids in (array(1, 2), array(3, 4), array(5, 6)):
        clock.now_s += 1
        published.claim(ids)
    assert len(published) == 4
    assert published.claim(array(3, 4, 5, 6)).tolist() == []
    assert published.claim(array(1, 2)).tolist() == [1, 2]


def test_more_ids_at_once_than_its_capacity_are_all_due() -> None:
    published = PublishedMisses(60.0, capacity=4)
    assert len(published.claim(array(*range(100)))) == 100
    assert len(published) == 4


def test_without_a_pause_every_id_is_always_due() -> None:
    published = PublishedMisses(0.0)
    assert published.claim(array(1)).tolist() == published.claim(array(1)).tolist() == [1]


def test_each_id_is_claimed_by_one_of_many_threads() -> None:
    published = PublishedMisses(60.0)
    claimed: list[int] = []
    barrier = threading.Barrier(8)

    def claim() -> None:
        barrier.wait()
        for start in range(0, 400, 10):
            claimed.extend(published.claim(array(*range(start, start + 40))).tolist())

    threads = [threading.Thread(target=claim) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == list(range(430))
