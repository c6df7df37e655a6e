"""What the client knows of dead letters by itself agrees with what the functions write."""

from __future__ import annotations

import sys

import pytest
from click.testing import CliRunner

from l2cache.commands import main
from l2cache.deadletters import attributes
from shared.bus import dead_letters


def test_the_names_of_attributes_are_those_that_the_functions_write() -> None:
    theirs = (
        dead_letters.REASON_ATTRIBUTE,
        dead_letters.ATTEMPTS_ATTRIBUTE,
        dead_letters.MESSAGE_ID_ATTRIBUTE,
    )
    assert theirs == (attributes.REASON, attributes.ATTEMPTS, attributes.MESSAGE_ID)
    marked = dict.fromkeys((*theirs, attributes.PUBSUB_ATTEMPTS, "table_id"), "x")
    assert attributes.original_attributes(marked) == dead_letters.original_attributes(marked) == {"table_id": "x"}


def test_without_the_extra_its_installation_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "google.cloud.pubsub_v1", None)
    done = CliRunner().invoke(main, ["deadletters", "list", "projects/p/subscriptions/l2cache-dead-letters"])
    assert (done.exit_code, ".[deadletters]" in done.stderr) == (2, True)
