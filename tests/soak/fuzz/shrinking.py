"""Smaller requests that fail in the same way."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import replace

from tests.soak.fuzz.case import Case

_LENGTH = re.compile(rb"(\r\nContent-Length: )(\d+)(?=\r\n)")
WITHIN_S = 3.0


def shrunk(case: Case, fails: Callable[[Case], bool], within_s: float = WITHIN_S) -> Case:
    """The case with as much of its body cut out as leaves it failing.

    Args:
      case: fails.
      fails: whether another one fails in the same way.
      within_s: time for looking.
    """
    end_s = time.monotonic() + within_s
    head, separator, body = case.raw.partition(b"\r\n\r\n")
    size = max(1, len(body) // 2)
    while size and time.monotonic() < end_s:
        start, cut = 0, False
        while start < len(body) and time.monotonic() < end_s:
            shorter = body[:start] + body[start + size :]
            candidate = replace(case, raw=_with_length(head, len(shorter)) + separator + shorter)
            if fails(candidate):
                case, body, cut = candidate, shorter, True
            else:
                start += size
        size = size if cut and size > 1 else size // 2
    return case


def _with_length(head: bytes, length: int) -> bytes:
    return _LENGTH.sub(rb"\g<1>%d" % length, head + b"\r\n")[:-2]
