"""All kinds of cases by name: those that are requests, and those that are messages or tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import TypeAlias

from tests.soak.fuzz import ingest_requests, lookup_requests, messages, option_requests, run_requests, tasks
from tests.soak.fuzz.case import Case

Maker: TypeAlias = Callable[[Random], Case]


def requests(recorded: Path | None) -> Mapping[str, Maker]:
    """Requests of users and operators.

    Args:
      recorded: folder of the recorded data, None without.
    """
    made: dict[str, Maker] = {
        "lookup-bodies": lookup_requests.bodies,
        "lookup-raw-ids": lookup_requests.raw_ids,
        "lookup-queries": lookup_requests.queries,
        "lookup-headers": lookup_requests.headers,
        "lookup-encodings": lookup_requests.encodings,
        "lookup-framing": lookup_requests.framing,
        "lookup-paths": lookup_requests.paths,
        "framework-paths": lookup_requests.framework_paths,
        "lookup-away": lookup_requests.away,
        "lookup-permissions": lookup_requests.permissions,
        "lookup-totals": option_requests.totals,
        "lookup-states": option_requests.states,
        "lookup-waits": option_requests.waits,
        "lookup-forms": option_requests.forms,
        "ingest-operations": ingest_requests.operations,
        "ingest-moments": ingest_requests.moments,
        "ingest-boxes": ingest_requests.boxes,
        "ingest-numbers": ingest_requests.numbers,
        "ingest-queries": ingest_requests.queries,
        "ingest-framing": ingest_requests.framing,
        "ingest-away": ingest_requests.away,
        "ingest-audits": run_requests.audits,
        "ingest-exports": run_requests.exports,
        "ingest-imports": run_requests.imports,
        "ingest-manifests": run_requests.manifests,
        "ingest-views": run_requests.views,
    }
    if recorded is not None:
        made["lookup-recorded"] = lookup_requests.recorded(recorded)
    return made


def messages_and_tasks(recorded: Path | None, canary: Path) -> Mapping[str, Maker]:
    """Deliveries of the bus and of the queue.

    Args:
      recorded: folder of the recorded data, None without.
      canary: a file that a pickle which is executed makes.
    """
    made: dict[str, Maker] = {
        "envelopes": messages.envelopes,
        "edit-pickles": messages.edit_pickles(str(canary)),
        "edit-json": messages.edit_json,
        "misses": messages.misses,
        "attributes": messages.attributes,
        "traces": messages.traces,
        "message-framing": messages.framing,
        "chunk-tasks": tasks.leaves,
        "expand-tasks": tasks.expansions,
        "run-tasks": tasks.of_other_kinds,
    }
    if recorded is not None:
        made["messages-recorded"] = messages.recorded(recorded)
    return made


def good_cases() -> list[Case]:
    """Cases that succeed in a new world, in this order."""
    return [*lookup_requests.good(), *option_requests.good(), *messages.good(), *tasks.good(), *ingest_requests.good()]
