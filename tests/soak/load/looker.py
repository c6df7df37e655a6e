"""A user who looks up nodes, cached or not, and looks at what comes."""

from __future__ import annotations

import random
import threading
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from infra.standin.world.parameters import TABLE
from tests.soak.load.http import ask
from tests.soak.site import Site

PAUSE_S = (0.02, 0.4)
MOST_IDS = 200
BATCH_IDS = 20_000
STATES_SHARE = 0.2
WAITS_S = (0.0, 0.0, 0.0, 0.5)


class Looker(threading.Thread):
    """Looks up until told to stop.

    Attributes:
      asked: all ids that it asked for and that the graph knows.
    """

    def __init__(self, site: Site, seed: str, stopping: threading.Event) -> None:
        super().__init__(name="looker", daemon=True)
        self._site, self._chance, self._stopping = site, random.Random(seed), stopping
        self._voxel_nm3 = int(np.prod(site.world.geometry.resolution_nm))
        self.asked: set[int] = set()

    def run(self) -> None:
        """Looks up."""
        while not self._stopping.wait(self._chance.uniform(*PAUSE_S)):
            edited = [l2_id for edit in self._site.edits[-20:] for l2_id in _ids(edit)]
            known = self._chance.choice([self._site.world.initial_ids, edited or self._site.world.initial_ids])
            l2_ids = self._chance.choices(known, k=self._chance.randrange(1, MOST_IDS))
            if self._chance.random() < STATES_SHARE:
                self.ask_for_states(l2_ids)
            else:
                self.look_up(l2_ids, self._chance.choice(WAITS_S))

    def ask_for_states(self, l2_ids: Sequence[int]) -> None:
        """Asks how ids stand: each of them must be told of once."""
        answer = ask(self._site, "POST", self._url("status?all=true"), json={"l2_ids": list(l2_ids)})
        if not answer.ok:
            return
        counts, listed = answer.document["counts"], answer.document["ids"]
        told = [int(one["id"] if isinstance(one, dict) else one) for ids in listed.values() for one in ids]
        if sorted(told) != sorted(set(l2_ids)) or counts != {state: len(ids) for state, ids in listed.items()}:
            self._site.complain(f"the states of {sorted(set(l2_ids))} are {answer.document}")

    def look_up(self, l2_ids: Sequence[int], wait_s: float = 0.0) -> set[int]:
        """Asks for ids, and waits for them so long; those that have a row."""
        self.asked.update(l2_ids)
        url = self._url(f"attributes?wait={wait_s:g}" if wait_s else "attributes")
        answer = ask(self._site, "POST", url, json={"l2_ids": list(l2_ids)})
        if not answer.ok:
            return set()
        served = {int(l2_id): row for l2_id, row in answer.document.items() if row}
        for l2_id, row in served.items():
            self._check(l2_id, row)
        return set(served)

    def missing(self, l2_ids: Collection[int]) -> set[int]:
        """Those of the ids that have no row."""
        wanted = sorted(l2_ids)
        parts = [wanted[start : start + BATCH_IDS] for start in range(0, len(wanted), BATCH_IDS)]
        return set(wanted) - {l2_id for part in parts for l2_id in self.look_up(part)}

    def _url(self, what: str) -> str:
        return f"{self._site.stack.lookup_url}/l2cache/api/v1/table/{TABLE}/{what}"

    def _check(self, l2_id: int, row: dict[str, Any]) -> None:
        right = self._site.world.right_rows.get(l2_id)
        if right is None:  # made by an edit just now
            return
        size_nm3 = int.from_bytes(right["size_nm3"][:4], "little") * self._voxel_nm3
        if int(row["size_nm3"]) != size_nm3:
            self._site.complain(f"a look-up of {l2_id} gives size_nm3 {row['size_nm3']}, it is {size_nm3}")


def _ids(edit: Any) -> list[int]:
    return list(edit["new_lvl2_ids"])
