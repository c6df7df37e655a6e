"""Reads pickles of plain data from untrusted senders, and executes nothing.

Edit messages and the meta of cache tables are pickles. `pickle.Unpickler` is no place for them: even with a strict
`find_class` it calls what it was allowed to find with the sender's arguments, allocates what the sender claims to
need and hashes what the sender nested. Here `pickletools.genops` only cuts the bytes into opcodes; the little machine
below knows those opcodes that plain data needs, and where a pickle names a callable it gets an inert stand-in of
`shared.safe_pickle.inert_values`.
"""

from __future__ import annotations

import math
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from shared.errors import BadMessageError
from shared.safe_pickle.inert_values import NAMES, Array, IntegerType, UnhashedDict, call_inert, refused

_HIGHEST_PROTOCOL = 5
_MAX_INTEGER_BITS = 4096


@dataclass(frozen=True)
class PickleLimits:
    """How much a pickle may hold.

    Attributes:
      max_bytes: length of the pickle.
      max_values: opcodes in it; and values that it unfolds to where they are shared, eight bytes of text or array
        counting as one more.
      max_entries: entries of all its dictionaries together, since keys may be made to collide.
      max_depth: containers inside each other.
    """

    max_bytes: int = 4 * 1024 * 1024
    max_values: int = 1_000_000
    max_entries: int = 4096
    max_depth: int = 32


DEFAULT_LIMITS = PickleLimits()


def loads(data: bytes, limits: PickleLimits = DEFAULT_LIMITS) -> object:
    """The plain data in a pickle of any protocol, 0 to 5.

    Args:
      data: the pickle, from anybody.
      limits: how much it may hold.

    Returns:
      A tree of dict (keys: text and numbers), list, tuple, str, bytes, int, float, bool, None, numpy integer scalars
      and read-only numpy arrays of integers. A container that the pickle shares between places is in each of them anew.

    Raises:
      BadMessageError: if there is anything else in it, it is malformed, or exceeds a limit. Nothing else is raised.
    """
    if len(data) > limits.max_bytes:
        raise BadMessageError(f"a pickle of {len(data)} bytes; at most {limits.max_bytes} are read")
    try:
        return _Unfolding(limits).plain(_Machine(limits).run(data), depth=0)
    except BadMessageError:
        raise
    except Exception as error:  # whatever malformed bytes make the parser or numpy raise, MemoryError included
        raise BadMessageError(f"a malformed pickle ({type(error).__name__})") from error


class _Machine:
    """The stack machine of a pickle, reduced to the opcodes of plain data."""

    def __init__(self, limits: PickleLimits) -> None:
        self._limits = limits
        self._stack: list[Any] = []
        self._below_marks: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        self._encoded_bytes = 0

    def run(self, data: bytes) -> object:
        """The object that the pickle leaves on the stack, its containers still in the making."""
        for count, (opcode, argument, position) in enumerate(pickletools.genops(data)):
            if count >= self._limits.max_values:
                raise BadMessageError(f"a pickle of more than {self._limits.max_values} values")
            if opcode.name in _PUSHES_ARGUMENT:
                self._stack.append(argument)
            elif (push := _PUSHES.get(opcode.name)) is not None:
                self._stack.append(push())
            elif (act := _ACTS.get(opcode.name)) is not None:
                act(self, argument)
            elif opcode.name != "STOP":
                raise refused(f"the opcode {opcode.name}")
            elif position != len(data) - 1:
                raise refused("bytes after its end")
        (result,) = self._stack
        if self._below_marks:
            raise refused("an open mark")
        return result

    def _above_mark(self) -> list[Any]:
        above, self._stack = self._stack, self._below_marks.pop()
        return above

    def protocol(self, version: Any) -> None:
        if version > _HIGHEST_PROTOCOL:
            raise refused(f"protocol {version}")

    def mark(self, _: Any) -> None:
        self._below_marks.append(self._stack)
        self._stack = []

    def put(self, index: Any) -> None:
        self._memo[len(self._memo) if index is None else index] = self._stack[-1]

    def get(self, index: Any) -> None:
        self._stack.append(self._memo[index])

    def append(self, _: Any) -> None:
        self._extend_list([self._stack.pop()])

    def appends(self, _: Any) -> None:
        self._extend_list(self._above_mark())

    def _extend_list(self, values: list[Any]) -> None:
        if type(self._stack[-1]) is not list:
            raise refused("an append to no list")
        self._stack[-1].extend(values)

    def set_item(self, _: Any) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._extend_mapping([key, value])

    def set_items(self, _: Any) -> None:
        self._extend_mapping(self._above_mark())

    def _extend_mapping(self, keys_and_values: list[Any]) -> None:
        if type(self._stack[-1]) is not UnhashedDict:
            raise refused("an entry in no dictionary")
        self._stack[-1].pairs.extend(zip(keys_and_values[::2], keys_and_values[1::2], strict=True))

    def make_dict(self, _: Any) -> None:
        entries = self._above_mark()
        self._stack.append(UnhashedDict())
        self._extend_mapping(entries)

    def make_list(self, _: Any) -> None:
        values = self._above_mark()
        self._stack.append(values)

    def make_tuple(self, _: Any) -> None:
        values = self._above_mark()
        self._stack.append(tuple(values))

    def make_short_tuple(self, length: int) -> None:
        if len(self._stack) < length:
            raise refused("a tuple of too few values")
        self._stack[-length:] = [tuple(self._stack[-length:])]

    def name(self, argument: Any) -> None:
        module, _, name = argument.partition(" ")
        self._push_named(module, name)

    def name_from_stack(self, _: Any) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        self._push_named(module, name)

    def _push_named(self, module: Any, name: Any) -> None:
        if type(module) is not str or type(name) is not str:
            raise refused("a name that is no text")
        named = NAMES.get((module, name))
        if named is None:
            raise refused(f"the name {module[:80] + '.' + name[:80]!r}")
        self._stack.append(named)

    def call(self, _: Any) -> None:
        arguments, function = self._stack.pop(), self._stack.pop()
        made = call_inert(function, arguments)
        if type(made) is bytes:  # encoded from a text that may be shared by very many calls
            self._encoded_bytes += len(made)
            if self._encoded_bytes > self._limits.max_bytes:
                raise BadMessageError(f"a pickle that unfolds to more than {self._limits.max_bytes} bytes")
        self._stack.append(made)

    def build(self, _: Any) -> None:
        state, target = self._stack.pop(), self._stack[-1]
        if type(target) not in (IntegerType, Array):
            raise refused("a state for what has none")
        target.build(state)


_PUSHES_ARGUMENT = frozenset(
    {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"}
    | {"UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING", "SHORT_BINSTRING"}
    | {"BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"}
)
_PUSHES: dict[str, Callable[[], object]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_DICT": UnhashedDict,
}
_ACTS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": _Machine.protocol,
    "FRAME": lambda machine, _: None,
    "MARK": _Machine.mark,
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), _Machine.put),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _Machine.get),
    "APPEND": _Machine.append,
    "APPENDS": _Machine.appends,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_items,
    "DICT": _Machine.make_dict,
    "LIST": _Machine.make_list,
    "TUPLE": _Machine.make_tuple,
    "TUPLE1": lambda machine, _: machine.make_short_tuple(1),
    "TUPLE2": lambda machine, _: machine.make_short_tuple(2),
    "TUPLE3": lambda machine, _: machine.make_short_tuple(3),
    "GLOBAL": _Machine.name,
    "STACK_GLOBAL": _Machine.name_from_stack,
    "REDUCE": _Machine.call,
    "BUILD": _Machine.build,
}


class _Unfolding:
    """Turns what the machine made into plain data, as a tree, and counts what it unfolds to."""

    def __init__(self, limits: PickleLimits) -> None:
        self._limits = limits
        self._values_left = limits.max_values
        self._entries_left = limits.max_entries

    def plain(self, made: Any, depth: int) -> object:
        """The value, if it is plain and within the limits."""
        if depth > self._limits.max_depth:
            raise BadMessageError(f"a pickle nested deeper than {self._limits.max_depth}")
        kind = type(made)
        self._spend(1)
        if made is None or kind in (bool, float):
            return made
        if kind is int:
            if made.bit_length() > _MAX_INTEGER_BITS:
                raise BadMessageError(f"a pickle with an integer of more than {_MAX_INTEGER_BITS} bits")
            return made
        if kind in (str, bytes):
            self._spend(len(made) // 8)
            return made
        if kind in (list, tuple):
            return kind(self.plain(value, depth + 1) for value in made)
        if kind is UnhashedDict:
            return self._dictionary(made, depth)
        if kind is Array:
            made = made.values
        if isinstance(made, np.ndarray):
            return self._array(made)
        if isinstance(made, np.integer):
            return made
        raise refused(f"an unfinished {kind.__name__.strip('_').lower()}")

    def _spend(self, values: int) -> None:
        self._values_left -= values
        if self._values_left < 0:
            raise BadMessageError(f"a pickle that unfolds to more than {self._limits.max_values} values")

    def _dictionary(self, mapping: UnhashedDict, depth: int) -> dict[object, object]:
        self._entries_left -= len(mapping.pairs)
        if self._entries_left < 0:
            raise BadMessageError(f"a pickle with more than {self._limits.max_entries} dictionary entries")
        return {self._key(key, depth): self.plain(value, depth + 1) for key, value in mapping.pairs}

    def _key(self, made: Any, depth: int) -> object:
        # no tuples: a thousand long ones with one hash take minutes to tell apart
        if made is not None and not isinstance(made, str | bytes | int | float | np.integer):
            raise refused("a key that is neither text nor number")
        return self.plain(made, depth + 1)

    def _array(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        # an empty array of shape (10**9, 0) has no bytes, but its tolist() has 10**9 lists
        self._spend(math.prod(length for length in values.shape if length) + values.nbytes // 8)
        return values
