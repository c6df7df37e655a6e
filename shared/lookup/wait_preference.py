"""How long a request asks to wait: `?wait=5`, or the header `Prefer: wait=5` (RFC 7240)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared.errors import BadRequestError

LONGEST_WAIT_S = 30.0
_SECONDS = re.compile(r"[0-9]{1,6}(?:\.[0-9]{0,6})?")
_PREFERENCE = re.compile(r"\s*wait\s*=\s*\"?([0-9]{1,6})\"?\s*(?:;.*)?", re.IGNORECASE)


@dataclass(frozen=True)
class WaitPreference:
    """What a request asks for.

    Attributes:
      seconds: how long it may wait, up to `LONGEST_WAIT_S`; 0 not to wait.
      applied: what `Preference-Applied` says if it does; empty where no `Prefer` asked for it.
    """

    seconds: float = 0.0
    applied: str = ""


def wait_preference(parameters: Mapping[str, Sequence[str]], prefer: Sequence[str]) -> WaitPreference:
    """How long a request asks to wait.

    Args:
      parameters: the query string's values by name; `wait` there goes before the header.
      prefer: the values of the header `Prefer`. A longer wait there than is possible becomes the longest; what is no
        number of seconds is ignored, as RFC 7240 wants it.

    Raises:
      BadRequestError: if `wait` in the query is no number of seconds from 0 to `LONGEST_WAIT_S`.
    """
    if "wait" in parameters:
        text = parameters["wait"][0].strip()
        if not _SECONDS.fullmatch(text) or float(text) > LONGEST_WAIT_S:
            raise BadRequestError(f"wait must be a number of seconds from 0 to {LONGEST_WAIT_S:g}, not {text[:40]!r}")
        return WaitPreference(float(text))
    for preference in ",".join(prefer).split(","):
        found = _PREFERENCE.fullmatch(preference)
        if found:
            seconds = min(float(found[1]), LONGEST_WAIT_S)
            return WaitPreference(seconds, f"wait={seconds:g}")
    return WaitPreference()
