"""Features to write into stores: random ones for hypothesis, and many at once."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from shared.features.result import Features
from shared.types import UInt64Array

FIRST_L2_ID = 2 << 56
l2_ids = st.integers(FIRST_L2_ID, (3 << 56) - 1)


def random_features(node_ids: UInt64Array, seed: int = 0) -> Features:
    """Features with random bits in every column, nan and infinity included; about half of the rows have PCA.

    Args:
      node_ids: uint64[n], any order, duplicates allowed.
      seed: same seed, same features.
    """
    rng = np.random.default_rng(seed)
    ids = np.unique(np.asarray(node_ids, dtype=np.uint64))
    has_pca = rng.random(len(ids)) < 0.5

    def bits(dtype: str, *shape: int) -> np.ndarray:
        count = len(ids) * int(np.prod(shape, dtype=int))
        return np.frombuffer(rng.bytes(count * np.dtype(dtype).itemsize), dtype).reshape(len(ids), *shape)

    pca, pca_val = bits("float16", 3, 3).copy(), bits("float32", 3).copy()
    pca[~has_pca], pca_val[~has_pca] = 0, 0
    return Features(
        node_ids=ids,
        size_nm3=bits("uint32"),
        area_nm2=bits("uint32"),
        max_dt_nm=bits("uint16"),
        mean_dt_nm=bits("float16"),
        rep_coord_nm=bits("uint16", 3),
        chunk_intersect_count=bits("uint16", 2, 3),
        pca=pca,
        pca_val=pca_val,
        has_pca=has_pca,
    )


def features_strategy(max_size: int = 20) -> st.SearchStrategy[Features]:
    """Features of up to `max_size` nodes."""
    ids = st.lists(l2_ids, max_size=max_size).map(lambda values: np.array(values, dtype=np.uint64))
    return st.builds(random_features, ids, st.integers(0, 2**32))
