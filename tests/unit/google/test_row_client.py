"""Rows are read from a server of bare gRPC that breaks off, refuses, hangs, and tells what it was sent."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from google.api_core.exceptions import NotFound, RetryError
from google.cloud.bigtable_v2.types import ReadRowsRequest, ReadRowsResponse

from shared.google.bigtable.clients import DataClients
from shared.google.bigtable.row_client import RowClient
from shared.google.bigtable.rows import merge_rows, read_rows

TABLE = "projects/p/instances/i/tables/t"
Answer = Callable[[Any, grpc.ServicerContext], Iterator[Any]]


def row(key: bytes) -> Any:
    chunk = ReadRowsResponse.CellChunk(row_key=key, family_name="0", qualifier=b"pca", value=b"a", commit_row=True)
    return ReadRowsResponse.pb(ReadRowsResponse(chunks=[chunk]))


class Server:
    """A server whose answers to ReadRows are taken from a list, one for each request."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.requests: list[Any] = []
        self.metadata: list[dict[str, Any]] = []

    def answer(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        self.requests.append(request)
        self.metadata.append(dict(context.invocation_metadata()))
        yield from self.answers.pop(0)(request, context)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def client(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[RowClient]:
    handler = grpc.unary_stream_rpc_method_handler(
        server.answer,
        request_deserializer=ReadRowsRequest.pb().FromString,
        response_serializer=ReadRowsResponse.pb().SerializeToString,
    )
    running = grpc.server(ThreadPoolExecutor(4))
    running.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("google.bigtable.v2.Bigtable", {"ReadRows": handler})]
    )
    port = running.add_insecure_port("127.0.0.1:0")
    running.start()
    monkeypatch.setenv("BIGTABLE_EMULATOR_HOST", f"127.0.0.1:{port}")
    clients = DataClients()
    yield clients.rows()
    clients.close()
    running.stop(0).wait()


def whole(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
    yield row(b"1")
    yield row(b"2")


def broken_off(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
    yield row(b"1")
    context.abort(grpc.StatusCode.UNAVAILABLE, "moved")


def absent(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
    context.abort(grpc.StatusCode.NOT_FOUND, "no table")
    yield


def read(client: RowClient, timeout_s: float = 20.0, attempt_s: float = 10.0) -> list[bytes]:
    request = ReadRowsRequest.pb()(table_name=TABLE)
    return [key for key, _ in read_rows(client, request, merge_rows, timeout_s, attempt_s)]


def test_a_stream_that_breaks_off_is_begun_anew_and_no_row_comes_twice(client: RowClient, server: Server) -> None:
    server.answers = [broken_off, broken_off, whole]
    assert read(client) == [b"1", b"2"]
    assert len(server.requests) == 3


def test_the_server_is_told_the_table_where_it_looks_for_it(client: RowClient, server: Server) -> None:
    server.answers = [whole]
    read(client)
    assert server.requests[0].table_name == TABLE
    routing = server.metadata[0]["x-goog-request-params"]
    assert "table_name=projects%2Fp%2Finstances%2Fi%2Ftables%2Ft" in routing.replace("/", "%2F")
    assert "gapic/" in server.metadata[0]["x-goog-api-client"]


def test_what_no_other_try_mends_is_raised_at_once(client: RowClient, server: Server) -> None:
    server.answers = [absent, whole]
    with pytest.raises(NotFound, match="no table"):
        read(client)
    assert len(server.requests) == 1


def test_a_stream_that_hangs_ends_with_its_time_out(client: RowClient, server: Server) -> None:
    free = threading.Event()

    def hanging(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        yield row(b"1")
        free.wait(20)

    server.answers = [hanging, whole]
    try:
        assert read(client, attempt_s=0.5) == [b"1", b"2"]
        server.answers = [hanging] * 20
        with pytest.raises(RetryError):
            read(client, timeout_s=0.5, attempt_s=0.3)
    finally:
        free.set()


def test_a_stream_that_is_read_no_further_is_ended(client: RowClient, server: Server) -> None:
    ended = threading.Event()

    def endless(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        context.add_callback(ended.set)
        while context.is_active():
            yield row(b"1")

    server.answers = [endless]
    messages = client.read_rows(ReadRowsRequest.pb()(table_name=TABLE), 20.0)
    next(messages)
    messages.close()  # type: ignore[attr-defined]
    assert ended.wait(10)
