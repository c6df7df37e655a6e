"""What several test files share: the real data's folder, and Google's emulators, each started at most once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest
from hypothesis import settings

from infra.local import emulators
from infra.local.emulators import Emulator
from shared.google.bigtable.clients import DataClients
from tests.support.skips import pytest_runtest_makereport  # noqa: F401  # a hook of pytest
from tests.support.stack.missing_emulators import skipping_without_emulators

ROOT = Path(__file__).resolve().parents[1]

if os.environ.get("CI") != "true":
    # As in Hypothesis' own profile for CI: how long an example takes depends on what else the machine does.
    settings.register_profile("local", deadline=None)
    settings.load_profile("local")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of the real data set, which is no part of the project."""
    folder = Path(os.environ.get("L2CACHE_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"the real data is not here: {folder} (L2CACHE_TEST_DATA names another place)")
    return folder


@pytest.fixture(scope="session")
def bigtable_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """A Bigtable emulator for all tests: each makes tables of its own. No environment variable is set by this."""
    yield from _started(emulators.bigtable_emulator, tmp_path_factory)


@pytest.fixture(scope="session")
def pubsub_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """A Pub/Sub emulator for all tests: each makes topics of its own."""
    yield from _started(emulators.pubsub_emulator, tmp_path_factory)


@pytest.fixture(scope="session")
def tasks_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """A Cloud Tasks emulator for all tests: each makes queues of its own, with names never used before."""
    yield from _started(emulators.tasks_emulator, tmp_path_factory)


@pytest.fixture(scope="module")
def bigtable_clients(bigtable_emulator: Emulator) -> Iterator[DataClients]:
    """Clients of the emulator; the variables that send Google's clients to it are set for the whole test file."""
    clients = DataClients()
    with pytest.MonkeyPatch.context() as environment:
        _pointed_at(bigtable_emulator, environment)
        yield clients
        clients.close()


@pytest.fixture
def bigtable_environment(bigtable_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """The emulator, and for this test the variables that send Google's client to it."""
    return _pointed_at(bigtable_emulator, monkeypatch)


@pytest.fixture
def pubsub_environment(pubsub_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """The emulator, and for this test the variables that send Google's client to it."""
    return _pointed_at(pubsub_emulator, monkeypatch)


@pytest.fixture
def tasks_environment(tasks_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """The emulator, and for this test the variable that names it."""
    return _pointed_at(tasks_emulator, monkeypatch)


def _pointed_at(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    for variable, value in emulator.environment.items():
        monkeypatch.setenv(variable, value)
    return emulator


def _started(
    start: Callable[[Path], AbstractContextManager[Emulator]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Emulator]:
    """Runs an emulator. One that is missing skips the tests that need it."""
    with ExitStack() as stack:
        with skipping_without_emulators():
            emulator = stack.enter_context(start(tmp_path_factory.mktemp("emulator")))
        yield emulator
