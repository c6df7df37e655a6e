"""The end of a round: no fault is there any more, and within a bounded time everything is right."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from l2cache.deadletters.letter import Letter
from tests.soak.checks import row_complaints, unexplained
from tests.soak.load import Load
from tests.soak.site import Site
from tests.soak.stack.storage import wait_until_idle

_LOOK_S = 0.5
_ASK_AGAIN_S = 2.5
_REPLAY_AFTER_S = 10.0
_READABLE_WITHIN_S = 60.0


def settle(site: Site, load: Load, explanations: Sequence[str], within_s: float) -> None:
    """Waits until everything is done, and checks it; what is wrong becomes a complaint.

    Args:
      site: where.
      load: who asked for it; has ended.
      explanations: patterns of the reasons of dead letters that the faults of the run explain.
      within_s: for everything.
    """
    start_s = time.monotonic()
    end_s = start_s + within_s
    _reachable(site)
    given_up = _GivenUp(site, explanations)
    if not _until(load.editor.edit, end_s):
        site.complain("no edit is possible any more")
    while not (is_finished := load.operator.finish(time.monotonic() + _REPLAY_AFTER_S)) and time.monotonic() < end_s:
        given_up.replay_tasks()
    if not is_finished:
        site.complain(f"no ingest is finished within {within_s:g} s: {load.operator.describe()}")
    site.mend_lasting_damage()
    given_up.replay()
    site.world.take_in_edits()
    edited = site.world.edited_ids()
    _wait_for_edits(site, given_up, edited, end_s)
    missing = asked = load.looker.asked | edited
    while missing and time.monotonic() < end_s:
        missing = load.looker.missing(missing)
        if missing:
            time.sleep(_ASK_AGAIN_S)
            given_up.replay()
    if missing:
        site.complain(f"{len(missing)} nodes are missing however often they are looked up: {sorted(missing)[:3]}")
    _check_end(site, given_up, sorted({*asked, *site.world.initial_ids}), end_s)
    site.say(f"came right within {time.monotonic() - start_s:.0f} s" if not site.complaints else "did not come right")


def _check_end(site: Site, given_up: _GivenUp, required: Sequence[int], end_s: float) -> None:
    """Nothing is undelivered or given up, and the table holds what it must and nothing else."""
    left = wait_until_idle(site.storage, max(10.0, end_s - time.monotonic()))
    if left:
        site.complain(f"not delivered at the end: {left}")
    for letter in site.storage.dead_letters():
        site.complain(f"a dead letter at the end: {letter}")
    for letter in given_up.unexplained:
        site.complain(f"given up for a reason that no fault explains: {letter}")
    for complaint in row_complaints(site.storage.rows(), site.world.right_rows, required):
        site.complain(complaint)


def _wait_for_edits(site: Site, given_up: _GivenUp, edited: set[int], end_s: float) -> None:
    """Edits are computed without being asked for."""
    while (lost := sorted(edited - site.storage.rows().keys())) and time.monotonic() < end_s:
        time.sleep(_ASK_AGAIN_S)
        given_up.replay()
    if lost:
        site.complain(f"{len(lost)} nodes that edits made have no row: {lost[:3]}; {site.storage.undelivered()}")


class _GivenUp:
    """Dead letters, which are delivered again as they are found."""

    def __init__(self, site: Site, explanations: Sequence[str]) -> None:
        self._site, self._explanations = site, explanations
        self.unexplained: list[str] = []

    def replay(self) -> None:
        """Delivers again what was given up."""
        self._replay(self._site.storage.dead_letters())

    def replay_tasks(self) -> None:
        """Delivers again the tasks that were given up: without them no ingest ends."""
        self._replay([letter for letter in self._site.storage.dead_letters() if "task" in letter.what])

    def _replay(self, letters: Sequence[Letter]) -> None:
        if letters:
            reasons = sorted({letter.reason[:120] for letter in letters})
            self._site.say(f"{len(letters)} dead letters are replayed: {'; '.join(reasons)}")
            self.unexplained += [str(letter) for letter in unexplained(letters, self._explanations)]
            self._site.storage.replay(letters)


def _reachable(site: Site) -> None:
    """Waits until the storage can be read."""
    end_s = time.monotonic() + _READABLE_WITHIN_S
    while True:
        try:
            site.storage.undelivered()
            return
        except Exception as error:  # noqa: BLE001  # whatever the storage's client raises
            if time.monotonic() > end_s:
                site.complain(f"the storage cannot be read {_READABLE_WITHIN_S:g} s after all faults: {error!r}")
                return
        time.sleep(_LOOK_S)


def _until(condition: Callable[[], bool], end_s: float) -> bool:
    while time.monotonic() < end_s:
        if condition():
            return True
        time.sleep(_LOOK_S)
    return False
