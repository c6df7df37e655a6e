"""What a test does without an emulator that it needs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from infra.local.emulators import EmulatorMissingError


@contextmanager
def skipping_without_emulators() -> Iterator[None]:
    """Skips the test if an emulator is not installed."""
    try:
        yield
    except EmulatorMissingError as error:
        pytest.skip(str(error))
