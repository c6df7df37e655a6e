"""The tables of measurements: what they hold and how it is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from string import Formatter
from typing import Any


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
      head: its heading.
      form: a cell, as a format of the row's values: `{seconds:.2f} s`.
    """

    head: str
    form: str

    @property
    def names(self) -> list[str]:
        """Names of the values in a cell."""
        return [name for _, name, _, _ in Formatter().parse(self.form) if name]

    def cell(self, row: Mapping[str, Any]) -> str:
        """The cell of a row; empty if a value was not measured.

        Raises:
          KeyError: if the row has no such value.
        """
        return "" if any(row[name] is None for name in self.names) else self.form.format(**row)


@dataclass(frozen=True)
class Layout:
    """A table of measurements.

    Attributes:
      command: what measures it.
      columns: its columns.
    """

    command: str
    columns: tuple[Column, ...]

    def head(self) -> str:
        """The first two lines of the table."""
        heads = [column.head for column in self.columns]
        return f"{_line(heads)}\n{_line(['---'] * len(heads))}"

    def line(self, row: Mapping[str, Any]) -> str:
        """A row as a line of the table.

        Raises:
          KeyError: if the row lacks a value of a column.
        """
        return _line([column.cell(row) for column in self.columns])


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _layout(command: str, **columns: str) -> Layout:
    """A layout whose headings are the columns' names, with spaces."""
    return Layout(command, tuple(Column(head.replace("_", " ").strip(), form) for head, form in columns.items()))


LAYOUTS: Mapping[str, Layout] = {
    "goals": _layout(
        "make bench",
        benchmark="`{benchmark}`",
        what="{what}",
        goal="{goal}",
        measured="{measured}",
        of_the_goal="{ratio:.2f}",
        outcome="{outcome}",
        date="{date}",
    ),
    "features": _layout(
        "make bench ARGS=features",
        chunk="{chunk}",
        labels="{labels:,}",
        transform_of_the_wheel="{wheel_s:.2f} s",
        engine_with_1_thread="{one_s:.2f} s",
        of_the_transform="{share:.2f}",
        engine_with_2_threads="{two_s:.2f} s",
        peak_memory="{peak_mb:.0f} MB",
    ),
    "features_parts": _layout(
        "make bench ARGS=features",
        part="{part}",
        time="{seconds:.3f} s",
        of_the_transform="{share:.2f}",
    ),
    "features_start": _layout("make bench ARGS=features", step="{step}", time="{seconds:.2f} s"),
    "files_to_rows": _layout(
        "make bench ARGS=files_to_rows",
        step="{step}",
        time="{seconds:.3f} s",
        of_the_transform="{share:.2f}",
    ),
    "cold_start": _layout(
        "make bench ARGS=cold_start",
        function="`{function}`",
        package="{package_kb} kB",
        importing_it="{import_s:.2f} s",
        until_its_first_answer="{answer_s:.2f} s",
        first_chunk="{chunk_s:.2f} s",
    ),
    "lookup": _layout(
        "make bench ARGS=lookup",
        ids="{ids:,}",
        bare_read="{bare_ms:.1f} ms",
        answer="{plain_ms:.1f} ms",
        times_the_bare_read="{plain_ratio:.2f}",
        gzipped_answer="{gzipped_ms:.1f} ms",
        gzipped_times_the_bare_read="{gzipped_ratio:.2f}",
        by_http_client_times_the_bare_read="{lean_ratio:.2f}",
    ),
    "tables": _layout(
        "make bench ARGS=tables",
        stack="{stack}",
        way="{way}",
        until_the_answer="{answer_s:.2f} s",
        until_the_DataFrame="{frame_s:.2f} s",
        times_as_fast="{faster:.1f}",
    ),
    "states": _layout("make bench ARGS=states", what="{what}", measured="{value:.2f} {unit}", goal="{goal}"),
    "totals": _layout("make bench ARGS=totals", what="{what}", measured="{seconds:.2f} s", goal="{goal}"),
    "graph_table": _layout(
        "make bench ARGS=graph_table",
        way="{way}",
        mean="{mean_ms:.2f} ms",
        p50="{p50_ms:.2f} ms",
        p95="{p95_ms:.2f} ms",
        of_the_scan="{ratio:.2f}",
    ),
    "emulators": _layout("make bench ARGS=emulators", what="{what}", value="{value:,.4g} {unit}"),
    "edits_beside_misses": _layout(
        "make bench ARGS=edits_beside_misses",
        stack="{stack}",
        misses_waiting="{misses:,}",
        edits="{edits}",
        p50="{p50_s:.2f} s",
        p95="{p95_s:.2f} s",
        first_edit="{first_s:.2f} s",
        p95_without_misses="{alone_p95_s:.2f} s",
    ),
    "ingest_rates": _layout(
        "make bench ARGS=ingest_rates",
        chunk="{chunk}",
        megavoxels="{megavoxels:.2f}",
        time="{seconds:.3f} s",
        of_it_reading="{read_s:.3f} s",
        rows="{rows:,.1f}",
    ),
    "leaves": _layout(
        "make bench ARGS=leaves",
        workers="{workers}",
        cores="{cores}",
        chunks="{chunks}",
        time="{seconds:.2f} s",
        chunks_per_second="{chunks_per_s:.2f}",
        times_one_worker_on_one_core="{ratio:.2f}",
    ),
    "simulation": _layout(
        "python -m infra.simulation",
        chunks="{chunks:,}",
        faults="{faults}",
        leaf_tasks="{leaf_tasks:,}",
        expand_tasks="{expand_tasks:,} ({expand_percent:.1f} %)",
        tasks_per_chunk="{tasks_per_chunk:.4f}",
        last_leaf_enqueued="{enqueued_s:.1f} s",
        idle_for_lack_of_tasks="{idle_percent:.2f} %",
        wall_time="{wall_s:,.0f} s",
        of_the_ideal="{of_ideal:.3f}",
        redelivered="{redelivered:,}",
        marks="{marks:,}",
        status="{status_ms:.0f} ms",
    ),
    "simulated_operations": _layout(
        "python -m infra.simulation.operations",
        operation="{operation}",
        rows="{rows:,}",
        rows_planned="{planned_rows:,}",
        leaves_at_a_time="{workers:,}",
        leaf_tasks="{leaf_tasks:,}",
        core_hours="{core_h:.1f}",
        core_hours_planned="{planned_core_h:.1f}",
        wall_time="{wall_min:.1f} min",
        wall_time_planned="{planned_wall_min:.1f} min",
        dollars="{usd:,.0f}",
        dollars_planned="{planned_usd:,.0f}",
    ),
    "ingest_status": _layout(
        "make bench ARGS=ingest_status",
        store="{store}",
        chunks="{chunks:,}",
        marks="{marks:,}",
        status="{status_s:.2f} s",
        map="{map_s:.2f} s",
        of_either_reading="{read_s:.2f} s",
    ),
    "ingest_scale": _layout(
        "make bench ARGS=ingest_scale",
        stack="{stack}",
        chunks="{chunks:,}",
        workers="{workers}",
        processes_killed="{kills}",
        time="{seconds:.1f} s",
        chunks_per_second="{chunks_per_s:.0f}",
    ),
    "quota": _layout(
        "make bench ARGS=quota",
        counter="{counter}",
        callers="{callers}",
        mean="{mean_ms:.1f} ms",
        p99="{p99_ms:.0f} ms",
        requests_that_ask_the_counter="{asked:.0%}",
        most_that_a_caller_gets_of_its_limit="{most:.0%}",
    ),
    "exports": _layout(
        "make bench ARGS=exports",
        store="{store}",
        rows="{rows:,}",
        finding_ids="{scan_per_s:,.0f} rows/s",
        export="{export_per_s:,.0f} rows/s",
        goal="{goal}",
        import_="{import_per_s:,.0f} rows/s",
    ),
    "audit": _layout(
        "make bench ARGS=audit",
        audit="{audit}",
        chunks="{chunks:,}",
        rows="{rows:,}",
        holes_found="{holes:,}",
        processor_time="{cpu_s:.2f} s",
        of_an_ingest="{part:.1%} (goal {goal:.0%})",
    ),
}
"""All tables, by the name under which they are recorded. A heading is the column's name with spaces."""
