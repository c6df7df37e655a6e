from __future__ import annotations

import random
import sys
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from middle_auth_client import decorators

from shared.lookup.auth_service import share_users
from tests.support.processes.auth_service import user

N_TOKENS = 5_000  # more than the cache holds


@pytest.fixture
def nervous_threads() -> Iterator[None]:
    """Threads that take turns as often as can be."""
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before_s)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """middle-auth-client over a service that knows everybody; the tokens that it was asked for."""
    asked: list[str] = []

    def get(_url: str, headers: dict[str, str]) -> Any:
        token = headers["authorization"]
        asked.append(token)
        return SimpleNamespace(status_code=200, json=lambda: user({token: ["view"]}))

    for name in ("token_to_user_cache", "_permission_lookup_override"):
        monkeypatch.setattr(decorators, name, getattr(decorators, name))  # put back at the end
    monkeypatch.setattr(decorators, "session", SimpleNamespace(get=get))
    share_users(decorators)
    return asked


def test_threads_share_the_users_that_are_known(service: list[str], nervous_threads: None) -> None:
    errors: list[Exception] = []

    def ask(seed: int) -> None:
        numbers = random.Random(seed)
        try:
            for _ in range(10_000):
                token = f"token {numbers.randrange(N_TOKENS)}"
                assert decorators.get_user_cache(token)["permissions_v2"] == {f"Bearer {token}": ["view"]}
                decorators.token_to_user_cache.pop((f"token {numbers.randrange(N_TOKENS)}",), None)
        except Exception as error:  # noqa: BLE001  # whatever a torn cache raises
            errors.append(error)

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_a_user_is_asked_for_once_and_again_when_forgotten(service: list[str]) -> None:
    for _ in range(2):
        decorators.get_user_cache("only one")
    assert service == ["Bearer only one"]
    share_users(decorators)
    decorators.clear_user_cache_maybe("only one")
    decorators.get_user_cache("only one")
    assert len(service) == 2
