"""Sixteen int32 side by side, for kernels: a value that lives in vector registers.

Loops over arrays are vectorised by the compiler only if it can prove that the arrays do not overlap; values of this
type need no proof, and stay in registers from step to step. LLVM splits them as the machine's registers ask.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, models, register_model

LANES = 16

_INT32 = ir.IntType(32)
_VECTOR = ir.VectorType(_INT32, LANES)
_FLOATS = ir.VectorType(ir.FloatType(), LANES)


class LanesType(types.Type):
    """Type of sixteen int32 in a kernel."""

    def __init__(self) -> None:
        super().__init__(name="Int32x16")


lanes = LanesType()


@register_model(LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, _VECTOR)  # type: ignore[no-untyped-call]


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), _VECTOR.as_pointer())


def _broadcast(builder: Any, scalar: Any) -> Any:
    undefined = ir.Constant(ir.VectorType(scalar.type, LANES), ir.Undefined)
    one = builder.insert_element(undefined, scalar, ir.Constant(_INT32, 0))
    return builder.shuffle_vector(one, undefined, ir.Constant(_VECTOR, [0] * LANES))


@intrinsic
def load(typingctx: Any, array: Any, index: Any) -> Any:
    """Elements [index, index + 16) of a contiguous int32 array."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value = builder.load(_pointer(context, builder, signature.args[0], *args))
        value.align = 4
        return value

    return lanes(array, types.intp), generate


@intrinsic
def store(typingctx: Any, array: Any, index: Any, value: Any) -> Any:
    """Write elements [index, index + 16) of a contiguous int32 array."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        stored = builder.store(args[2], _pointer(context, builder, signature.args[0], *args[:2]))
        stored.align = 4
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes), generate


@intrinsic
def lower(typingctx: Any, a: Any, b: Any) -> Any:
    """Smaller of a and b in each lane."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.select(builder.icmp_signed("<", *args), *args)

    return lanes(lanes, lanes), generate


@intrinsic
def upper(typingctx: Any, a: Any, b: Any) -> Any:
    """Larger of a and b in each lane."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.select(builder.icmp_signed(">", *args), *args)

    return lanes(lanes, lanes), generate


@intrinsic
def plus(typingctx: Any, a: Any, scalar: Any) -> Any:
    """A plus an int32 in each lane."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.add(args[0], _broadcast(builder, args[1]))

    return lanes(lanes, types.int32), generate


@intrinsic
def where_same(typingctx: Any, a: Any, b: Any, value: Any) -> Any:
    """Value in the lanes in which a equals b, 0 in the others."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.select(builder.icmp_signed("==", args[0], args[1]), args[2], ir.Constant(_VECTOR, [0] * LANES))

    return lanes(lanes, lanes, lanes), generate


@intrinsic
def where_any(typingctx: Any, a: Any, value: Any) -> Any:
    """Value in the lanes in which a is not 0, 0 in the others."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        zero = ir.Constant(_VECTOR, [0] * LANES)
        return builder.select(builder.icmp_signed("!=", args[0], zero), args[1], zero)

    return lanes(lanes, lanes), generate


@intrinsic
def as_float32(typingctx: Any, a: Any) -> Any:
    """The nearest integers that float32 can hold, ties to even."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fptosi(builder.sitofp(args[0], _FLOATS), _VECTOR)

    return lanes(lanes), generate


@intrinsic
def largest(typingctx: Any, a: Any) -> Any:
    """Largest of the sixteen."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        reduce = cgutils.get_or_insert_function(  # type: ignore[no-untyped-call]
            builder.module, ir.FunctionType(_INT32, [_VECTOR]), f"llvm.vector.reduce.smax.v{LANES}i32"
        )
        return builder.call(reduce, args)

    return types.int32(lanes), generate


@intrinsic
def leading_equal(typingctx: Any, array: Any, index: Any, value: Any) -> Any:
    """How many of the elements [index, index + 16) of a contiguous array equal a value, up to the first that does not.

    Elements and value are of one integer type, any.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        element = args[2].type
        vector = ir.VectorType(element, LANES)
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        loaded = builder.load(builder.bitcast(builder.gep(data, [args[1]]), vector.as_pointer()))
        loaded.align = element.width // 8
        bits = ir.IntType(LANES)
        differs = builder.bitcast(builder.icmp_unsigned("!=", loaded, _broadcast(builder, args[2])), bits)
        count = builder.cttz(differs, ir.Constant(ir.IntType(1), 0))
        return builder.zext(count, context.get_value_type(types.intp))

    return types.intp(array, types.intp, array.dtype), generate
