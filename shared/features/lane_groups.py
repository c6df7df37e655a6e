"""Groups of lanes: how many beside each other are equal, and what is in them, for kernels."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from shared.features.lanes import LANES, broadcast, lanes_from, whole_lanes

_INT32, _INT64 = ir.IntType(32), ir.IntType(64)
_NUMBERS = ir.VectorType(_INT32, LANES)
_BITS = ir.IntType(LANES)


def _only(builder: Any, values: Any, begin: Any, end: Any) -> Any:
    """The values in the lanes begin <= lane < end, 0 in the others."""
    wanted = builder.and_(lanes_from(builder, begin), builder.not_(lanes_from(builder, end)))
    return builder.select(wanted, values, ir.Constant(_NUMBERS, [0] * LANES))


def _reduced(builder: Any, name: str, vector: Any) -> Any:
    """LLVM's reduction of a vector to one number."""
    element = vector.type.element
    signature = ir.FunctionType(element, [vector.type])
    suffix = f"{name}.v{LANES}i{element.width}"
    function = cgutils.get_or_insert_function(builder.module, signature, f"llvm.vector.reduce.{suffix}")  # type: ignore[no-untyped-call]
    return builder.call(function, [vector])


@intrinsic
def group_starts(typingctx: Any, values: Any) -> Any:
    """A bit for each lane whose value is not that of the lane before it; the first lane's is set."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        before = ir.Constant(_NUMBERS, [0, *range(LANES - 1)])
        shifted = builder.shuffle_vector(args[0], args[0], before)
        bits = builder.bitcast(builder.icmp_signed("!=", args[0], shifted), _BITS)
        return builder.or_(builder.zext(bits, _INT64), ir.Constant(_INT64, 1))

    return types.uint64(whole_lanes), generate


@intrinsic
def lane_of(typingctx: Any, values: Any, lane: Any) -> Any:
    """The value in a lane, int32."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.extract_element(*args)

    return types.int32(whole_lanes, types.int32), generate


@intrinsic
def group_sum(typingctx: Any, values: Any, begin: Any, end: Any) -> Any:
    """Sum of the values that are not negative in the lanes begin <= lane < end, int64."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        wide = builder.zext(_only(builder, *args), ir.VectorType(_INT64, LANES))
        return _reduced(builder, "add", wide)

    return types.int64(whole_lanes, types.int32, types.int32), generate


@intrinsic
def group_largest(typingctx: Any, values: Any, begin: Any, end: Any) -> Any:
    """Largest of the values that are not negative in the lanes begin <= lane < end, int32."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _reduced(builder, "smax", _only(builder, *args))

    return types.int32(whole_lanes, types.int32, types.int32), generate


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
        differs = builder.bitcast(builder.icmp_unsigned("!=", loaded, broadcast(builder, args[2])), _BITS)
        count = builder.cttz(differs, ir.Constant(ir.IntType(1), 0))
        return builder.zext(count, context.get_value_type(types.intp))

    return types.intp(array, types.intp, array.dtype), generate
