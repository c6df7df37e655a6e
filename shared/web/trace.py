"""The trace that a request belongs to."""

from __future__ import annotations

import re

from werkzeug.datastructures import Headers

_CLOUD = re.compile(r"([0-9a-fA-F]{32})(?:/.*)?")
_W3C = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")


def trace_id(headers: Headers) -> str | None:
    """The trace id, 32 hexadecimal digits, from `traceparent` or `X-Cloud-Trace-Context`; None without one.

    Sources: https://www.w3.org/TR/trace-context/, https://cloud.google.com/trace/docs/trace-context
    """
    for pattern, name in ((_W3C, "traceparent"), (_CLOUD, "X-Cloud-Trace-Context")):
        match = pattern.fullmatch(headers.get(name, default=""))
        if match:
            return match[1].lower()
    return None
