"""Sends cases to the functions one after the other, and says of each kind of failure how it is had again."""

from __future__ import annotations

import logging
import os
import resource
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

from werkzeug.test import run_wsgi_app

from shared.telemetry.log import JsonFormatter
from tests.soak.fuzz.case import Case, http
from tests.soak.fuzz.functions import Functions
from tests.soak.fuzz.invariants import Answer, Complaint, complaint_about, place_of
from tests.soak.fuzz.kinds import Maker, good_cases
from tests.soak.fuzz.lookup_requests import TOKEN
from tests.soak.fuzz.neighbours import Switch
from tests.soak.fuzz.shrinking import shrunk
from tests.support.graph.small import GRAPH_ID

ANSWER_WITHIN_CPU_S = 5.0
"""Of computing time, which does not depend on what else the machine does."""

ANSWER_WITHIN_S = 30.0
HANGS_AFTER_S = 60.0
MOST_GROWTH_BYTES = 400 * 2**20
MOST_DATA_BYTES = 3 * 2**30
CASES_PER_WORLD = 300
FORBIDDEN_EVENTS = ("os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork", "pickle.find_class")
MOST_BEFORE = 150
_PROBES = ("status", "runs")


class TooSlowError(BaseException):
    """Raised in the midst of whatever takes too long; no `except Exception` stops it."""


@dataclass
class Failure:
    """A way to fail.

    Attributes:
      complaint: what is wrong, in the first such case.
      case: the first such case, made smaller.
      how: how it is had again.
      times: how often it was seen.
    """

    complaint: Complaint
    case: Case
    how: str
    times: int = 1


class LogWatch(logging.Handler):
    """Looks through everything that the functions log."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter())
        self.error: BaseException | None = None
        self.told_token = False

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record)
        self.told_token = self.told_token or TOKEN in line
        if record.exc_info and record.levelno >= logging.ERROR and "misses were not published" not in record.msg:
            self.error = record.exc_info[1]


@dataclass
class Campaign:
    """The functions under fire.

    Attributes:
      folder: for worlds.
      canary: what must never exist.
      failures: ways to fail that were seen, by function and complaint.
      statuses: answers by function and status.
    """

    folder: Path
    canary: Path
    failures: dict[tuple[str, str], Failure] = field(default_factory=dict)
    statuses: Counter[tuple[str, int | None]] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._switch, self._log = Switch(), LogWatch()
        logging.raiseExceptions = False
        self._functions = Functions(self.folder, self._switch)
        logger = logging.getLogger("l2cache")
        logger.handlers[:], logger.propagate = [self._log], False
        logger.setLevel(logging.DEBUG)
        for name in ("lookup", "compute", "ingest", "werkzeug"):
            logging.getLogger(name).handlers[:] = [self._log]
            logging.getLogger(name).propagate = False
        self._happened: list[str] = []
        self._current: Case | None = None
        self._history: list[Case] = []
        sys.addaudithook(self._audit)
        self._warm_up()
        resource.setrlimit(resource.RLIMIT_DATA, (MOST_DATA_BYTES, resource.RLIM_INFINITY))

    def _warm_up(self) -> None:
        """Makes sure that good requests succeed, and that nothing is compiled or imported later."""
        for case in good_cases():
            environ = case.environ()
            complaint, status = self._answered(case, environ, within_cpu_s=HANGS_AFTER_S) if environ else (None, None)
            if complaint is not None or status not in (200, 204):
                raise AssertionError(f"{case} is good, and was answered {status}: {complaint}")

    def run(self, makers: Mapping[str, Maker], count: int, chance: Random) -> None:
        """Sends `count` cases of all kinds in turn."""
        names = sorted(makers)
        with _watchdog(lambda: self._current):
            for number in range(count):
                if number % CASES_PER_WORLD == 0:
                    self._renew()
                self.send(makers[names[number % len(names)]](chance))

    def send(self, case: Case) -> None:
        """Sends a case, and takes down what is wrong about the answer."""
        complaint = self._complaint(case)
        self._history.append(case)
        if complaint is None:
            return
        known = self.failures.get((case.function, complaint.what))
        if known is not None:
            known.times += 1
        else:
            self.failures[case.function, complaint.what] = self._failure(case, complaint)
        self._renew()

    def _renew(self) -> None:
        self._functions.renew()
        self._history.clear()

    def _failure(self, case: Case, complaint: Complaint) -> Failure:
        """A failure that was not seen before, with what it takes to see it again."""

        def fails(other: Case, before: Case | None = None) -> bool:
            self._functions.renew()
            if before is not None:
                self._complaint(before)
            again = self._complaint(other)
            return again is not None and again.what == complaint.what

        if not complaint.is_slow and fails(case):
            return Failure(complaint, shrunk(case, fails), "by itself")
        if complaint.is_slow:
            return Failure(complaint, case, "by itself, perhaps")
        earlier = [one for one in self._history[:-1] if one.function == case.function]
        for before in reversed(earlier[-MOST_BEFORE:]):
            if fails(case, before):
                return Failure(complaint, case, f"after {before}")
        return Failure(complaint, case, f"after the {len(self._history) - 1} cases before it in this world")

    def _complaint(self, case: Case) -> Complaint | None:
        environ = case.environ()
        self.statuses[case.function, None] += environ is None
        if environ is None:
            return None
        complaint, status = self._answered(case, environ)
        self.statuses[case.function, status] += 1
        if complaint is None and case.function == "ingest" and status is not None and case.raw.startswith(b"POST"):
            complaint = self._probe()
        return complaint

    def _answered(
        self, case: Case, environ: Mapping[str, Any], within_cpu_s: float = ANSWER_WITHIN_CPU_S
    ) -> tuple[Complaint | None, int | None]:
        self._switch.away, self._switch.permissions = case.away, case.permissions
        self._switch.manifest = case.manifest
        self._switch.refused.clear()
        self._log.error, self._log.told_token = None, False
        self._happened.clear()
        self._current = case
        before_bytes = _most_memory_bytes()
        try:
            with _time_limit(within_cpu_s):
                body, status, headers = run_wsgi_app(self._functions.apps[case.function], dict(environ), buffered=True)
                answer = Answer(int(status.split()[0]), dict(headers), b"".join(body))
        except TooSlowError as error:
            return Complaint(
                f"no answer within {within_cpu_s:g} s of computing or {ANSWER_WITHIN_S:g} s, {place_of(error)}",
                is_slow=True,
            ), None
        except Exception as error:  # noqa: BLE001  # whatever escapes is what is looked for
            return Complaint(f"escaped: {place_of(error)}", str(error)[:300]), None
        finally:
            self._current = None
        return self._misdeed(before_bytes) or complaint_about(
            case, answer, self._switch.refused, self._log.error
        ), answer.status

    def _misdeed(self, before_bytes: int) -> Complaint | None:
        """What the function did that has nothing to do with its answer."""
        if self._happened or self.canary.exists():
            self.canary.unlink(missing_ok=True)
            return Complaint("something was executed", ", ".join(self._happened))
        grown_bytes = _most_memory_bytes() - before_bytes
        if grown_bytes > MOST_GROWTH_BYTES:
            return Complaint("memory", f"{grown_bytes >> 20} MiB more")
        return Complaint("a token in the log") if self._log.told_token else None

    def _probe(self) -> Complaint | None:
        """Whether the ingest function still answers about its runs."""
        for operation in _PROBES:
            probe = Case("ingest", "probe", http("GET", f"/{operation}?dataset={GRAPH_ID}"))
            environ = probe.environ()
            if environ is None:
                raise AssertionError("the probe is no request")
            complaint, status = self._answered(probe, environ)
            if complaint is not None or status not in (200, 404):
                return Complaint(f"{operation} does not work any more: {status}", str(complaint))
        return None

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in FORBIDDEN_EVENTS and self._current is not None and not _numba_is_at_work():
            self._happened.append(f"{event}{arguments!r:.200}")


def _numba_is_at_work() -> bool:
    """Whether this is the compiler that fetches its kernels, which it keeps as pickles."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and "/numba/" not in frame.f_code.co_filename:
        frame = frame.f_back
    return frame is not None


@contextmanager
def _time_limit(cpu_s: float) -> Iterator[None]:
    """Limits the computing time of what is done in the `with`, and the time that it waits."""

    def too_slow(_number: int, _frame: FrameType | None) -> None:
        raise TooSlowError

    limits = {
        signal.ITIMER_PROF: (signal.SIGPROF, cpu_s),
        signal.ITIMER_REAL: (signal.SIGALRM, max(cpu_s, ANSWER_WITHIN_S)),
    }
    for timer, (number, seconds) in limits.items():
        signal.signal(number, too_slow)
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for timer in limits:
            signal.setitimer(timer, 0)


@contextmanager
def _watchdog(current: Any) -> Iterator[None]:
    """Ends the process if even the time limit cannot end a case; says which one it was."""
    stopping = threading.Event()

    def watch() -> None:
        seen, since_s = None, time.monotonic()
        while not stopping.wait(1.0):
            case = current()
            if case is not seen:
                seen, since_s = case, time.monotonic()
            elif case is not None and time.monotonic() - since_s > HANGS_AFTER_S:
                print(f"FAILED: this hangs for good, nothing can end it:\n  {case}", flush=True)
                os._exit(1)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


def _most_memory_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
