"""Who the sender of a request is."""

from __future__ import annotations

import flask


def caller_of_request() -> str:
    """Who sent Flask's current request: the user that middle-auth found, else the address that it came from.

    The platform's front end appends the address it sees to `X-Forwarded-For`; what stands before it is the caller's own
    word, and is not believed.
    """
    user = flask.g.get("auth_user")
    if isinstance(user, dict) and user.get("id"):
        return f"user {user['id']}"
    forwarded = flask.request.headers.get("X-Forwarded-For", "")
    return f"address {forwarded.rpartition(',')[2].strip() or flask.request.remote_addr}"
