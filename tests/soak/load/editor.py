"""A proofreader who merges and splits neurons at the graph server."""

from __future__ import annotations

import random
import threading

import requests

from infra.standin.world.parameters import TABLE
from tests.soak.site import Site

PAUSE_S = (0.3, 1.5)
TIMEOUT_S = 60.0
_REFUSED = 400


class Editor(threading.Thread):
    """Edits until told to stop. An edit that is refused, or has no answer, is none of its business."""

    def __init__(self, site: Site, seed: str, stopping: threading.Event) -> None:
        super().__init__(name="editor", daemon=True)
        self._site, self._chance, self._stopping = site, random.Random(seed), stopping

    def run(self) -> None:
        """Edits."""
        while not self._stopping.wait(self._chance.uniform(*PAUSE_S)):
            self.edit()

    def edit(self) -> bool:
        """One edit at a random place; whether it was done."""
        one, other = self._chance.sample(self._site.world.supervoxels, 2)
        if self._send("merge", [[one, 0, 0, 0], [other, 0, 0, 0]]):
            return True
        return self._send("split", {"sources": [[one, 0, 0, 0]], "sinks": [[other, 0, 0, 0]]})

    def _send(self, operation: str, body: object) -> bool:
        url = f"{self._site.stack.graph_url}/segmentation/api/v1/table/{TABLE}/{operation}"
        try:
            answer = requests.post(url, json=body, timeout=TIMEOUT_S)
        except requests.RequestException:
            return False
        if answer.status_code == 200:
            self._site.edits.append(answer.json())
        elif answer.status_code != _REFUSED:
            self._site.complain(f"the stand-in graph server answers {operation} with {answer.status_code}")
        return answer.ok
