"""A column of a table: values, and which rows have one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from shared.types import BoolArray


@dataclass(frozen=True, eq=False)
class Column:
    """One column of a table of n rows.

    Attributes:
      name: of the column.
      values: [m], numbers, booleans or text (of dtype object or `U`) of those rows that have a value, in their order.
      there: bool[n], which rows these are; None for a column that has a value in every row, whatever is asked for.
      unit: of the values; empty for what has none.
      meaning: what the values tell.
      categories: if there are some, `values` are uint8 numbers of these texts.
    """

    name: str
    values: npt.NDArray[Any]
    there: BoolArray | None = None
    unit: str = ""
    meaning: str = ""
    categories: tuple[str, ...] = ()

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.values if self.there is None else self.there)

    @property
    def metadata(self) -> dict[str, str]:
        """Unit and meaning, where there are some."""
        return {key: text for key, text in (("unit", self.unit), ("meaning", self.meaning)) if text}


def flattened(
    names: tuple[str, ...], values: npt.NDArray[Any], there: BoolArray | None = None, unit: str = "", meaning: str = ""
) -> list[Column]:
    """A column for each of the numbers in values that are arrays.

    Args:
      names: of the columns, in C order of the arrays' numbers.
      values: [m, ...], for those rows that have a value.
      there: bool[n], which rows these are; None for all.
      unit: of all the numbers.
      meaning: of the array.
    """
    # One copy puts the numbers of each column side by side.
    by_column = np.ascontiguousarray(values.reshape(len(values), len(names)).T)
    return [Column(name, by_column[i], there, unit, meaning) for i, name in enumerate(names)]
