"""Somebody who keeps the table: exports it, imports what was exported, audits and repairs it, again and again."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

from infra.standin.world.parameters import TABLE
from shared.ingest.export import MANIFEST
from tests.soak.exported import ExportFolder
from tests.soak.load.http import Answer, ask
from tests.soak.site import Site

LOOK_S = 0.5
MANIFEST_WITHIN_S = 15.0
VERIFIED = 40
TURNS = ("export", "audit", "import")
_SHOWN = ("generation", "state", "total_chunks", "completed_chunks", "failed_chunks", "rows")
_SCHEME = "file://"


class Keeper(threading.Thread):
    """Goes on until told to stop; then `finish` brings the present run to its end.

    It looks at `runs`: a request for the status of an export would write the manifest that its last leaf must write.

    Attributes:
      runs_finished: how many runs were brought to a good end.
    """

    def __init__(self, site: Site, seed: str, stopping: threading.Event) -> None:
        super().__init__(name="keeper", daemon=True)
        self._site, self._stopping = site, stopping
        self._folders = site.state / "exports" / seed.replace("/", "-")
        self._kind = TURNS[0]
        self._run_id: str | None = None
        self._is_resumed = True
        self._exported: Path | None = None
        self._required: Collection[int] = ()
        self._is_undisturbed = False
        self._n_folders = 0
        self.runs_finished = 0

    def run(self) -> None:
        """Starts runs and looks after them, one after the other."""
        while not self._stopping.wait(LOOK_S):
            self._step()

    def finish(self, end_s: float) -> bool:
        """Brings a run to its end; whether that was possible until `end_s` (monotonic)."""
        before = self.runs_finished
        while self.runs_finished == before and time.monotonic() < end_s:
            self._step()
            time.sleep(LOOK_S)
        return self.runs_finished > before

    def describe(self) -> str:
        """How far the present run is, for people."""
        status = self._look()
        return f"{self._run_id}: { ({name: status[name] for name in _SHOWN} if status else None) }"

    def _step(self) -> None:
        """Does what is to be done next."""
        if self._run_id is None:
            self._start()
        elif not self._is_resumed:
            self._is_resumed = self._post("start", resume=True, run=self._run_id).ok
        elif (status := self._look()) is not None and status["finished"]:
            self._ended(status)

    def _start(self) -> None:
        answer = self._post(self._kind, **self._fields())
        if answer.ok:
            self._run_id, self._is_resumed = answer.document["run_id"], True
            self._site.say(f"an {self._kind} is started: {self._run_id}")
        elif answer.status == 409:
            self._adopt()

    def _fields(self) -> dict[str, Any]:
        if self._kind == "audit":
            return {"repair": True, "verify": VERIFIED}
        if self._kind == "import":
            return {"source": f"{_SCHEME}{self._exported}"}
        self._required, self._is_undisturbed = self._rows_to_stay(), self._stopping.is_set()
        # Of a start whose answer did not come a folder may hold files.
        self._n_folders += 1
        return {"destination": f"{_SCHEME}{self._folders}-{self._n_folders}"}

    def _rows_to_stay(self) -> set[int]:
        """Nodes that have a row which nobody takes away: those of edits, and all when the load is over."""
        try:
            found = set(self._site.storage.rows())
        except Exception:  # noqa: BLE001  # whatever the storage's client raises while a fault is there
            return set()
        return found if self._stopping.is_set() else found - set(self._site.world.initial_ids)

    def _adopt(self) -> None:
        """Takes over the run that is going on: the answer to its start did not come, perhaps nor its first task."""
        running = [run for run in self._runs() if run.get("kind") == self._kind and run["state"] == "running"]
        for run in running:
            self._run_id, self._is_resumed = run["run_id"], False
            self._required, self._is_undisturbed = (), False
            self._site.say(f"an {self._kind} without an answer is resumed: {self._run_id}")

    def _look(self) -> dict[str, Any] | None:
        return next((run for run in self._runs() if run["run_id"] == self._run_id), None)

    def _runs(self) -> list[dict[str, Any]]:
        answer = self._get("runs")
        runs: list[dict[str, Any]] = answer.document["runs"] if answer.ok else []
        return runs

    def _ended(self, status: dict[str, Any]) -> None:
        if status["completed_chunks"] + status["failed_chunks"] != status["total_chunks"]:
            self._site.complain(f"a status that does not add up: {status}")
        if status["failed_chunks"]:
            self._site.say(f"{status['failed_chunks']} failed chunks of an {self._kind} are tried again")
            if self._kind == "audit":
                self._site.mend_lasting_damage()
            self._post("retry", run=self._run_id)
            return
        if not self._check(status):
            return
        self._site.count(f"{self._kind}s finished")
        self._site.say(f"an {self._kind} is finished: {self._run_id}, generation {status['generation']}")
        self._run_id, self._kind = None, TURNS[(TURNS.index(self._kind) + 1) % len(TURNS)]
        self.runs_finished += 1

    def _check(self, status: dict[str, Any]) -> bool:
        """Whether what a run has made is there; what is wrong about it becomes a complaint."""
        if self._kind == "export":
            return self._check_export(Path(status["destination"].removeprefix(_SCHEME)))
        if self._kind == "audit":
            counts = status["audit"]
            # It repairs, so that nothing is missing any more; and a row is right at any time.
            if counts["l2_ids"] != counts["rows"] or any(counts[name] for name in ("missing", "orphaned", "differing")):
                self._site.complain(f"an audit that repairs has found {counts}")
        return True

    def _check_export(self, folder: Path) -> bool:
        if not self._has_manifest(folder):
            return False
        world = self._site.world
        # The right rows of fresh edits are computed when nobody edits any more.
        fresh = world.edited_ids() - world.right_rows.keys()
        exported = ExportFolder(folder, world.geometry)
        for complaint in exported.complaints(world.right_rows, self._required, fresh):
            self._site.complain(f"{folder.name}: {complaint}")
        self._exported = folder
        return True

    def _has_manifest(self, folder: Path) -> bool:
        """Waits for the manifest; of an export whose last leaf died for good a request for the status writes it."""
        end_s = time.monotonic() + MANIFEST_WITHIN_S
        while not (folder / MANIFEST).exists():
            if time.monotonic() > end_s:
                if self._is_undisturbed:
                    self._site.complain(f"no leaf has written the manifest of {self._run_id}")
                self._get("status", run=self._run_id)
                self._site.count("manifests asked for")
                return (folder / MANIFEST).exists()
            time.sleep(LOOK_S)
        return True

    def _post(self, operation: str, **fields: Any) -> Answer:
        url = f"{self._site.stack.ingest_url}/{operation}"
        return ask(self._site, "POST", url, also=(409,), json={"dataset": TABLE, **fields})

    def _get(self, operation: str, **fields: Any) -> Answer:
        url = f"{self._site.stack.ingest_url}/{operation}"
        return ask(self._site, "GET", url, params={"dataset": TABLE, **fields})
