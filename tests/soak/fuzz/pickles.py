"""Pickles of edits: good ones of every protocol, damaged ones, and ones that want something to be run."""

from __future__ import annotations

import os
import pickle
import pickletools
import struct
from collections.abc import Sequence
from random import Random
from typing import Any

import numpy as np

from tests.soak.fuzz.values import mutated
from tests.support.graph.small import node_id

_IDS = [node_id(2, (0, 0, 0), 1), node_id(2, (1, 1, 1), 2), node_id(2, (2, 1, 0), 9), 0, 2**64 - 1]
_OPCODES = [opcode.code.encode("latin-1") for opcode in pickletools.opcodes]
_GLOBALS = (
    *(b"cos\nsystem\n", b"cbuiltins\neval\n", b"cbuiltins\nexec\n", b"csubprocess\nPopen\n", b"cposix\nsystem\n"),
    *(b"cnumpy\nload\n", b"cbuiltins\ngetattr\n", b"cnumpy._core.multiarray\n_reconstruct\n", b"cnumpy\nndarray\n"),
    *(
        b"ccopyreg\n_reconstructor\n",
        b"c__main__\nX\n",
        b"cpickle\nloads\n",
        b"cnumpy\ndtype\n",
        b"coperator\nattrgetter\n",
    ),
)


def edit(chance: Random) -> dict[str, Any]:
    """A good edit, with numpy in some places."""
    ids = chance.choices(_IDS, k=chance.randrange(6))
    shapes: Sequence[Any] = (
        ids,
        tuple(ids),
        np.array(ids, dtype=np.uint64),
        [np.uint64(i) for i in ids],
        np.array([1, 2, 3], dtype=np.int16),
        np.array([[5]], dtype=np.uint64),
        np.array(7, dtype=np.uint64),
        np.array([1.5]),
        [],
    )
    made = {"operation_id": chance.choice([1, 2**70, np.int64(3), None, True, "1", 1.5, -1]), "new_lvl2_ids": ids}
    made["new_lvl2_ids"] = chance.choice(shapes)
    return {**made, "new_root_ids": [], "old_root_ids": chance.choice([[], None, "x", {1: 2}])}


def make(chance: Random, canary: str) -> bytes:
    """One pickle.

    Args:
      chance: decides.
      canary: a file that a pickle which is executed makes.
    """
    roll = chance.random()
    if roll < 0.2:
        return malicious(chance, canary)
    data = pickle.dumps(edit(chance), protocol=chance.randrange(6))
    if roll < 0.3:
        return data
    if roll < 0.6:
        return mutated(chance, data)
    if roll < 0.95:
        return rearranged(chance, data)
    return chance.choice(_BOMBS)


def rearranged(chance: Random, data: bytes) -> bytes:
    """The opcodes of a pickle, some of them left out, doubled, moved, replaced, or others put between them."""
    places = [position for _, _, position in pickletools.genops(data)]
    parts = [data[a:b] for a, b in zip(places, [*places[1:], len(data)], strict=True)]
    for _ in range(chance.choice([1, 1, 2, 5])):
        at, other = chance.randrange(len(parts)), chance.randrange(len(parts))
        match chance.randrange(6):
            case 0:
                parts.insert(at, parts[other])
            case 1 if len(parts) > 1:
                del parts[at]
            case 2:
                parts[at], parts[other] = parts[other], parts[at]
            case 3:
                parts.insert(at, chance.choice(_OPCODES) + chance.randbytes(chance.choice([0, 1, 2, 4, 8])))
            case 4:
                parts.insert(at, chance.choice(_GLOBALS))
            case _:
                parts[at] = chance.choice(_OPCODES) + parts[at][1:]
    return b"".join(parts)


class _Runs:
    """Makes its canary when it is unpickled."""

    def __init__(self, call: tuple[Any, tuple[Any, ...]]) -> None:
        self._call = call

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self._call


def malicious(chance: Random, canary: str) -> bytes:
    """A pickle that makes the canary if any part of it is executed, alone or deep inside an edit."""
    code = f"open({canary!r}, 'w').close()"
    calls: Sequence[tuple[Any, tuple[Any, ...]]] = (
        (os.system, (f"touch {canary}",)),
        (exec, (code,)),
        (eval, (code,)),
        (open, (canary, "w")),
        (np.save, (canary, 1)),
        (os.mkdir, (canary,)),
    )
    bad = _Runs(chance.choice(calls))
    whole = edit(chance)
    places: Sequence[Any] = (
        bad,
        {**whole, "new_lvl2_ids": [1, bad]},
        {**whole, "x": {"y": [bad]}},
        {**whole, "operation_id": bad},
        [bad, whole],
    )
    protocol = chance.randrange(6)
    written = pickle.dumps(chance.choice(places), protocol=protocol)
    touch = f"touch {canary}".encode()
    by_hand = (
        b"cos\nsystem\n(V" + touch + b"\ntR.",
        b"(V" + touch + b"\nios\nsystem\n.",
        b"(cos\nsystem\nV" + touch + b"\no.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c" + bytes([len(touch)]) + touch + b"\x85R.",
        b"\x80\x02cos\nsystem\n(V" + touch + b"\nt\x81.",
        b"\x80\x02}cos\nsystem\n(V" + touch + b"\ntRb.",
    )
    data = written if chance.random() < 0.7 else chance.choice(by_hand)
    return rearranged(chance, data) if chance.random() < 0.3 else data


def _laughs(levels: int) -> bytes:
    """Lists of the same lists: two to the power of `levels` in a few bytes."""
    return b"]q\x000" + b"".join(b"]q%c(h%ch%ce0" % (i + 1, i, i) for i in range(levels)) + b"h%c." % levels


_BOMBS = (
    _laughs(60),
    b"(" * 100_000,
    b"]" * 100_000 + b"a" * 99_999 + b".",
    b"\x80\x05\x96" + struct.pack("<Q", 2**62) + b".",
    b"\x80\x04\x8d" + struct.pack("<Q", 2**40) + b".",
    b"\x8b" + struct.pack("<i", 2**31 - 1) + b".",
    b"\x8b" + struct.pack("<i", 100_000) + b"\xff" * 100_000 + b".",
    b"L" + b"9" * 100_000 + b"L\n.",
    b"I" + b"9" * 100_000 + b"\n.",
    b"(" + b"K\x01" * 900_000 + b"l.",
    b"(" + b"K\x01K\x02" * 5_000 + b"d.",
    b"X" + struct.pack("<I", 2**31) + b"x.",
    b"r" + struct.pack("<I", 2**32 - 1) + b".",
    b"(S'" + b"a" * 1_000_000 + b"'\nl.",
)
