"""Somebody who audits the table and exports it in turns, while it is being filled and everything fails around it."""

from __future__ import annotations

import json
import random
import shutil
import threading
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

from tests.soak.checks import row_complaints
from tests.soak.exported import rows_of_file
from tests.soak.load.ingest_function import IngestFunction
from tests.soak.load.operator import CANCELLED_SHARE, LOOK_S
from tests.soak.site import FIRST_MOMENT, Site

MANIFEST = "manifest.json"
REPAIR_SHARE = 0.3
_KINDS = ("export", "audit")
_MOMENT = f"{FIRST_MOMENT:%Y-%m-%d %H:%M:%S}"
_SHOWN = ("run_id", "generation", "state", "total_chunks", "completed_chunks", "failed_chunks")


class Keeper(threading.Thread):
    """Goes on until told to stop; then `finish` brings the present run to its end.

    Which rows there are changes all the time; how many nodes the graph had at the moment does not.

    Attributes:
      runs_finished: how many audits and exports were brought to a good end.
    """

    def __init__(self, site: Site, seed: str, stopping: threading.Event) -> None:
        super().__init__(name="keeper", daemon=True)
        self._site, self._chance, self._stopping = site, random.Random(seed), stopping
        self._function = IngestFunction(site, refusals=(404, 409))
        self._name = f"{time.time_ns():x}"
        self._tries = 0
        self._run_id: str | None = None
        self._folder: Path | None = None
        self.runs_finished = 0

    def run(self) -> None:
        """Starts runs and looks after them, one after the other."""
        while not self._stopping.wait(LOOK_S):
            self._step(may_cancel=True, is_quiet=False)

    def finish(self, end_s: float, *, is_quiet: bool = False) -> bool:
        """Brings the present run, or the next one, to its end; whether that was possible until `end_s` (monotonic).

        Args:
          end_s: when to give up.
          is_quiet: whether it was begun when the table was right, and nothing else went on: then it must say so.
        """
        before = self.runs_finished
        while self.runs_finished == before and time.monotonic() < end_s:
            self._step(may_cancel=False, is_quiet=is_quiet)
            time.sleep(LOOK_S)
        return self.runs_finished > before

    @property
    def has_begun(self) -> bool:
        """Whether a run was started whose end was not seen."""
        return self._run_id is not None

    def describe(self) -> str:
        """How far the present run is, for people."""
        runs = self._function.get("runs").document or {}  # a request for the status would write a manifest
        status = next((run for run in runs.get("runs", ()) if run["run_id"] == self._run_id), None)
        return f"{ ({name: status[name] for name in _SHOWN} if status else self._run_id) }"

    def _step(self, *, may_cancel: bool, is_quiet: bool) -> None:
        """Does what is to be done next."""
        if self._run_id is None:
            self._start(_KINDS[self.runs_finished % len(_KINDS)])
            return
        if is_quiet and self._folder is not None and not (self._folder / MANIFEST).exists():
            return  # the last leaf has to write it, without a request for the status
        answer = self._function.get("status", run=self._run_id)
        if answer.status == 404:  # a start without an answer came to nothing
            self._run_id = None
        if not answer.ok:
            return
        status = answer.document
        if status["state"] == "cancelled":
            self._function.post("start", resume=True, run=self._run_id)
        elif status["finished"]:
            self._finished(status, is_quiet)
        elif may_cancel and self._chance.random() < CANCELLED_SHARE:
            self._function.post("cancel", run=self._run_id)

    def _start(self, kind: str) -> None:
        self._tries += 1
        self._folder = None
        fields: dict[str, Any] = {"repair": self._chance.random() < REPAIR_SHARE}
        if kind == "export":
            # A start without an answer may have made a run all the same, whose folder is taken then.
            self._folder = self._site.state / "exports" / f"{self._name}-{self._tries}"
            fields = {"destination": self._folder.as_uri()}
        answer = self._function.post(kind, timestamp=_MOMENT, **fields)
        if answer.ok:
            self._run_id = answer.document["run_id"]
        elif answer.status == 409:
            self._adopt(kind)

    def _adopt(self, kind: str) -> None:
        """Takes over the run that is going on: the answer to its start did not come."""
        self._folder = None
        answer = self._function.get("runs")
        runs = answer.document["runs"] if answer.ok else []
        going = [run for run in runs if run.get("kind") == kind and run["state"] == "running"]
        self._run_id = going[0]["run_id"] if going else None

    def _finished(self, status: dict[str, Any], is_quiet: bool) -> None:
        if self._function.retries(status):
            return
        if status["kind"] == "audit":
            self._check_audit(status, is_quiet)
        elif not self._check_export(status, is_quiet):
            return
        self._site.count(f"{status['kind']}s finished")
        self._run_id = None
        self.runs_finished += 1

    def _check_audit(self, status: dict[str, Any], is_quiet: bool) -> None:
        found, nodes = status["audit"], len(self._site.world.initial_ids)
        adds_up = found["l2_ids"] == nodes == found["rows"] + found["missing"]
        if not adds_up or found["orphaned"] or (is_quiet and found["missing"]):
            self._site.complain(f"an audit of {nodes} nodes tells of {found}: {status['run_id']}")

    def _check_export(self, status: dict[str, Any], is_quiet: bool) -> bool:
        """Looks at an export's files; whether they could be looked at."""
        if status["manifest"] is None:  # the folder is away just now
            return False
        folder, nodes = Path(status["destination"].removeprefix("file://")), len(self._site.world.initial_ids)
        try:
            told = json.loads((folder / MANIFEST).read_bytes())
            contents = {path.name: path.read_bytes() for path in folder.glob("*.parquet")}
        except OSError as error:
            self._site.say(f"an export cannot be read just now: {error}")
            return False
        files = {file["name"]: file for file in told["files"]}
        of_nodes = told["rows"] + told["missing"], sum(file["rows"] for file in files.values()) + told["missing"]
        if of_nodes != (nodes, nodes) or files.keys() != contents.keys() or (is_quiet and told["missing"]):
            self._site.complain(f"an export of {nodes} nodes tells of {of_nodes}, {told['missing']} missing: {status}")
        for content in contents.values():
            rows = rows_of_file(content, self._site.world.geometry)
            for complaint in row_complaints(rows, self._site.world.right_rows, required=()):
                self._site.complain(f"in an export: {complaint}")
        others = [name for name, content in contents.items() if sha256(content).hexdigest() != files[name]["sha256"]]
        if others:
            self._site.complain(f"files of an export are not those of its manifest: {others}")
        shutil.rmtree(folder, ignore_errors=True)
        return True
