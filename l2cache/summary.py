"""Answers of the ingest function as texts that people read."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

Document = Mapping[str, Any]

_BYTES_STEP = 1000.0
_S_PER_MINUTE, _S_PER_HOUR = 60, 3600
_LONGEST_REASON = 100
_DONE = " .-+#"
_BAR = 40


def text_of(answer: str, document: Document) -> str:
    """The text for an operation's answer; JSON where there is none of its own.

    Args:
      answer: what kind of answer it is, by the operation's description.
      document: the answer.
    """
    return _TEXTS.get(answer, as_json)(document)


def as_json(document: Document) -> str:
    """The document itself."""
    return json.dumps(document, indent=2)


def plan_text(document: Document) -> str:
    """What an ingest would take."""
    cost = document["cost_usd"]
    parts = [f"{name.replace('_', ' ')} {value:,.2f}" for name, value in cost.items() if isinstance(value, float | int)]
    rates = document["rates"]
    start, stop = (",".join(map(str, corner)) for corner in document["chunks"].values())
    lines = {
        "chunks": f"{document['total_chunks']:,} ({start} to {stop})",
        "tasks": f"{document['leaf_tasks']:,} leaf tasks of at most {document['chunks_per_leaf_at_most']} chunks, "
        f"{sum(document['expand_tasks']):,} expand tasks, {document['queues']} queues",
        "work": f"{document['core_hours']:,.2f} core hours, "
        f"{duration(document['wall_hours'] * _S_PER_HOUR)} with {document['concurrency']:,} leaf tasks at a time",
        "table": f"{document['rows']:,} rows, {size(document['table_bytes'])}; "
        f"{document['table_nodes']:,} Bigtable nodes while it runs",
        "cost": f"US$ {cost['total']:,.2f} at prices of {cost['prices_of']}",
        "": ", ".join(part for part in parts if not part.startswith("total")),
        "rates": f"{rates['core_s_per_chunk']:g} core seconds and {rates['rows_per_chunk']:g} rows per chunk, "
        f"{rates['origin']}",
    }
    return _titled(f"Plan for {document['dataset']} into table {document['table']}", _of_run(document) | lines)


def run_text(document: Document) -> str:
    """How far a run is."""
    done, total = document["completed_chunks"], document["total_chunks"]
    lines = {
        "chunks": f"{done:,} of {total:,} done ({done / total:.0%}), {document['failed_chunks']:,} failed",
        "rows": f"{document['rows']:,}",
        "rate": rate(document),
        "started": f"{document['started']} UTC, generation {document['generation']}",
    }
    if document["foreign_supervoxels"]:
        lines["left out"] = f"{document['foreign_supervoxels']:,} supervoxels that the graph gives to other chunks"
    if "audit" in document:
        lines |= audit_lines(document["audit"])
    if "export" in document:
        lines |= export_lines(document)
    if "import" in document:
        found = document["import"]
        lines["files"] = f"{found['files']:,}, {size(found['bytes'])}, from {document['source']}"
    if document.get("retrying_chunks"):
        lines["retrying"] = retrying(document)
    return _titled(f"{document['dataset']}: {document['state']}", _of_run(document) | lines)


def audit_lines(audit: Document) -> dict[str, str]:
    """What an audit has found."""
    lines = {
        "graph": f"{audit['l2_ids']:,} L2 nodes: {audit['rows']:,} with a row ({audit['empty']:,} without voxels), "
        f"{audit['missing']:,} missing",
        "others": f"{audit['of_other_moments']:,} rows of other moments, {audit['orphaned']:,} orphaned",
    }
    if audit["repaired"]:
        lines["repaired"] = f"{audit['repaired']:,} rows"
    if audit["verified"]:
        parts = ", ".join(f"{name} {count:,}" for name, count in audit["differing_attributes"].items())
        lines["verified"] = f"{audit['verified']:,} rows, {audit['differing']:,} differ" + (
            f" ({parts})" if parts else ""
        )
    return lines


def export_lines(document: Document) -> dict[str, str]:
    """What an export has written."""
    found = document["export"]
    lines = {"files": f"{found['files']:,}, {size(found['bytes'])}, to {document['destination']}"}
    if document["at_moment"]:
        lines["missing"] = f"{found['missing']:,} nodes of the moment have no row"
    if found["other_cells"]:
        lines["left out"] = ", ".join(f"{count:,} cells {name}" for name, count in found["other_cells"].items())
    if document.get("manifest"):
        lines["manifest"] = document["manifest"]
    return lines


def files_plan_text(document: Document) -> str:
    """What an export or an import would take."""
    cost = document["cost_usd"]
    lines = {
        "rows": f"{document['rows']:,} in {document['leaf_tasks']:,} files of {size(document['files_bytes'])} together",
        "work": f"{document['core_hours']:,.2f} core hours, "
        f"{duration(document['wall_hours'] * _S_PER_HOUR)} with {document['concurrency']:,} leaf tasks at a time; "
        f"{document['table_nodes']:,} Bigtable nodes while it runs",
        "cost": f"US$ {cost['total']:,.2f} at prices of {cost['prices_of']}",
    }
    return _titled(f"Plan of an {document['kind']} of table {document['table']}", _of_run(document) | lines)


def audit_plan_text(document: Document) -> str:
    """What an audit would take."""
    cost = document["cost_usd"]
    lines = {
        "chunks": f"{document['total_chunks']:,}, about {document['rows']:,} rows",
        "tasks": f"{document['leaf_tasks']:,} leaf tasks, {sum(document['expand_tasks']):,} expand tasks",
        "work": f"{document['core_hours']:,.2f} core hours, "
        f"{duration(document['wall_hours'] * _S_PER_HOUR)} with {document['concurrency']:,} leaf tasks at a time",
        "cost": f"US$ {cost['total']:,.2f} at prices of {cost['prices_of']}",
    }
    return _titled(f"Plan of an audit of table {document['table']}", _of_run(document) | lines)


def coverage_text(document: Document) -> str:
    """What the last audit has found, and the blocks where something is missing, a line each."""
    lines = [
        f"{','.join(map(str, block['start']))} to {','.join(map(str, block['stop']))}\t"
        f"{block['rows']:,} rows\t{block['missing']:,} missing"
        for block in document["blocks"]
        if block["missing"]
    ]
    return "\n".join([run_text(document), *lines])


def overview_text(document: Document) -> str:
    """All datasets, a line each, and their newest runs below them."""
    lines = []
    for one in document["datasets"]:
        nothing = "" if one["runs"] else ": no run yet" if one["has_table"] else ": no table yet"
        older = f", {one['older_runs']:,} older runs" if one["older_runs"] else ""
        lines.append(f"{one['dataset']} (table {one['table']}{older}){nothing}")
        lines += [f"  {line}" for line in runs_text(one).splitlines()]
    return "\n".join(lines)


def map_text(document: Document) -> str:
    """A run's chunks seen along z, a character for each cell: how much is done, and where something failed."""
    seen, cell = document["along"]["z"], document["cell_chunks"]
    x, y, z = (stop - start for start, stop in zip(*document["chunks"].values(), strict=True))
    lines = [
        "".join(_cell(*counts) for counts in zip(*rows, strict=True))
        for rows in zip(seen["done"], seen["failed"], seen["open"], seen["missing"], strict=True)
    ]
    legend = f"{_DONE}: none, a quarter, half, three quarters, all done; ! failed; ? rows missing"
    title = f"Run {document['run_id']} along z: {x:,} x {y:,} chunks, {z:,} deep, {cell[0]} x {cell[1]} in a character"
    return "\n".join([title, *lines, legend])


def _cell(done: int, failed: int, left: int, missing: float) -> str:
    if failed or missing:
        return "!" if failed else "?"
    return _DONE[done * (len(_DONE) - 1) // (done + left)]


def pace_text(document: Document) -> str:
    """How fast a run was, a line for each step."""
    rates, step_s = document["chunks_per_s"], document["step_s"]
    most = max(rates) or 1.0
    lines = [
        f"{duration(number * step_s):>10} {rate:12,.1f} {'#' * round(_BAR * rate / most)}".rstrip()
        for number, rate in enumerate(rates)
    ]
    title = f"Run {document['run_id']}, generation {document['generation']}, from {document['start']} UTC: chunks/s"
    return "\n".join([title, *lines])


def line_of(document: Document) -> str:
    """A run in a line: its name and its state."""
    chunks = f", {document['total_chunks']} chunks" if "total_chunks" in document else ""
    return f"run {document['run_id']}: {document['state']}{chunks}"


def runs_text(document: Document) -> str:
    """Runs, a line each, oldest first."""
    lines = [
        f"{one['run_id']}\t{one['state']}\t{one['completed_chunks']}/{one['total_chunks']} chunks\t"
        f"{one['failed_chunks']} failed\tstarted {one['started']}"
        for one in document["runs"]
    ]
    lines += [
        f"{one['run_id']}\tunreadable\t{one['reason']}; `cancel --run` dismisses it" for one in document["unreadable"]
    ]
    return "\n".join(lines)


def failed_text(document: Document) -> str:
    """Failed chunks, a line each: coordinates and reason."""
    return "\n".join(f"{','.join(map(str, one['chunk']))}\t{one['reason']}" for one in document["failed"])


def retrying(document: Document) -> str:
    """What is being tried again, and why it had failed."""
    reasons = "; ".join(f"{one['chunks']:,}: {short(one['reason'])}" for one in document["retrying"])
    return f"{document['retrying_chunks']:,} chunks that had failed ({reasons})"


def rate(document: Document) -> str:
    """How fast a run is, and how long it will still take."""
    per_s = f"{document['chunks_per_s']:.1f} chunks/s"
    if document["state"] != "running":
        return per_s
    left_s = document["time_left_s"]
    return f"{per_s}, {'unknown time' if left_s is None else duration(left_s)} left"


def duration(seconds: float) -> str:
    """A span of time: `3 s`, `4:05 min`, `12:30 h`."""
    whole = round(seconds)
    if whole < _S_PER_MINUTE:
        return f"{whole} s"
    if whole < _S_PER_HOUR:
        return f"{whole // _S_PER_MINUTE}:{whole % _S_PER_MINUTE:02} min"
    return f"{whole // _S_PER_HOUR:,}:{whole % _S_PER_HOUR // _S_PER_MINUTE:02} h"


def size(n_bytes: float) -> str:
    """Bytes in the unit that fits them."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if n_bytes < _BYTES_STEP:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= _BYTES_STEP
    return f"{n_bytes:,.0f} TB"


def short(reason: str) -> str:
    """As much of a reason as fits into a line."""
    return reason if len(reason) <= _LONGEST_REASON else f"{reason[:_LONGEST_REASON]}..."


def _of_run(document: Document) -> dict[str, str]:
    return {"run": document["run_id"], "moment": f"{document['timestamp']} UTC"}


def _titled(title: str, lines: Mapping[str, str]) -> str:
    return "\n".join([title, *(f"  {name:<9}{text}" for name, text in lines.items())])


_TEXTS: Mapping[str, Callable[[Document], str]] = {
    "plan": plan_text,
    "run": run_text,
    "started": line_of,
    "cancelled": line_of,
    "runs": runs_text,
    "failed": failed_text,
    "audit_plan": audit_plan_text,
    "coverage": coverage_text,
    "overview": overview_text,
    "map": map_text,
    "pace": pace_text,
    "files_plan": files_plan_text,
}
