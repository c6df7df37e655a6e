"""Features to write into stores: random ones for hypothesis, and many at once."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from shared.attributes import ATTRIBUTES, AttributeTable
from shared.features.result import Features
from shared.types import UInt64Array

FIRST_L2_ID = 2 << 56
l2_ids = st.integers(FIRST_L2_ID, (3 << 56) - 1)


def random_features(node_ids: UInt64Array, seed: int = 0, table: AttributeTable = ATTRIBUTES) -> Features:
    """Features with random bits in every column, nan and infinity included; about half of the rows pass each mask.

    Args:
      node_ids: uint64[n], any order, duplicates allowed.
      seed: same seed, same features; those of a table with more attributes agree in those that both have.
      table: the attributes.
    """
    ids = np.unique(np.asarray(node_ids, dtype=np.uint64))
    masks = {mask.name: _generator(seed, mask.name).random(len(ids)) < 0.5 for mask in table.masks}
    columns = {}
    for attribute in table:
        raw = _generator(seed, attribute.name).bytes(len(ids) * attribute.n_bytes)
        columns[attribute.name] = np.frombuffer(raw, attribute.dtype).reshape(len(ids), *attribute.shape).copy()
        if attribute.mask is not None:
            columns[attribute.name][~masks[attribute.mask.name]] = 0
    return Features(ids, columns | masks, table)


def _generator(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng([seed, *name.encode()])


def features_strategy(max_size: int = 20) -> st.SearchStrategy[Features]:
    """Features of up to `max_size` nodes."""
    ids = st.lists(l2_ids, max_size=max_size).map(lambda values: np.array(values, dtype=np.uint64))
    return st.builds(random_features, ids, st.integers(0, 2**32))
