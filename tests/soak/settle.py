"""The end of a round: no fault is there any more, and within a bounded time everything is right.

How long that takes depends on the machine and on what else it does. So what is bounded is the time without progress;
the time in all has a bound that no machine should need.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from l2cache.deadletters.letter import Letter
from tests.soak.checks import row_complaints, unexplained
from tests.soak.load.users import Load
from tests.soak.site import Site

WITHOUT_PROGRESS_S = 180.0
IN_ALL_S = 900.0
_LOOK_S = 0.5
_ASK_AGAIN_S = 2.5
_REPLAY_AFTER_S = 10.0
_EMPTY_LOOKS = 4
_READABLE_WITHIN_S = 60.0


class Patience:
    """For how long to wait for something that makes progress, or does not."""

    def __init__(self) -> None:
        self._start_s = self._last_s = time.monotonic()
        self._seen: object = None

    @property
    def elapsed_s(self) -> float:
        """Since the waiting began."""
        return time.monotonic() - self._start_s

    def is_over(self, seen: object) -> bool:
        """Whether there was no progress for too long, or no end.

        Args:
          seen: how far things are; anything that is different is progress.
        """
        now_s = time.monotonic()
        if seen != self._seen:
            self._seen, self._last_s = seen, now_s
        return now_s > min(self._last_s + WITHOUT_PROGRESS_S, self._start_s + IN_ALL_S)


def settle(site: Site, load: Load, explanations: Sequence[str]) -> None:
    """Waits until everything is done, and checks it; what is wrong becomes a complaint.

    Args:
      site: where.
      load: who asked for it; has ended.
      explanations: patterns of the reasons of dead letters that the faults of the run explain.
    """
    patience, given_up = Patience(), _GivenUp(site, explanations)
    _reachable(site)
    _finish_ingest(site, load, given_up, patience)
    if load.keeper.has_begun:
        _finish_kept(site, load, given_up, patience, is_quiet=False)
    site.mend_lasting_damage()
    given_up.replay()
    site.world.take_in_edits()
    edited = site.world.edited_ids()
    _wait_for_edits(site, given_up, edited, patience)
    asked = load.looker.asked | edited
    missing = load.looker.missing(asked)
    while missing and not patience.is_over(len(missing)):
        time.sleep(_ASK_AGAIN_S)
        given_up.replay()
        missing = load.looker.missing(missing)
    if missing:
        site.complain(f"{len(missing)} nodes are missing however often they are looked up: {sorted(missing)[:3]}")
    for _ in range(2):
        _finish_kept(site, load, given_up, patience, is_quiet=True)
    _check_end(site, given_up, sorted({*asked, *site.world.initial_ids}), patience)
    site.say(f"came right within {patience.elapsed_s:.0f} s" if not site.complaints else "did not come right")


def _finish_ingest(site: Site, load: Load, given_up: _GivenUp, patience: Patience) -> None:
    """An edit is possible, and the present ingest comes to its end."""
    while not (is_edited := load.editor.edit()) and not patience.is_over("no edit"):
        time.sleep(_LOOK_S)
    if not is_edited:
        site.complain("no edit is possible any more")
    while not (is_finished := load.operator.finish(time.monotonic() + _REPLAY_AFTER_S)):
        progress = load.operator.describe()
        if patience.is_over(progress):
            break
        site.say(f"the ingest is not finished yet: {progress}")
        given_up.replay_tasks()
    if not is_finished:
        site.complain(f"no ingest is finished after {patience.elapsed_s:.0f} s: {load.operator.describe()}")


def _finish_kept(site: Site, load: Load, given_up: _GivenUp, patience: Patience, *, is_quiet: bool) -> None:
    """The present audit or export comes to its end, or the next one."""
    while not load.keeper.finish(time.monotonic() + _REPLAY_AFTER_S, is_quiet=is_quiet):
        progress = load.keeper.describe()
        if patience.is_over(progress):
            site.complain(f"no audit or export is finished after {patience.elapsed_s:.0f} s: {progress}")
            return
        given_up.replay_tasks()


def _check_end(site: Site, given_up: _GivenUp, required: Sequence[int], patience: Patience) -> None:
    """Nothing is undelivered or given up, and the table holds what it must and nothing else."""
    empty = 0
    while empty < _EMPTY_LOOKS and not patience.is_over((empty, left := site.storage.undelivered())):
        empty = 0 if left else empty + 1
        time.sleep(_LOOK_S)
    if left:
        site.complain(f"not delivered at the end: {left}")
    for letter in site.storage.dead_letters():
        site.complain(f"a dead letter at the end: {letter}")
    for what in given_up.unexplained:
        site.complain(f"given up for a reason that no fault explains: {what}")
    for complaint in row_complaints(site.storage.rows(), site.world.right_rows, required):
        site.complain(complaint)


def _wait_for_edits(site: Site, given_up: _GivenUp, edited: set[int], patience: Patience) -> None:
    """Edits are computed without being asked for."""
    while (lost := sorted(edited - site.storage.rows().keys())) and not patience.is_over(len(lost)):
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
