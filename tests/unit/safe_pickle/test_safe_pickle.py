"""The decoder of strangers' pickles: gives plain data back, refuses all else, executes nothing, stays small."""

from __future__ import annotations

import copyreg
import os
import pickle
import pickletools
import resource
import struct
import subprocess
from collections import OrderedDict, deque
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from shared.errors import BadMessageError
from shared.safe_pickle.decoder import PickleLimits, loads

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)

integer_dtypes = hnp.integer_dtypes(endianness="=") | hnp.unsigned_integer_dtypes(endianness="=")
integer_arrays = hnp.arrays(
    integer_dtypes | hnp.unsigned_integer_dtypes(endianness=">"), hnp.array_shapes(min_dims=0, max_dims=4, min_side=0)
)
integer_scalars = integer_dtypes.flatmap(lambda dtype: hnp.from_dtype(dtype))
# hnp.array_shapes gives C order; these give Fortran, transposed and strided memory
laid_out_arrays = st.tuples(integer_arrays, st.sampled_from(["C", "F", "T", "stride"])).map(
    lambda pair: {
        "C": lambda a: a,
        "F": np.asfortranarray,
        "T": lambda a: a.transpose(np.roll(np.arange(a.ndim), 1)),
        "stride": lambda a: a[..., ::2] if a.ndim else a,
    }[pair[1]](pair[0])
)
leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**130), 2**130)
    | st.floats()
    | st.text()
    | st.binary(max_size=400)
    | integer_scalars
    | laid_out_arrays
)
keys = st.text() | st.integers() | st.binary() | st.booleans() | st.none()
plain_data = st.recursive(
    leaves,
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(keys, inner, max_size=5),
    max_leaves=12,
)


def same(a: Any, b: Any) -> bool:
    """Equal in value and type all the way down; nan equals nan."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b or (a != a and b != b)


@given(plain_data, st.sampled_from(PROTOCOLS))
def test_plain_data_comes_back_from_every_protocol(value: Any, protocol: int) -> None:
    assert same(loads(pickle.dumps(value, protocol)), value)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_values_that_a_pickle_shares_are_read_in_each_place(protocol: int) -> None:
    ids, dtype_twice = [1, 2], [np.arange(3, dtype="u8"), np.uint64(7), np.arange(4, dtype="u8")]
    value = {"a": ids, "b": ids, "c": (ids, ids), "d": dtype_twice}
    assert same(loads(pickle.dumps(value, protocol)), value)


@pytest.mark.parametrize("core", [b"numpy.core", b"numpy._core"])
@pytest.mark.parametrize("protocol", [0, 1, 2, 3])
def test_arrays_of_numpy_1_and_2_are_read(core: bytes, protocol: int) -> None:
    value = [np.arange(5, dtype="u8"), np.int32(-3)]
    data = pickle.dumps(value, protocol).replace(b"numpy._core", core)
    assert same(loads(data), value)


def test_arrays_as_numpy_1_26_pickles_them() -> None:
    data = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\x00cnumpy\nndarray\nq\x01K\x00\x85q\x02c_codecs\nencode\nq\x03"
        b"X\x01\x00\x00\x00bq\x04X\x06\x00\x00\x00latin1q\x05\x86q\x06Rq\x07\x87q\x08Rq\t(K\x01K\x02\x85q\ncnumpy\ndtype\n"
        b"q\x0bX\x02\x00\x00\x00i8q\x0cK\x00K\x01\x87q\rRq\x0e(K\x03X\x01\x00\x00\x00<q\x0fNNNJ\xff\xff\xff\xff"
        b"J\xff\xff\xff\xffK\x00tq\x10b\x89h\x03X\x10\x00\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00\x06\x00\x00\x00\x00\x00"
        b"\x00\x00q\x11h\x05\x86q\x12Rq\x13tq\x14b."
    )
    assert same(loads(data), np.array([5, 6]))


def test_arrays_cannot_be_written_to() -> None:
    for protocol in PROTOCOLS:
        array = loads(pickle.dumps(np.arange(3), protocol))
        assert isinstance(array, np.ndarray)
        assert not array.flags.writeable


class Calls:
    """Pickles as a call of any function with any arguments, as an attacker writes it."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


EXPLOSIVE_CALLS = {
    "os.system": Calls(os.system, "touch executed"),
    "eval": Calls(eval, "open('executed', 'w')"),
    "exec": Calls(exec, "open('executed', 'w')"),
    "open": Calls(open, "executed", "w"),
    "subprocess": Calls(subprocess.call, ["touch", "executed"]),
    "getattr": Calls(getattr, "", "join"),
    "numpy.load": Calls(np.load, "executed", None, True),
    "memmap": Calls(np.memmap, "executed", "u8", "w+", 0, (3,)),
    "fromfile": Calls(np.fromfile, "/etc/hostname"),
    "import": Calls(__import__, "this"),
    "copyreg": Calls(copyreg._reconstructor, dict, object, None),  # type: ignore[attr-defined]
    "bytearray": Calls(bytearray, 10),
    "bytes of a size": Calls(bytes, 10),
    "nested": Calls(list, Calls(map, os.system, ["touch executed"])),
    "ndarray of objects": Calls(np.ndarray, (1,), "O"),
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", EXPLOSIVE_CALLS)
def test_a_call_of_anything_is_refused_and_not_executed(
    name: str, protocol: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for value in (EXPLOSIVE_CALLS[name], {"new_lvl2_ids": [1, EXPLOSIVE_CALLS[name]]}):
        with pytest.raises(BadMessageError):
            loads(pickle.dumps(value, protocol))
    assert not (tmp_path / "executed").exists()


UNWANTED_VALUES = {
    "set": {1},
    "frozenset": frozenset({1}),
    "complex": 1j,
    "bytearray": bytearray(b"12"),
    "range": range(3),
    "class": dict,
    "function": len,
    "ordered dict": OrderedDict(a=1),
    "deque": deque([1]),
    "decimal": Decimal(1),
    "fraction": Fraction(1, 2),
    "path": Path("a"),
    "float array": np.ones(3),
    "bool array": np.ones(3, bool),
    "object array": np.array([1, "a"], dtype=object),
    "text array": np.array(["a"]),
    "structured array": np.zeros(2, dtype=[("a", "u8"), ("b", "f4")]),
    "dates": np.array(["2026-01-01"], dtype="M8[D]"),
    "durations": np.array([1], dtype="m8[s]"),
    "record array": np.rec.array([(1, 2)], dtype="u8,u8"),
    "matrix": np.ma.masked_array([1, 2], [0, 1]),
    "numpy float": np.float32(1),
    "numpy bool": np.bool_(True),
    "numpy date": np.datetime64("2026-01-01"),
    "void": np.void(b"abcd"),
    "dtype": np.dtype("u8"),
    "type": np.uint64,
    "generator": np.random.default_rng(0),
    "exception": ValueError("a"),
    "dictionary with a tuple for a key": {(1, 2): 3},
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", UNWANTED_VALUES)
def test_other_values_are_refused(name: str, protocol: int) -> None:
    with pytest.raises(BadMessageError):
        loads(pickle.dumps([UNWANTED_VALUES[name]], protocol))


DTYPE = (
    b"cnumpy\ndtype\n(X\x02\x00\x00\x00u8I00\nI01\ntR(I3\nX\x01\x00\x00\x00<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffI0\ntb"
)
RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntC\x01btR"


def array_of(shape: bytes, raw: bytes = b"C\x08abcdefgh", dtype: bytes = DTYPE, version: bytes = b"I1\n") -> bytes:
    """A hand-made pickle of an array, sound by default for the shape (1,)."""
    return RECONSTRUCT + b"(" + version + shape + dtype + b"I00\n" + raw + b"tb."


def test_the_hand_made_array_is_sound() -> None:
    assert same(loads(array_of(b"(I1\nt")), np.frombuffer(b"abcdefgh", "<u8"))


HOSTILE_BYTES = {
    "nothing": b"",
    "only the end": b".",
    "no end": b"\x80\x04K\x01",
    "two values": b"K\x01K\x02.",
    "open mark": b"(K\x01.",
    "bytes after the end": b"K\x01.K\x02",
    "text": b"hello",
    "protocol 6": b"\x80\x06K\x01.",
    "INST": b"(S'touch executed'\nios\nsystem\n.",
    "OBJ": b"(cos\nsystem\nX\x0e\x00\x00\x00touch executedo.",
    "NEWOBJ": b"cnumpy\nndarray\n(K\x01t\x81.",
    "NEWOBJ_EX": b"cnumpy\nndarray\n(K\x01t}\x92.",
    "EXT1": b"\x82\x01.",
    "EXT2": b"\x83\x01\x00.",
    "EXT4": b"\x84\x01\x00\x00\x00.",
    "PERSID": b"Pabc\n.",
    "BINPERSID": b"K\x01Q.",
    "NEXT_BUFFER": b"\x97.",
    "READONLY_BUFFER": b"K\x01\x98.",
    "FROZENSET": b"(K\x01\x91.",
    "ADDITEMS": b"\x8f(K\x01\x90.",
    "DUP": b"]2a.",
    "POP": b"K\x01K\x020.",
    "POP_MARK": b"K\x01(K\x021.",
    "stack global of numbers": b"K\x01K\x02\x93.",
    "stack global of a list": b"]]\x93.",
    "stack global of a dotted name": b"X\x05\x00\x00\x00numpyX\x11\x00\x00\x00ndarray.__class__\x93.",
    "call of text": b"X\x09\x00\x00\x00os.system(X\x01\x00\x00\x00atR.",
    "call without tuple": b"c_codecs\nencode\nX\x01\x00\x00\x00aR.",
    "codec with effects": b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x04\x00\x00\x00zlibtR.",
    "codec that does not fit": b"c_codecs\nencode\n(X\x03\x00\x00\x00\xe2\x82\xacX\x06\x00\x00\x00latin1tR.",
    "build on a list": b"](K\x01tb.",
    "build on a dict": b"}X\x01\x00\x00\x00a}b.",
    "build on a name": b"cnumpy\nndarray\n}b.",
    "build twice": RECONSTRUCT + b"(I1\n(I0\nt" + DTYPE + b"I00\nC\x00tb(I1\n(I0\nt" + DTYPE + b"I00\nC\x00tb.",
    "append to a tuple": b")K\x01a.",
    "append of nothing": b"a.",
    "entry in a list": b"]K\x01K\x02s.",
    "odd entries": b"}(K\x01u.",
    "unhashable key": b"}]K\x01s.",
    "tuple of too few": b"K\x01\x87.",
    "unknown memo": b"h\x05.",
    "memo of nothing": b"q\x00.",
    "mark missing": b"t.",
    "a name as value": b"cnumpy\nndarray\n.",
    "an array unfinished": RECONSTRUCT + b".",
    "a dtype as value": DTYPE + b".",
    "a bytearray": b"\x96\x01\x00\x00\x00\x00\x00\x00\x00a.",
    "recursive list": b"]q\x00h\x00a.",
    "recursive dict": b"}q\x00X\x01\x00\x00\x00ah\x00s.",
    "list in itself through a tuple": b"]q\x00h\x00\x85a.",
    "int that is none": b"Ione\n.",
    "int of very many digits": b"I" + b"9" * 100_000 + b"\n.",
    "long of very many bytes": b"\x8b" + struct.pack("<i", 100_000) + b"\x7f" * 100_000 + b".",
    "long of negative length": b"\x8b\xff\xff\xff\xff.",
    "text that is no UTF-8": b"X\x01\x00\x00\x00\xff.",
    "attribute of an allowed class called": b"cbuiltins\ngetattr\n(cnumpy\nndarray\nX\x06\x00\x00\x00tofiletRR.",
    "bytes that are not there": b"B\xff\xff\xff\x7fabc.",
    "8 EiB of bytes": b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7fabc.",
    "8 EiB of bytearray": b"\x96\xff\xff\xff\xff\xff\xff\xff\x7fabc.",
    "16 EiB of text": b"\x8d\xff\xff\xff\xff\xff\xff\xff\xffabc.",
    "a frame of 8 EiB": b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7fK\x01",
    "array of another length": array_of(b"(I2\nt"),
    "array of a negative shape": array_of(b"(I-1\nt"),
    "array of an enormous shape": array_of(b"(I4611686018427387904\nI4611686018427387904\nt"),
    "array of an overflowing shape": array_of(b"(L18446744073709551617L\nt"),
    "empty array of very many lists": array_of(b"(I2000000000\nI0\nt", raw=b"C\x00"),
    "empty array of still more lists": array_of(b"(I2000000\nI2000000\nI0\nt", raw=b"C\x00"),
    "array of too many dimensions": array_of(b"(" + b"I1\n" * 65 + b"t"),
    "array of a list for a shape": array_of(b"(I1\nl"),
    "array of a bool for a shape": array_of(b"(\x88t"),
    "array of text": array_of(b"(I1\nt", raw=b"X\x08\x00\x00\x00abcdefgh"),
    "array of version 2": array_of(b"(I1\nt", version=b"I2\n"),
    "array of objects": array_of(b"(I1\nt", dtype=DTYPE.replace(b"u8", b"O8")),
    "array of floats": array_of(b"(I1\nt", dtype=DTYPE.replace(b"u8", b"f8")),
    "array of a list of objects": array_of(b"(I1\nt", raw=b"]", dtype=DTYPE.replace(b"u8", b"O8")),
    "dtype of fields": array_of(b"(I1\nt", dtype=DTYPE.replace(b"<NNN", b"<N)}")),
    "dtype of a long name": array_of(b"(I1\nt", dtype=DTYPE.replace(b"\x02\x00\x00\x00u8", b"\x05\x00\x00\x00u8,u8")),
    "dtype without state": array_of(b"(I1\nt", dtype=DTYPE[: DTYPE.index(b"R") + 1]),
    "dtype of another order": array_of(b"(I1\nt", dtype=DTYPE.replace(b"<", b"!")),
    "scalar of many bytes": b"cnumpy.core.multiarray\nscalar\n(" + DTYPE + b"C\x10abcdefghabcdefghtR.",
    "scalar of few bytes": b"cnumpy.core.multiarray\nscalar\n(" + DTYPE + b"C\x01atR.",
    "reconstruct of a subclass": RECONSTRUCT.replace(b"cnumpy\nndarray\n", b"cnumpy\nmatrix\n") + b".",
    "reconstruct of a shape": RECONSTRUCT.replace(b"I0\n", b"I1000000000\n") + b".",
    "numpy.f2py": b"cnumpy.f2py.crackfortran\nmyeval\n(X\x01\x00\x00\x001tR.",
    "numpy.testing": b"cnumpy.testing._private.utils\nrunstring\n(X\x01\x00\x00\x001}tR.",
}


@pytest.mark.parametrize("name", HOSTILE_BYTES)
def test_hostile_bytes_are_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadMessageError):
        loads(HOSTILE_BYTES[name])
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("depth", [40, 100_000])
@pytest.mark.parametrize(
    ("opening", "closing"), [(b"(", b"t"), (b"(", b"l"), (b"]", b"a"), (b")", b""), (b"", b"\x85")], ids=repr
)
def test_deep_nesting_is_refused(opening: bytes, closing: bytes, depth: int) -> None:
    start = b")" if not opening else b""
    with pytest.raises(BadMessageError):
        loads(b"\x80\x04" + start + opening * depth + closing * depth + b".")


def test_a_deep_tuple_is_refused_as_a_key_before_it_is_hashed() -> None:
    with pytest.raises(BadMessageError):
        loads(b"}" + b")" + b"\x85" * 300_000 + b"K\x01s.")


def shared_at_every_level(opening: bytes, closing: bytes, copies: int, levels: int) -> bytes:
    """A container that holds a container `copies` times, which holds a container `copies` times ..."""
    made = b"Nq\x00"
    for level in range(1, levels):
        made += opening + (b"h" + bytes([level - 1])) * copies + closing + b"q" + bytes([level])
    return b"(" + made + b"l."


MEGABYTE_OF_TEXT = b"X" + struct.pack("<I", 1_000_000) + b"a" * 1_000_000
MEGABYTE_OF_BUFFER = b"\x96" + struct.pack("<Q", 1_000_000) + b"a" * 1_000_000
BOMBS = {
    "billion laughs in lists": shared_at_every_level(b"(", b"l", copies=10, levels=12),
    "billion laughs in tuples": shared_at_every_level(b"", b"\x86", copies=2, levels=60),
    "a long text in many places": b"](" + MEGABYTE_OF_TEXT + b"q\x00" + b"h\x00" * 10_000 + b"e.",
    "a long text encoded often": (b"(c_codecs\nencode\nq\x01(" + MEGABYTE_OF_TEXT + b"X\x06\x00\x00\x00latin1tq\x00R")
    + (b"h\x01h\x00R" * 10_000 + b"l."),
    "a long buffer in many arrays": (
        b"(cnumpy._core.numeric\n_frombuffer\nq\x01("
        + MEGABYTE_OF_BUFFER
        + DTYPE
        + b"I125000\n\x85X\x01\x00\x00\x00Ctq\x02R"
    )
    + (b"h\x01h\x02R" * 10_000 + b"l."),
    "many arguments of many calls": (
        b"(X\x02\x00\x00\x00u8" + b"N" * 100_000 + b"tq\x00cnumpy\ndtype\nq\x01h\x00R" + b"h\x01h\x00R" * 100_000 + b"."
    ),
    "very many lists": b"(" + b"]" * 3_000_000 + b"l.",
    "very many keys": b"}(" + b"".join(b"J" + struct.pack("<i", n) + b"N" for n in range(20_000)) + b"u.",
    "a memo that is far away": b"K\x01r\xff\xff\xff\x7fK\x01r\xfe\xff\xff\x7f.",
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_in_little_memory(name: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BadMessageError):
        loads(BOMBS[name])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kilobytes


def test_colliding_keys_are_read_or_refused_but_never_many() -> None:
    modulus = 2**61 - 1
    with pytest.raises(BadMessageError):
        loads(pickle.dumps({n * modulus: None for n in range(5_000)}))


def test_limits_are_settings() -> None:
    data = pickle.dumps({"new_lvl2_ids": list(range(100))})
    assert loads(data) == {"new_lvl2_ids": list(range(100))}
    for limits in (
        PickleLimits(max_bytes=len(data) - 1),
        PickleLimits(max_values=50),
        PickleLimits(max_entries=0),
        PickleLimits(max_depth=1),
    ):
        with pytest.raises(BadMessageError):
            loads(data, limits)


valid_pickles = st.builds(pickle.dumps, plain_data, st.sampled_from(PROTOCOLS))


@st.composite
def mutated_pickles(draw: st.DrawFn) -> bytes:
    """A valid pickle with some bytes changed, inserted or taken out."""
    data = bytearray(draw(valid_pickles))
    for _ in range(draw(st.integers(1, 8))):
        position = draw(st.integers(0, max(0, len(data) - 1)))
        match draw(st.sampled_from(["change", "insert", "remove", "opcode"])):
            case "change":
                data[position : position + 1] = bytes([draw(st.integers(0, 255))])
            case "insert":
                data[position:position] = draw(st.binary(min_size=1, max_size=8))
            case "remove":
                del data[position : position + draw(st.integers(1, 8))]
            case "opcode":
                data[position : position + 1] = draw(
                    st.sampled_from([op.code.encode("latin-1") for op in pickletools.opcodes])
                )
    return bytes(data)


ALLOWED = (dict, list, tuple, str, bytes, int, float, bool, type(None), np.integer, np.ndarray)


def only_allowed(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(only_allowed, value)) and all(map(only_allowed, value.values()))
    if isinstance(value, list | tuple):
        return all(map(only_allowed, value))
    if isinstance(value, np.ndarray):
        return type(value) is np.ndarray and value.dtype.kind in "iu"
    return isinstance(value, ALLOWED) and type(value).__module__ in ("builtins", "numpy")


@settings(max_examples=500)
@given(mutated_pickles() | st.binary())
def test_damaged_pickles_give_plain_data_or_the_one_error(data: bytes) -> None:
    try:
        value = loads(data)
    except BadMessageError:
        return
    assert only_allowed(value)
