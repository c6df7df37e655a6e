"""Threads that share out a range among them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias, TypeVar

T = TypeVar("T")

_PIECES_OF_A_THREAD = 8

Ranges: TypeAlias = Iterator[tuple[int, int]]
"""Ranges begin <= i < end, ascending."""


def in_ranges(task: Callable[[int, int], T], count: int, threads: int) -> list[T]:
    """Results of task(begin, end) for up to `threads` equal ranges of `count`, computed at the same time."""
    ranges = _equal_ranges(count, threads)
    if len(ranges) <= 1:
        return [task(begin, end) for begin, end in ranges]
    with ThreadPoolExecutor(len(ranges)) as pool:
        return list(pool.map(lambda limits: task(*limits), ranges))


def in_turns(task: Callable[[Ranges], T], count: int, threads: int) -> list[T]:
    """Results of `task` in up to `threads` threads, which take pieces of a range until none is left.

    Pieces of the same length take unequal times, where labels are dense in a part of a chunk or a core does other work
    beside; so none is dealt out before it is begun. Each thread gets ascending ones, perhaps none.

    Args:
      task: is given the pieces as it takes them; they are all of them if there is one thread.
      count: length of the range.
      threads: how many there may be.
    """
    ranges = _equal_ranges(count, threads * _PIECES_OF_A_THREAD if threads > 1 else 1)
    threads = min(threads, len(ranges))
    taken = iter(ranges)  # of a list: threads may share it
    if threads <= 1:
        return [task(taken)] if ranges else []
    with ThreadPoolExecutor(threads) as pool:
        return [future.result() for future in [pool.submit(task, taken) for _ in range(threads)]]


def _equal_ranges(count: int, parts: int) -> list[tuple[int, int]]:
    bounds = [count * i // parts for i in range(parts + 1)]
    return [(begin, end) for begin, end in itertools.pairwise(bounds) if end > begin]
