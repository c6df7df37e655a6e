"""What a test does without an emulator that it needs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from infra.local.emulators import EmulatorMissingError


@contextmanager
def skipping_without_emulators() -> Iterator[None]:
    """Skips the test if an emulator is not installed; in CI, where all must be, the test fails."""
    try:
        yield
    except EmulatorMissingError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI must have all emulators: {error}")
        pytest.skip(str(error))
