"""Name and version, as the functions tell them."""

from __future__ import annotations

NAME = "L2Cache"
VERSION = "1.0.0"
TITLE = f"{NAME} v{VERSION}"
