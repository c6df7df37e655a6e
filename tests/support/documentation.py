"""The project's documentation as tests read it: its pages, and the code blocks in them."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_FENCE = re.compile(r"^(?P<indent>[ ]*)```(?P<language>\w+)\n(?P<code>.*?)^(?P=indent)```", re.M | re.S)


def pages() -> dict[str, str]:
    """All pages by their path below the root: those of the root, of `docs`, and the design notes beside the code."""
    files = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "shared").rglob("*.md")]
    return {str(path.relative_to(ROOT)): path.read_text() for path in sorted(files)}


def blocks(text: str, language: str) -> list[str]:
    """The code blocks of a language in a page, in order; those inside tabs and lists too."""
    return [textwrap.dedent(match["code"]) for match in _FENCE.finditer(text) if match["language"] == language]
