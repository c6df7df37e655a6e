"""Sixteen int32 or float32 side by side, for kernels: values that live in vector registers.

Loops over arrays are vectorised by the compiler only if it can prove that the arrays do not overlap; values of these
types need no proof, and stay in registers from step to step. LLVM splits them as the machine's registers ask.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, models, register_model

LANES = 16

_INT32, _FLOAT32 = ir.IntType(32), ir.FloatType()
_BITS = ir.IntType(LANES)


class LanesType(types.Type):
    """Type of sixteen numbers of one type in a kernel."""

    def __init__(self, element: Any) -> None:
        super().__init__(name=f"{element}x{LANES}")
        self.element = element


whole_lanes = LanesType(types.int32)
float_lanes = LanesType(types.float32)


@register_model(LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        element = _INT32 if fe_type.element is types.int32 else _FLOAT32
        super().__init__(dmm, fe_type, ir.VectorType(element, LANES))  # type: ignore[no-untyped-call]


def _lanes_of(array: Any) -> LanesType:
    return whole_lanes if array.dtype is types.int32 else float_lanes


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    vector = ir.VectorType(context.get_value_type(array_type.dtype), LANES)
    return builder.bitcast(builder.gep(data, [index]), vector.as_pointer())


def broadcast(builder: Any, scalar: Any) -> Any:
    """A scalar in each lane, in the compiler's terms: for the definitions of intrinsics."""
    undefined = ir.Constant(ir.VectorType(scalar.type, LANES), ir.Undefined)
    one = builder.insert_element(undefined, scalar, ir.Constant(_INT32, 0))
    return builder.shuffle_vector(one, undefined, ir.Constant(ir.VectorType(_INT32, LANES), [0] * LANES))


def _of_vectors(builder: Any, name: str, args: Any) -> Any:
    """LLVM's function of vectors of floats."""
    vector = args[0].type
    signature = ir.FunctionType(vector, [vector] * len(args))
    return cgutils.get_or_insert_function(builder.module, signature, f"llvm.{name}.v{LANES}f32")  # type: ignore[no-untyped-call]


def lanes_from(builder: Any, lane: Any) -> Any:
    """Which lanes are the given one or behind it, in the compiler's terms."""
    numbers = ir.Constant(ir.VectorType(_INT32, LANES), list(range(LANES)))
    return builder.icmp_signed(">=", numbers, broadcast(builder, lane))


def _zeros(vector: Any) -> Any:
    return ir.Constant(vector.type, [0] * LANES)


@intrinsic
def load(typingctx: Any, array: Any, index: Any) -> Any:
    """Elements [index, index + 16) of a contiguous array of int32 or float32."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value = builder.load(_pointer(context, builder, signature.args[0], *args))
        value.align = 4
        return value

    return _lanes_of(array)(array, types.intp), generate


@intrinsic
def store(typingctx: Any, array: Any, index: Any, value: Any) -> Any:
    """Write elements [index, index + 16) of a contiguous array of int32 or float32."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        stored = builder.store(args[2], _pointer(context, builder, signature.args[0], *args[:2]))
        stored.align = 4
        return context.get_dummy_value()

    return types.void(array, types.intp, _lanes_of(array)), generate


@intrinsic
def everywhere(typingctx: Any, scalar: Any) -> Any:
    """An int32 or float32 in each lane."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return broadcast(builder, args[0])

    return (whole_lanes if scalar is types.int32 else float_lanes)(scalar), generate


@intrinsic
def lower(typingctx: Any, a: Any, b: Any) -> Any:
    """Smaller of a and b, floats, in each lane.

    Not a choice between two: to store that, where one of them lies already, is made a masked store, which is slow.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.call(_of_vectors(builder, "minnum", args), args, fastmath=("nnan", "nsz"))

    return float_lanes(float_lanes, float_lanes), generate


@intrinsic
def plus(typingctx: Any, a: Any, b: Any) -> Any:
    """A plus b, floats, in each lane."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fadd(*args)

    return float_lanes(float_lanes, float_lanes), generate


@intrinsic
def times(typingctx: Any, a: Any, b: Any) -> Any:
    """A times b, floats, in each lane."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fmul(*args)

    return float_lanes(float_lanes, float_lanes), generate


@intrinsic
def times_plus(typingctx: Any, a: Any, b: Any, c: Any) -> Any:
    """A times b plus c, floats, in each lane, rounded once."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.call(_of_vectors(builder, "fma", args), args)

    return float_lanes(float_lanes, float_lanes, float_lanes), generate


@intrinsic
def where_same(typingctx: Any, a: Any, b: Any, value: Any, other: Any) -> Any:
    """Value in the lanes in which a equals b, else the other one."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.select(builder.icmp_signed("==", args[0], args[1]), args[2], args[3])

    return float_lanes(whole_lanes, whole_lanes, float_lanes, float_lanes), generate


@intrinsic
def where_any(typingctx: Any, a: Any, value: Any, other: Any) -> Any:
    """Value in the lanes in which a is not 0, else the other one."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.select(builder.icmp_signed("!=", args[0], _zeros(args[0])), args[1], args[2])

    return float_lanes(whole_lanes, float_lanes, float_lanes), generate


@intrinsic
def from_lane(typingctx: Any, lane: Any, value: Any, other: Any) -> Any:
    """Value in the given lane and all behind it, else the other one."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.select(lanes_from(builder, args[0]), args[1], args[2])

    return value(types.int32, value, value), generate


@intrinsic
def whole_roots(typingctx: Any, a: Any) -> Any:
    """The square roots of a, floats, cut to whole numbers, in each lane."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fptosi(builder.call(_of_vectors(builder, "sqrt", args), args), ir.VectorType(_INT32, LANES))

    return whole_lanes(float_lanes), generate


@intrinsic
def any_set(typingctx: Any, a: Any) -> Any:
    """Whether a is not 0 in any lane."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bits = builder.bitcast(builder.icmp_signed("!=", args[0], _zeros(args[0])), _BITS)
        return builder.icmp_unsigned("!=", bits, ir.Constant(_BITS, 0))

    return types.boolean(whole_lanes), generate


@intrinsic
def any_below(typingctx: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    """1 if a < b and c < d, floats, in any lane, else 0."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        both = builder.and_(builder.fcmp_ordered("<", *args[:2]), builder.fcmp_ordered("<", *args[2:]))
        bits = builder.bitcast(both, _BITS)
        return builder.zext(builder.icmp_unsigned("!=", bits, ir.Constant(_BITS, 0)), ir.IntType(64))

    return types.uint64(float_lanes, float_lanes, float_lanes, float_lanes), generate


@intrinsic
def lowest_bit(typingctx: Any, bits: Any) -> Any:
    """Place of the lowest bit that is set."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), generate


@intrinsic
def number_of_bits(typingctx: Any, bits: Any) -> Any:
    """How many bits are set."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return types.int64(types.uint64), generate
