"""`python -m tests.soak`: the soak run, or with `--fuzz` the fuzz; `make soak ARGS="--minutes 30"`."""

from __future__ import annotations

import random
import sys

import click


@click.command()
@click.option("--seed", type=int, help="Of all chance; a new one each time if not given. It is printed.")
@click.option("--fuzz", is_flag=True, help="Malformed requests and messages to the functions in this process.")
@click.option("--requests", type=int, default=100_000, show_default=True, help="Requests of the fuzz.")
@click.option("--messages", type=int, default=100_000, show_default=True, help="Messages and tasks of the fuzz.")
@click.option("--only", multiple=True, help="Only this fault, or kind of case; may be given several times.")
@click.option("--without", multiple=True, help="Not this fault, or kind of case; may be given several times.")
def main(
    seed: int | None, fuzz: bool, requests: int, messages: int, only: tuple[str, ...], without: tuple[str, ...]
) -> None:
    """Looks for what is stuck, lost or wrongly done when everything around the functions misbehaves."""
    seed = random.randrange(10**6) if seed is None else seed
    from tests.soak.fuzz.run import fuzz as run_fuzz

    sys.exit(run_fuzz(seed, requests, messages, only, without))


if __name__ == "__main__":
    main()
