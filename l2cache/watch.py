"""Watching a run until it ends."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click
from tqdm import tqdm

from l2cache import next_steps, summary
from l2cache.client import CallError
from l2cache.terminal import INTERRUPTED, RUN_FAILED, SUCCESS, Terminal

MOST_FAILED_CALLS = 30
"""So many calls in a row may fail before watching is given up: the function may just be deployed anew."""

_BAR = "{l_bar}{bar}| {n_fmt}/{total_fmt} chunks{postfix}"
_SHOWN_REASONS = 3
_READ_FAILED = 1000  # failed chunks whose reasons are counted at the end


@dataclass(frozen=True)
class Watch:
    """A progress bar for a run, on standard error.

    Attributes:
      terminal: where, and of which function.
      dataset: the run's dataset.
      interval_s: seconds between two calls.
    """

    terminal: Terminal
    dataset: str
    interval_s: float

    def until_end(self, document: Mapping[str, Any]) -> tuple[Mapping[str, Any], int]:
        """Shows the progress until the run ends, or until Ctrl-C.

        Args:
          document: the run's status.

        Returns:
          The last status and the exit status.

        Raises:
          CallError: if the function refuses, or is away for long.
        """
        told = ""
        try:
            with tqdm(total=document["total_chunks"], bar_format=_BAR, file=sys.stderr, mininterval=0) as bar:
                document = self._status(document["run_id"])
                while True:
                    told = self._show(bar, document, told)
                    if document["state"] != "running":
                        break
                    time.sleep(self.interval_s)
                    document = self._status(document["run_id"])
        except KeyboardInterrupt:
            click.echo(f"\n{next_steps.after_interrupt(self.terminal, document)}", err=True)
            return document, INTERRUPTED
        whole = document["state"] == "finished" and not document["failed_chunks"]
        return document, SUCCESS if whole else RUN_FAILED

    def reasons(self, document: Mapping[str, Any]) -> str:
        """Why chunks of an ended run failed, the most frequent reasons first."""
        page = self.terminal.client.call(
            "failed", dataset=self.dataset, run=document["run_id"], limit=min(document["failed_chunks"], _READ_FAILED)
        )
        counts = Counter(one["reason"] for one in page["failed"])
        return "\n".join(f"{n:8,}  {summary.short(reason)}" for reason, n in counts.most_common(_SHOWN_REASONS))

    def _show(self, bar: tqdm[Any], document: Mapping[str, Any], told: str) -> str:
        """Moves the bar; what is being tried again is told above it where it is news. Returns what was told."""
        retrying = summary.retrying(document) if document["retrying_chunks"] else ""
        reasons = ", ".join(one["reason"] for one in document["retrying"])
        if retrying and reasons != told:
            bar.write(f"trying again {retrying}", file=sys.stderr)
        bar.n = document["completed_chunks"] + document["failed_chunks"]
        again = f", {document['retrying_chunks']} tried again" if retrying else ""
        bar.set_postfix_str(f"{summary.rate(document)}, {document['failed_chunks']} failed{again}")
        return reasons

    def _status(self, run: str) -> dict[str, Any]:
        """The status, asked for again where the function is away for a moment."""
        for _ in range(MOST_FAILED_CALLS):
            try:
                return self._ask(run)
            except CallError as error:
                if error.refused:
                    raise
                time.sleep(self.interval_s)
        return self._ask(run)

    def _ask(self, run: str) -> dict[str, Any]:
        return self.terminal.client.call("status", dataset=self.dataset, run=run, retrying=True)
