"""An operator who ingests the whole volume again and again, cancels, resumes, and tries failed chunks again."""

from __future__ import annotations

import random
import threading
import time
from typing import Any

from tests.soak.checks import row_complaints
from tests.soak.load.ingest_function import IngestFunction
from tests.soak.site import Site

LOOK_S = 0.5
BEGUN_WITHIN_S = 60.0
CANCELLED_SHARE = 0.03
_SHOWN = ("generation", "state", "total_chunks", "completed_chunks", "failed_chunks", "rows")


class Operator(threading.Thread):
    """Goes on until told to stop; then `finish` brings the present run to its end.

    Attributes:
      runs_finished: how many ingests of its own were brought to a good end.
    """

    def __init__(self, site: Site, seed: str, stopping: threading.Event) -> None:
        super().__init__(name="operator", daemon=True)
        self._site, self._chance, self._stopping = site, random.Random(seed), stopping
        self._function = IngestFunction(site, refusals=(409,))
        self._moment = next(site.moments)
        self._run_id: str | None = None
        self._cancelled = False
        self._forgotten = True
        self._is_own = True
        self.runs_finished = 0

    def run(self) -> None:
        """Starts runs and looks after them, one after the other."""
        while not self._stopping.wait(LOOK_S):
            self._step(may_cancel=True)

    def begin(self) -> None:
        """Starts the first run; returns when it is started."""
        end_s = time.monotonic() + BEGUN_WITHIN_S
        while self._run_id is None:
            if time.monotonic() > end_s:
                raise AssertionError(
                    f"no ingest can be started within {BEGUN_WITHIN_S:g} s, although no fault is there"
                )
            self._step(may_cancel=False)

    def finish(self, end_s: float) -> bool:
        """Brings the present run to its end; whether that was possible until `end_s` (monotonic)."""
        before = self.runs_finished
        while self.runs_finished == before and time.monotonic() < end_s:
            self._step(may_cancel=False)
            time.sleep(LOOK_S)
        return self.runs_finished > before

    def describe(self) -> str:
        """How far the present run is, for people."""
        status = self._function.get("status", run=self._run_id).document if self._run_id else None
        return f"{self._run_id}: { ({name: status[name] for name in _SHOWN} if status else None) }"

    def _step(self, *, may_cancel: bool) -> None:
        """Does what is to be done next."""
        if self._run_id is None:
            self._start()
            return
        if self._cancelled:
            self._resume()
            return
        status = self._status()
        if status is None:
            return
        if status["state"] == "cancelled":
            self._cancelled = True
        elif status["finished"]:
            self._finished(status)
        elif may_cancel and self._chance.random() < CANCELLED_SHARE:
            self._cancelled = self._function.post("cancel", run=self._run_id).ok
            self._site.say(f"the ingest is {'cancelled' if self._cancelled else 'perhaps cancelled'}")

    def _start(self) -> None:
        if not self._forgotten and not self._forget_rows():
            return
        self._forgotten = True
        answer = self._function.post("start", timestamp=self._timestamp)
        if answer.ok:
            self._run_id, self._is_own = answer.document["run_id"], True
            self._site.say(f"an ingest is started: {self._run_id}")
        elif answer.status == 409:
            self._adopt()

    @property
    def _timestamp(self) -> str:
        return f"{self._moment:%Y-%m-%d %H:%M:%S}"

    def _adopt(self) -> None:
        """Takes over the run that is going on: the answer to its start did not come, or somebody else started it."""
        answer = self._function.get("runs")
        runs = [run for run in answer.document["runs"] if "kind" not in run] if answer.ok else []
        running = [run for run in runs if run["state"] == "running"]
        cancelled = [run for run in runs if run["state"] == "cancelled" and self._is_mine(run)]
        for run in [*running, *cancelled][:1]:
            self._run_id, self._is_own = run["run_id"], self._is_mine(run)
            self._cancelled = run["state"] == "cancelled"

    def _is_mine(self, run: dict[str, Any]) -> bool:
        return bool(run["timestamp"] == self._timestamp)

    def _resume(self) -> None:
        answer = self._function.post("start", resume=True, run=self._run_id)
        self._cancelled = not answer.ok
        if answer.status == 409:  # another one goes on, or this one after all
            self._adopt()

    def _status(self) -> dict[str, Any] | None:
        answer = self._function.get("status", run=self._run_id)
        if answer.status == 404:  # a start without an answer came to nothing
            self._run_id = None
        return answer.document if answer.ok else None

    def _finished(self, status: dict[str, Any]) -> None:
        if self._function.retries(status):
            return
        self._run_id = None
        if not self._is_own:
            return  # rows may have been taken away since it was started
        self._check(status)
        self.runs_finished += 1
        self._moment = next(self._site.moments)
        self._forgotten = False

    def _check(self, status: dict[str, Any]) -> None:
        """A run that says it is finished without failures must have all its rows."""
        initial = self._site.world.initial_ids
        if status["rows"] != len(initial):
            self._site.complain(f"status tells of {status['rows']} rows, there are {len(initial)}: {status}")
        while True:
            try:
                found = self._site.storage.rows()
                break
            except Exception as error:  # noqa: BLE001  # whatever the storage's client raises while a fault is there
                self._site.say(f"rows cannot be read just now: {type(error).__name__}")
                time.sleep(1.0)
        # The right rows of fresh edits are computed when nobody edits any more.
        fresh = self._site.world.edited_ids() - self._site.world.right_rows.keys()
        settled = {l2_id: row for l2_id, row in found.items() if l2_id not in fresh}
        wrong = row_complaints(settled, self._site.world.right_rows, required=initial)
        for complaint in wrong:
            self._site.complain(f"after a finished ingest: {complaint}")
        self._site.say(f"an ingest is finished: {status['run_id']}, generation {status['generation']}")

    def _forget_rows(self) -> bool:
        """Takes the rows of the ingests out of the table, for the next one to write; whether that was possible."""
        try:
            self._site.storage.forget(self._site.world.initial_ids)
        except Exception as error:  # noqa: BLE001  # whatever the storage's client raises while a fault is there
            self._site.say(f"rows cannot be taken away just now: {type(error).__name__}")
            return False
        return True
