"""How much of a limited time is left."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TypeAlias

TimeLeft: TypeAlias = Callable[[], float]
"""Seconds that are left, never less than 0; infinite for a time without a limit."""


def countdown(within_s: float | None, clock: Callable[[], float] = time.monotonic) -> TimeLeft:
    """Says how much is left of a time that begins now.

    Args:
      within_s: how long it is; None for a time without a limit.
      clock: seconds, ever growing.
    """
    end_s = math.inf if within_s is None else clock() + within_s
    return lambda: max(0.0, end_s - clock())
