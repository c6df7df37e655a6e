"""A program that writes into a store until it is done or killed: arguments as of `main`."""

from __future__ import annotations

import sys

import numpy as np

from shared.store.open import open_store
from tests.support.features.rows import FIRST_L2_ID, random_features

ROWS_PER_BATCH = 50


def batch_ids(batch: int) -> np.ndarray:
    """The ids of a batch: uint64[ROWS_PER_BATCH]."""
    return np.arange(ROWS_PER_BATCH, dtype=np.uint64) + np.uint64(FIRST_L2_ID + batch * ROWS_PER_BATCH)


def main(address: str, table_id: str, first_batch: int, end_batch: int) -> None:
    """Writes batches and a mark after each, and says so on stdout after the first."""
    store = open_store(address)
    for batch in range(first_batch, end_batch):
        store.write_features(table_id, random_features(batch_ids(batch), seed=batch))
        store.write_marks(table_id, {f"batch/{batch:09d}": b"done"})
        if batch == first_batch:
            print("writing", flush=True)
    store.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
