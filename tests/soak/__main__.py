"""`python -m tests.soak`: the soak run, or with `--fuzz` the fuzz; `make soak ARGS="--minutes 30"`."""

from __future__ import annotations

import faulthandler
import random
import signal
import sys

import click

from shared.types import Triple
from tests.soak.selection import chosen

GRIDS: dict[float, Triple] = {0: (4, 4, 4), 1: (8, 8, 6), 10: (16, 12, 10)}
"""Chunks of the world, by the least minutes of a run."""


@click.command()
@click.option("--minutes", type=float, default=2.0, show_default=True, help="Of the soak run, on each backing.")
@click.option("--round-s", type=float, default=40.0, show_default=True, help="Of faults, then all must come right.")
@click.option("--on", type=click.Choice(["embedded", "emulators", "both"]), default="both", show_default=True)
@click.option("--seed", type=int, help="Of all chance; a new one each time if not given. It is printed.")
@click.option("--keep", is_flag=True, help="Leave the state folder, even if all is well.")
@click.option("--fuzz", is_flag=True, help="Instead: malformed requests and messages to the functions in this process.")
@click.option("--requests", type=int, default=100_000, show_default=True, help="Requests of the fuzz.")
@click.option("--messages", type=int, default=100_000, show_default=True, help="Messages and tasks of the fuzz.")
@click.option("--only", multiple=True, help="Only this fault, or kind of case; may be given several times.")
@click.option("--without", multiple=True, help="Not this fault, or kind of case; may be given several times.")
def main(
    minutes: float,
    round_s: float,
    on: str,
    seed: int | None,
    keep: bool,
    fuzz: bool,
    requests: int,
    messages: int,
    only: tuple[str, ...],
    without: tuple[str, ...],
) -> None:
    """Looks for what is stuck, lost or wrongly done while everything around the functions misbehaves."""
    # With the stack and its file system left as they should be, and a way to see what a run waits for.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    faulthandler.register(signal.SIGUSR1)
    seed = random.randrange(10**6) if seed is None else seed
    print(f"seed {seed}", flush=True)
    if fuzz:
        from tests.soak.fuzz.run import fuzz as run_fuzz

        sys.exit(run_fuzz(seed, requests, messages, only, without))
    sys.exit(0 if run_soak(minutes, round_s, on, seed, keep, only, without) else 1)


def run_soak(
    minutes: float, round_s: float, on: str, seed: int, keep: bool, only: tuple[str, ...], without: tuple[str, ...]
) -> bool:
    """Soaks on one backing or on both; whether all came right."""
    from tests.soak.faults.every import FAULTS
    from tests.soak.run import Plan, soak

    names = chosen([fault.name for fault in FAULTS], only, without)
    faults = [fault for fault in FAULTS if fault.name in names]
    backings = ("embedded", "emulators") if on == "both" else (on,)
    grid = next(grid for least_minutes, grid in reversed(GRIDS.items()) if minutes >= least_minutes)
    plans = [Plan(one, seed, minutes * 60, round_s, grid, faults, keep) for one in backings]
    results = [soak(plan) for plan in plans]  # the second backing is soaked even if the first one failed
    return all(results)


if __name__ == "__main__":
    main()
