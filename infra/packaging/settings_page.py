"""The table of settings in docs/configuration.md, made of what the settings say of themselves.

`python -m infra.packaging.settings_page` writes it anew. The page's other text stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click

from shared.config.settings import Declared, declared_settings

PAGE = Path(__file__).resolve().parents[2] / "docs" / "configuration.md"
BEGIN = "<!-- settings: made by `python -m infra.packaging.settings_page` -->"
END = "<!-- end of settings -->"
_KINDS = {"int": "whole number", "float": "number", "str": "text", "Path": "path"}


def with_settings(page: str, settings: Iterable[Declared]) -> str:
    """The page with the table of those settings in the place of the one that it has.

    Raises:
      ValueError: if the page does not say where the table is.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page needs the lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{_table(settings)}\n\n{END}{after}"


def _table(settings: Iterable[Declared]) -> str:
    heads = ["variable", "value", "default", "meaning"]
    rows = [heads, ["---"] * len(heads), *map(_row, settings)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(one: Declared) -> list[str]:
    return [f"`{one.setting.variable}`", _value(one), _default(one), one.setting.meaning]


def _value(one: Declared) -> str:
    """Which values there are."""
    if one.setting.choices:
        return ", ".join(f"`{choice}`" for choice in one.setting.choices)
    kind = _KINDS[one.kind.__name__]
    return kind if one.kind not in (int, float) else f"{kind}, at least {one.setting.least:g}"


def _default(one: Declared) -> str:
    if one.default is ...:
        return "must be set"
    if one.default in (None, ""):
        return one.setting.unset or "none"
    return f"`{one.default:g}`" if one.kind is float else f"`{one.default}`"


@click.command()
def main() -> None:
    """Writes the table of settings into docs/configuration.md."""
    PAGE.write_text(with_settings(PAGE.read_text(), declared_settings()))
    click.echo(PAGE)


if __name__ == "__main__":
    main()
