"""What users who start runs ask of the ingest function, and what becomes of runs that end with failed chunks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from infra.standin.world.parameters import TABLE
from tests.soak.load.http import Answer, ask
from tests.soak.site import Site


@dataclass(frozen=True)
class IngestFunction:
    """Asks the ingest function about the made world's table.

    Attributes:
      site: where it is, and where complaints go.
      refusals: statuses that are fine as answers to requests that change something.
    """

    site: Site
    refusals: tuple[int, ...]

    def post(self, operation: str, **fields: Any) -> Answer:
        """The answer to a request that changes something."""
        url = f"{self.site.stack.ingest_url}/{operation}"
        return ask(self.site, "POST", url, also=self.refusals, json={"dataset": TABLE, **fields})

    def get(self, operation: str, **fields: Any) -> Answer:
        """The answer to a request that only reads; what it names may not be there."""
        url = f"{self.site.stack.ingest_url}/{operation}"
        return ask(self.site, "GET", url, also=(404,), params={"dataset": TABLE, **fields})

    def retries(self, status: dict[str, Any]) -> bool:
        """Has what failed in an ended run done again, after damage was mended that would fail it for ever; whether
        anything failed.
        """
        if status["completed_chunks"] + status["failed_chunks"] != status["total_chunks"]:
            self.site.complain(f"a status that does not add up: {status}")
        if not status["failed_chunks"]:
            return False
        self.site.say(f"{status['failed_chunks']} failed chunks are tried again: {self._reasons(status['run_id'])}")
        self.site.mend_lasting_damage()
        self.post("retry", run=status["run_id"])
        return True

    def _reasons(self, run_id: str) -> str:
        answer = self.get("failed", run=run_id, limit="1000")
        reasons = {one["reason"] for one in answer.document["failed"]} if answer.ok else set()
        return "; ".join(sorted(reasons))[:500]
