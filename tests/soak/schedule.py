"""What is done when, all of it from a seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from tests.soak.faults.base import Fault

SHORTEST_S = 0.5
MOST_AT_ONCE = 3


@dataclass(frozen=True)
class Planned:
    """A fault and when it is there, in seconds from the round's beginning; `seed` is of its own chance."""

    fault: Fault
    from_s: float
    until_s: float
    seed: int


def planned(
    faults: Sequence[Fault], round_s: float, seed: str, gap_s: tuple[float, float] = (0.5, 3.0)
) -> list[Planned]:
    """The faults of a round: each at least once if there is time, no more than a few at once, none beside itself.

    Args:
      faults: those that can be had.
      round_s: all are over by then.
      seed: of all chance.
      gap_s: time between two beginnings, at least and at most.
    """
    chance = random.Random(seed)
    made: list[Planned] = []
    deck: list[Fault] = []
    now_s = chance.uniform(*gap_s)
    while faults and now_s < round_s - SHORTEST_S:
        if not deck:
            deck = chance.sample(list(faults), len(faults))
        busy = [one for one in made if one.until_s > now_s]
        fault = next((one for one in deck if all(one is not other.fault for other in busy)), None)
        if fault is not None and len(busy) < MOST_AT_ONCE:
            deck.remove(fault)
            length_s = chance.uniform(SHORTEST_S, max(SHORTEST_S, fault.longest_s))
            made.append(Planned(fault, now_s, min(round_s, now_s + length_s), chance.randrange(2**32)))
        now_s += chance.uniform(*gap_s)
    return made
