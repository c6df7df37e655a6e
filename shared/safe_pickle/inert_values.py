"""The inert stand-ins for what a pickle of plain data names: no class or function of it is ever looked up or called."""

from __future__ import annotations

import enum
import math
import re
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from shared.errors import BadMessageError

_MAX_DIMENSIONS = 32
_MAX_LENGTH = 2**31
_MAX_ARGUMENTS = 5
_INTEGER_TYPE = re.compile(r"[iu][1248]")


class Callee(enum.Enum):
    """What a pickle of plain data may name; each is known under the names that Python and numpy gave it over time."""

    NDARRAY = enum.auto()
    DTYPE = enum.auto()
    RECONSTRUCT = enum.auto()
    FROM_BUFFER = enum.auto()
    SCALAR = enum.auto()
    ENCODE = enum.auto()
    BYTES = enum.auto()


NAMES: dict[tuple[str, str], Callee] = {
    ("numpy", "ndarray"): Callee.NDARRAY,
    ("numpy", "dtype"): Callee.DTYPE,
    ("_codecs", "encode"): Callee.ENCODE,
    ("builtins", "bytes"): Callee.BYTES,
    ("__builtin__", "bytes"): Callee.BYTES,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): Callee.RECONSTRUCT for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): Callee.SCALAR for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): Callee.FROM_BUFFER for core in ("core", "_core")},
}


class UnhashedDict:
    """A dictionary in the making: keys are not hashed before they are known to be plain and small."""

    def __init__(self) -> None:
        self.pairs: list[tuple[object, object]] = []


class IntegerType:
    """A numpy integer type in the making: named by a call, given its byte order by a BUILD."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.byte_order: str | None = None

    def build(self, state: object) -> None:
        """Takes the state that numpy writes for a plain dtype; any other raises BadMessageError."""
        if self.byte_order is not None or type(state) is not tuple or len(state) != 8:
            raise refused("the state of a dtype")
        version, byte_order, *others = state
        if type(version) is not int or version != 3 or byte_order not in ("<", ">", "|", "="):
            raise refused("the state of a dtype")
        if others[:3] != [None, None, None]:
            raise refused("a structured dtype")
        self.byte_order = "<" if byte_order == "=" else cast(str, byte_order)

    def dtype(self) -> np.dtype[Any]:
        """The finished type."""
        if self.byte_order is None:
            raise refused("a dtype without byte order")
        return np.dtype(self.byte_order + self.name)


class Array:
    """A numpy array in the making: empty from a call of `_reconstruct`, filled by a BUILD."""

    def __init__(self) -> None:
        self.values: npt.NDArray[Any] | None = None

    def build(self, state: object) -> None:
        """Takes the state that numpy writes for an array of integers; any other raises BadMessageError."""
        if self.values is not None or type(state) is not tuple or len(state) != 5:
            raise refused("the state of an array")
        version, shape, dtype, is_fortran, raw = state
        if type(version) is not int or version != 1 or type(is_fortran) not in (bool, int):
            raise refused("the state of an array")
        self.values = _array(raw, dtype, shape, "F" if is_fortran else "C")


def refused(what: str) -> BadMessageError:
    """The error for a pickle that holds `what`."""
    return BadMessageError(f"a pickle with {what}, which plain data does not need")


def _array(raw: object, dtype: object, shape: object, order: str) -> npt.NDArray[Any]:
    """The array over `raw`, once its type, shape and length are seen to agree."""
    if type(raw) not in (bytes, bytearray) or type(dtype) is not IntegerType or type(shape) is not tuple:
        raise refused("an array of other things than integers")
    if len(shape) > _MAX_DIMENSIONS or any(type(length) is not int for length in shape):
        raise refused("an impossible shape")
    if any(not 0 <= length <= _MAX_LENGTH for length in shape):
        raise refused("an impossible shape")
    integers, buffer = dtype.dtype(), cast(bytes, raw)
    if math.prod(shape) * integers.itemsize != len(buffer):
        raise refused("an array whose shape does not fit its data")
    values: npt.NDArray[Any] = np.ndarray(shape, integers, buffer, order=cast(Any, order))
    values.flags.writeable = False  # its memory may be shared with another array of the same pickle
    return values


def call_inert(function: object, arguments: object) -> object:
    """What a call that plain data needs makes; none of it runs anything but the lines below."""
    if type(function) is not Callee or type(arguments) is not tuple or len(arguments) > _MAX_ARGUMENTS:
        raise refused("a call")
    match function, arguments:
        case Callee.BYTES, ():
            return b""
        case Callee.ENCODE, (str(text), "latin1" | "latin-1"):
            return text.encode("latin-1")
        case Callee.DTYPE, (str(name), *rest) if len(rest) <= 2 and all(type(flag) in (bool, int) for flag in rest):
            if not _INTEGER_TYPE.fullmatch(name):
                raise refused(f"the dtype {name[:40]!r}")
            return IntegerType(name)
        case Callee.RECONSTRUCT, (Callee.NDARRAY, (0,), b"b" | "b"):
            return Array()
        case Callee.SCALAR, (IntegerType() as integers, bytes(raw)):
            return _array(raw, integers, (1,), "C")[0]
        case Callee.FROM_BUFFER, (raw, dtype, shape, "C" | "F" as order):
            return _array(raw, dtype, shape, order)
        case Callee.FROM_BUFFER, (raw, dtype, shape, "C" | "F" as order, None):
            return _array(raw, dtype, shape, order)
        case Callee.FROM_BUFFER, (raw, dtype, tuple(shape), "K", tuple(axes)):
            return _array_of_axes(raw, dtype, shape, axes)
    raise refused(f"a call of {function.name.lower()} that numpy does not write")


def _array_of_axes(raw: object, dtype: object, shape: tuple[Any, ...], axes: tuple[Any, ...]) -> npt.NDArray[Any]:
    """The array that numpy stored with `shape` in C order and then gave its axes in the order `axes`."""
    if len(axes) > _MAX_DIMENSIONS or any(type(axis) is not int for axis in axes):
        raise refused("an impossible order of axes")
    return _array(raw, dtype, shape, "C").transpose(axes)
