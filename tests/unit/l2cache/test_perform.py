"""Doing an operation whose answer comes in pages."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from l2cache.client import IngestClient
from l2cache.described import own_description
from l2cache.perform import PAGE, Output, perform
from l2cache.terminal import Terminal


@dataclass(frozen=True)
class Paged(IngestClient):
    """A function with three pages of everything."""

    answer: dict[str, Any] = field(default_factory=dict)
    listed: str = ""

    def call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        assert (operation, arguments["dataset"], arguments["limit"]) == ("coverage", "d", PAGE)
        number = int(arguments["after"] or 0)
        return {**self.answer, self.listed: [number], "next": "" if number == 2 else str(number + 1)}


def test_all_pages_of_coverage_are_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    description = own_description()
    (coverage,) = (operation for operation in description.operations if operation.name == "coverage")
    terminal = Terminal(Paged("http://nowhere", answer={"rows": 5}, listed="blocks"), ("l2cache",))
    assert perform(terminal, description, coverage, {"dataset": "d"}, Output(as_json=True)) == 0
    assert json.loads(capsys.readouterr().out) == {"rows": 5, "blocks": [0, 1, 2], "next": ""}
