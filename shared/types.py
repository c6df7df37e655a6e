"""Names for the array types that cross module borders."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

UInt64Array: TypeAlias = npt.NDArray[np.uint64]
Int64Array: TypeAlias = npt.NDArray[np.int64]
BoolArray: TypeAlias = npt.NDArray[np.bool_]
LabelArray: TypeAlias = npt.NDArray[np.unsignedinteger[Any]]
"""A volume of labels, [x, y, z], any unsigned integer type; 0 is background."""

Triple: TypeAlias = tuple[int, int, int]
"""Three integers along x, y, z."""
