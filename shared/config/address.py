"""Addresses of stores, buses and queues: `SCHEME://...`."""

from __future__ import annotations

import re

_SCHEME = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]{0,30})://")


def unknown_scheme(address: str) -> str:
    """What an error says of an address of an unknown kind: its scheme only, since the rest may hold a password."""
    match = _SCHEME.match(address)
    return f"{match['scheme']}:// is not known" if match else "this address has no scheme"
