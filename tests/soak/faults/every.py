"""Everything that is done to the stack. A new fault is a class here and a line in `FAULTS`."""

from __future__ import annotations

from collections.abc import Sequence

from tests.soak.faults.base import Fault
from tests.soak.faults.clock import ClockBack
from tests.soak.faults.disk import FullDisk, LockedFile, LongLockedFile
from tests.soak.faults.emulators import CutConnections, StoppedEmulator
from tests.soak.faults.graph import BrokenGraph, GarbledGraph, RefusingGraph, SlowGraph, WrongGraph
from tests.soak.faults.kills import KilledProcess, KilledStack
from tests.soak.faults.messages import Junk, Repetitions, SimultaneousStarts, UnknownIds
from tests.soak.faults.volume import DamagedFiles, LastingNoise, NoiseInFiles

FAULTS: Sequence[type[Fault]] = (
    KilledProcess,
    KilledStack,
    FullDisk,
    LockedFile,
    LongLockedFile,
    StoppedEmulator,
    CutConnections,
    SlowGraph,
    RefusingGraph,
    BrokenGraph,
    GarbledGraph,
    WrongGraph,
    DamagedFiles,
    NoiseInFiles,
    LastingNoise,
    Repetitions,
    Junk,
    UnknownIds,
    SimultaneousStarts,
    ClockBack,
)
