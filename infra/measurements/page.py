"""The tables in docs/performance.md, made of what benchmarks have recorded in docs/performance.json.

`python -m infra.measurements.page` writes them anew. The page's other text stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import click

from infra.measurements.layouts import LAYOUTS
from infra.measurements.record import Measurement, read

PAGE = Path(__file__).resolve().parents[2] / "docs" / "performance.md"
_PLACE = re.compile(r"(<!-- measured: (?P<name>\w+) -->\n).*?(<!-- end of measured -->)", re.S)


def with_tables(page: str, measured: Mapping[str, Measurement]) -> str:
    """The page with the measured tables in the places of those that it has.

    Raises:
      KeyError: if it has a place for a table that there is not.
    """
    return _PLACE.sub(lambda place: f"{place[1]}\n{_table(place['name'], measured)}\n\n{place[3]}", page)


def places(page: str) -> list[str]:
    """Names of the tables that the page has places for."""
    return [place["name"] for place in _PLACE.finditer(page)]


def _table(name: str, measured: Mapping[str, Measurement]) -> str:
    layout = LAYOUTS[name]
    if name not in measured:
        return f"Nothing is recorded of `{layout.command}`."
    one = measured[name]
    with_arguments = f" with `{one.arguments}`" if one.arguments else ""
    caption = f"`{layout.command}`{with_arguments}, {one.date}, {one.machine}:"
    return "\n".join([caption, "", layout.head(), *map(layout.line, one.rows)])


@click.command()
def main() -> None:
    """Writes what is recorded into docs/performance.md."""
    PAGE.write_text(with_tables(PAGE.read_text(), read()))
    click.echo(PAGE)


if __name__ == "__main__":
    main()
