"""Shows what the local stack gave up delivering, and delivers it again: `python -m infra.local.dead_letters --help`."""

from __future__ import annotations

import time
from pathlib import Path

import click

from shared.deliveries import DeadLetter, Deliveries


@click.command()
@click.option(
    "--deliveries",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="SQLite file of bus and queue.",
)
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="Dead letters to list.")
@click.option("--replay", is_flag=True, help="Deliver them again: those given as IDS, or else all.")
@click.argument("ids", type=int, nargs=-1)
def main(file: Path, limit: int, replay: bool, ids: tuple[int, ...]) -> None:
    """Lists dead letters, one a line, or replays them."""
    deliveries = Deliveries(file)
    try:
        if replay:
            click.echo(f"{deliveries.replay(time.time(), ids or None)} will be delivered again")
        else:
            for dead in deliveries.dead_letters(limit):
                click.echo(_line(dead))
    finally:
        deliveries.close()


def _line(dead: DeadLetter) -> str:
    lease = dead.lease
    what = lease.name or " ".join(f"{name}={value}" for name, value in lease.attributes.items())
    return f"{lease.id}\t{lease.kind}\t{what}\t{len(lease.body)} bytes\t{lease.attempt} attempts\t{dead.reason}"


if __name__ == "__main__":
    main()
