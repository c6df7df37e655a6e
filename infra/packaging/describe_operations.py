"""Writes `l2cache/operations.json`, from which the terminal client makes its commands, after the operations' table.

`python -m infra.packaging.describe_operations`
"""

from __future__ import annotations

import json
from pathlib import Path

from shared.ingest.control.operations import describe

FILE = Path(__file__).resolve().parents[2] / "l2cache" / "operations.json"


def text() -> str:
    """What the file is to hold."""
    return json.dumps(describe(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(text())
