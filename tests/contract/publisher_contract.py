"""What every publisher promises."""

from __future__ import annotations

import threading
from collections.abc import Callable

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.bus.protocol import Publisher

Received = Callable[[int], list[tuple[dict[str, str], bytes]]]
"""Waits for that many messages and returns all that came, in any order; each message once per test."""

MISS = {"table_id": "graph", "l2_cache_id": "cache"}


class PublisherContract:
    """Subclasses provide the fixtures `publisher` and `received`."""

    def test_a_message_arrives_as_it_was_published(self, publisher: Publisher, received: Received) -> None:
        publisher.publish(MISS, bytes(range(256)))
        assert received(1) == [(MISS, bytes(range(256)))]

    def test_data_may_be_empty_where_there_are_attributes(self, publisher: Publisher, received: Received) -> None:
        publisher.publish(MISS, b"")
        assert received(1) == [(MISS, b"")]

    def test_the_largest_miss_arrives(self, publisher: Publisher, received: Received) -> None:
        publisher.publish(MISS, bytes(256_000))
        assert received(1) == [(MISS, bytes(256_000))]

    def test_any_text_and_data_arrive(self, publisher: Publisher, received: Received) -> None:
        names = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=10)
        values = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30)

        @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=15)
        @given(st.dictionaries(names, values, min_size=1, max_size=4), st.binary(max_size=100))
        def check(attributes: dict[str, str], data: bytes) -> None:
            publisher.publish(attributes, data)
            assert received(1) == [(attributes, data)]

        check()

    def test_equal_messages_are_not_one(self, publisher: Publisher, received: Received) -> None:
        for _ in range(3):
            publisher.publish(MISS, b"12345678")
        assert received(3) == [(MISS, b"12345678")] * 3

    def test_threads_share_a_publisher(self, publisher: Publisher, received: Received) -> None:
        sent = [bytes([number]) * 8 for number in range(20)]
        threads = [threading.Thread(target=publisher.publish, args=(MISS, data)) for data in sent]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(data for _, data in received(20)) == sent
