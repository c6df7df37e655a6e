"""Requests to functions that may be dead: an answer, or word that there was none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import requests

from tests.soak.site import Site

TIMEOUT_S = 90.0
NO_ANSWER = 0
EXPECTED = (200, 204, NO_ANSWER, 503)


@dataclass(frozen=True)
class Answer:
    """A status, `NO_ANSWER` if the connection broke or nothing came in time, and the decoded JSON."""

    status: int
    document: Any

    @property
    def ok(self) -> bool:
        """Whether it did what was asked."""
        return self.status == 200


def ask(site: Site, method: str, url: str, also: tuple[int, ...] = (), **arguments: Any) -> Answer:
    """Sends a request; an answer of a status that nothing excuses is a complaint.

    Args:
      site: where complaints go.
      method: of the request.
      url: of the request.
      also: statuses that are fine beside 200, 204, 503 and no answer at all.
      **arguments: as `requests.request`.
    """
    try:
        response = requests.request(method, url, timeout=TIMEOUT_S, **arguments)
    except requests.RequestException:
        return Answer(NO_ANSWER, None)
    try:
        document = response.json() if response.content else None
    except ValueError:
        document = None
        if response.status_code != 503:  # of a server that is just starting or ending
            site.complain(f"{method} {url}: {response.status_code} that is no JSON: {response.text[:200]!r}")
    if response.status_code not in (*EXPECTED, *also):
        site.complain(f"{method} {url.split('/', 3)[3]}: {response.status_code} {response.text[:300]!r}")
    return Answer(response.status_code, document)
