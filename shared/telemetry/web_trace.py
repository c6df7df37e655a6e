"""The trace that a request belongs to."""

from __future__ import annotations

import re

from werkzeug.datastructures import Headers

from shared.telemetry.trace import trace_of

_CLOUD = re.compile(r"([0-9a-fA-F]{32})(?:/.*)?")


def trace_id(headers: Headers) -> str | None:
    """The trace id, 32 hexadecimal digits, from `traceparent` or `X-Cloud-Trace-Context`; None without one.

    Sources: https://www.w3.org/TR/trace-context/, https://cloud.google.com/trace/docs/trace-context
    """
    if (trace := trace_of(headers.get("traceparent", default=""))) is not None:
        return trace
    match = _CLOUD.fullmatch(headers.get("X-Cloud-Trace-Context", default=""))
    return match[1].lower() if match else None
