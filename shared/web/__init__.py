"""What the functions share of HTTP: errors as JSON, bodies with limits, packed answers, an app inside a function."""

from shared.web.answers import json_response, pack_answers
from shared.web.body import read_body
from shared.web.dispatch import HostedApp
from shared.web.errors import STATUSES, answer_errors, error_response, status_of
from shared.web.rate import RateLimiter, caller_of_request
from shared.web.trace import trace_id

__all__ = [
    "STATUSES",
    "HostedApp",
    "RateLimiter",
    "answer_errors",
    "caller_of_request",
    "error_response",
    "json_response",
    "pack_answers",
    "read_body",
    "status_of",
    "trace_id",
]
