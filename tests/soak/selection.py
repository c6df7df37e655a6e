"""Choosing among named things on the command line."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import click


def chosen(names: Sequence[str], only: Collection[str], without: Collection[str]) -> list[str]:
    """Those of `names` that are to be used, in their order.

    Args:
      names: all there are.
      only: these and no others; all if empty.
      without: not these.

    Raises:
      click.UsageError: if one of `only` or `without` is none of `names`.
    """
    for name in (*only, *without):
        if name not in names:
            raise click.UsageError(f"no {name!r} here; there are {', '.join(names)}")
    return [name for name in names if (not only or name in only) and name not in without]
