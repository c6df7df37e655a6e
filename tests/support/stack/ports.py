"""Ports of the stacks that tests start."""

from __future__ import annotations

import json
from pathlib import Path

from infra.local.ports import PREFERRED_PORTS


def take_free_ports(state: Path) -> Path:
    """Has a stack on this folder, which is made and given back, take free ports instead of the preferred ones.

    Tests run side by side: two stacks that start at once would find the same preferred port free. And another stack
    must not answer in the place of one that is down.
    """
    state.mkdir(parents=True, exist_ok=True)
    (state / "ports.json").write_text(json.dumps(dict.fromkeys(PREFERRED_PORTS, 0)))
    return state
