"""The journal of edits: what a killed server needs to continue where it was."""

from __future__ import annotations

import os
from base64 import b64decode, b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from infra.standin.graph.edits import Edit
from infra.standin.graph.table import Cell


class Journal:
    """Edits in a file, a line each, and which of them a bus has taken. For one writer."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> tuple[list[Edit], list[Edit]]:
        """All edits in their order, and those of them not yet marked as published.

        A last line that a kill cut off was never acknowledged to anyone and is removed from the file.
        """
        if not self._path.exists():
            return [], []
        content = self._path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            os.truncate(self._path, len(whole))
        edits: list[Edit] = []
        published: set[int] = set()
        for line in whole.splitlines():
            record = orjson.loads(line)
            if "published" in record:
                published.add(record["published"])
            else:
                edits.append(_edit(record))
        return edits, [edit for edit in edits if edit.operation_id not in published]

    def append(self, edit: Edit) -> None:
        """Writes down an edit. When this returns, the edit is durable."""
        cells = [[c.key, c.family, c.qualifier, c.timestamp_us, b64encode(c.value).decode()] for c in edit.cells]
        self._append({**edit.summary(), "cells": cells})

    def mark_published(self, operation_id: int) -> None:
        """Writes down that a bus has taken an edit's message."""
        self._append({"published": operation_id})

    def _append(self, record: dict[str, Any]) -> None:
        with self._path.open("ab") as file:
            file.write(orjson.dumps(record) + b"\n")
            file.flush()
            os.fsync(file.fileno())


def _edit(record: dict[str, Any]) -> Edit:
    cells: Sequence[list[Any]] = record["cells"]
    return Edit(
        operation_id=record["operation_id"],
        new_lvl2_ids=tuple(record["new_lvl2_ids"]),
        new_root_ids=tuple(record["new_root_ids"]),
        old_root_ids=tuple(record["old_root_ids"]),
        cells=tuple(Cell(key, family, name, time_us, b64decode(value)) for key, family, name, time_us, value in cells),
    )
