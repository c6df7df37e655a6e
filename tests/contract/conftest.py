"""Has pytest explain the assertions of the contracts, which are not in test files themselves."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite(
    "tests.contract.cache_store_contract",
    "tests.contract.publisher_contract",
    "tests.contract.quota_counters_contract",
    "tests.contract.task_queue_contract",
    "tests.contract.totals_memory_contract",
)
