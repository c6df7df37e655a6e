"""Options that several benchmarks have."""

from __future__ import annotations

import argparse
import os
from pathlib import Path


def data_option(parser: argparse.ArgumentParser) -> None:
    """Adds `--data`: the folder of the real data set, which L2CACHE_TEST_DATA names if it lies elsewhere."""
    default = os.environ.get("L2CACHE_TEST_DATA", str(Path(__file__).resolve().parents[3] / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=Path(default), help="folder of the real data set")
