"""The trace that work belongs to, which joins a look-up, the misses that it publishes, and their computation."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")
_TRACE: ContextVar[str | None] = ContextVar("trace", default=None)


@contextmanager
def in_trace(trace: str | None) -> Iterator[None]:
    """Has what this thread does inside the block belong to a trace; None leaves it in the one that it is in.

    Args:
      trace: 32 hexadecimal digits.
    """
    token = _TRACE.set(trace or _TRACE.get())
    try:
        yield
    finally:
        _TRACE.reset(token)


def current_trace() -> str | None:
    """The trace that this thread works in, if it does."""
    return _TRACE.get()


def traceparent(trace: str) -> str:
    """What hands a trace on, as https://www.w3.org/TR/trace-context/ has it; the span that it names is a new one."""
    return f"00-{trace}-{secrets.token_hex(8)}-01"


def trace_of(traceparent: str) -> str | None:
    """The trace that a `traceparent` hands on; None for any other text."""
    match = _TRACEPARENT.fullmatch(traceparent)
    return match[1] if match else None
