from __future__ import annotations

import gzip
import io
import json
import logging

import flask
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.datastructures import Headers
from werkzeug.exceptions import ClientDisconnected
from werkzeug.test import Client, EnvironBuilder, run_wsgi_app

import shared.errors as all_errors
from shared.errors import (
    AuthenticationUnavailableError,
    BadRequestError,
    BrokenBodyError,
    ConfigurationError,
    GraphResponseError,
    L2CacheError,
    RateLimitedError,
    StorageUnavailableError,
    TooLargeError,
    UnknownDatasetError,
    UnsupportedEncodingError,
)
from shared.lookup.auth import keep_queries_out_of_access_logs
from shared.telemetry.web_trace import trace_id
from shared.web.answers import enable_gzip, json_response
from shared.web.body import read_body
from shared.web.dispatch import HostedApp
from shared.web.errors import answer_errors, status_of
from shared.web.health import answer_health

LIMIT = 1000


def request_with(body: bytes, **headers: str) -> flask.Request:
    return flask.Request(EnvironBuilder(method="POST", data=body, headers=Headers(list(headers.items()))).get_environ())


def chunked_request(body: bytes) -> flask.Request:
    """A body without a declared length, as a server hands it over after `Transfer-Encoding: chunked`."""
    environ = EnvironBuilder(method="POST", input_stream=io.BytesIO(body)).get_environ()
    environ.pop("CONTENT_LENGTH", None)
    environ["wsgi.input_terminated"] = True
    return flask.Request(environ)


class DribblingStream(io.RawIOBase):
    """A socket that hands out a few bytes at a time, and counts what was taken."""

    def __init__(self, body: bytes) -> None:
        self.body, self.taken = body, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        piece = self.body[self.taken : self.taken + min(len(buffer), 7)]
        buffer[: len(piece)] = piece
        self.taken += len(piece)
        return len(piece)


class TestBody:
    @given(st.binary(max_size=LIMIT))
    def test_a_body_up_to_the_limit_is_read_plain_or_packed(self, body: bytes) -> None:
        assert read_body(request_with(body), LIMIT) == body
        assert read_body(chunked_request(body), LIMIT) == body
        packed = gzip.compress(body)
        assert read_body(request_with(packed, Content_Encoding="gzip"), max(LIMIT, len(packed))) == body

    @pytest.mark.parametrize("encoding", ["GZIP", "x-gzip", " gzip "])
    def test_gzip_is_understood_under_all_its_names(self, encoding: str) -> None:
        packed = gzip.compress(b"abc")
        assert read_body(request_with(packed, Content_Encoding=encoding), LIMIT) == b"abc"

    def test_identity_is_no_encoding(self) -> None:
        assert read_body(request_with(b"abc", Content_Encoding="identity"), LIMIT) == b"abc"

    def test_gzip_of_several_members_is_read_whole(self) -> None:
        packed = gzip.compress(b"abc") + gzip.compress(b"def")
        assert read_body(request_with(packed, Content_Encoding="gzip"), LIMIT) == b"abcdef"

    def test_a_body_that_comes_in_drips_is_read_whole(self) -> None:
        request = chunked_request(b"")
        request.stream = DribblingStream(b"x" * 100)  # type: ignore[assignment]
        assert read_body(request, LIMIT) == b"x" * 100

    def test_a_declared_length_beyond_the_limit_is_refused_without_reading(self) -> None:
        request = request_with(b"x" * (LIMIT + 1))
        with pytest.raises(TooLargeError, match=f"{LIMIT + 1} bytes, at most {LIMIT}"):
            read_body(request, LIMIT)
        assert len(request.stream.read()) == LIMIT + 1

    def test_an_undeclared_body_is_read_no_further_than_the_limit(self) -> None:
        request = chunked_request(b"")
        stream = DribblingStream(b"x" * 100 * LIMIT)
        request.stream = stream  # type: ignore[assignment]
        with pytest.raises(TooLargeError, match=str(LIMIT)):
            read_body(request, LIMIT)
        assert stream.taken <= LIMIT + 1

    def test_a_gzip_bomb_is_stopped_at_the_limit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        packed = gzip.compress(bytes(50_000_000))
        largest = 0
        read = gzip.GzipFile.read

        def measured(self: gzip.GzipFile, size: int | None = -1) -> bytes:
            nonlocal largest
            unpacked = read(self, size)
            largest = max(largest, len(unpacked))
            return unpacked

        monkeypatch.setattr(gzip.GzipFile, "read", measured)
        with pytest.raises(TooLargeError, match="unpacks to more than 60000 bytes"):
            read_body(request_with(packed, Content_Encoding="gzip"), 60_000)
        assert 0 < largest <= 60_001

    @pytest.mark.parametrize("terminated", [False, True])
    def test_a_body_that_is_shorter_than_declared_is_a_bad_request(self, terminated: bool) -> None:
        environ = {**EnvironBuilder(method="POST", data=b"123").get_environ(), "CONTENT_LENGTH": "10"}
        if terminated:
            environ["wsgi.input_terminated"] = True
        with pytest.raises((BrokenBodyError, ClientDisconnected)):
            read_body(flask.Request(environ), LIMIT)

    @pytest.mark.parametrize("encoding", ["deflate", "br", "gzip, gzip", "zstd", "nonsense"])
    def test_other_encodings_are_refused_by_name(self, encoding: str) -> None:
        with pytest.raises(UnsupportedEncodingError, match=encoding):
            read_body(request_with(b"abc", Content_Encoding=encoding), LIMIT)

    @given(st.binary(min_size=1, max_size=60))
    def test_what_is_no_gzip_is_a_bad_request(self, body: bytes) -> None:
        with pytest.raises(BadRequestError, match="gzip"):
            read_body(request_with(b"x" + body, Content_Encoding="gzip"), LIMIT)

    @given(st.integers(1, 25))
    def test_gzip_that_ends_early_is_a_bad_request(self, kept: int) -> None:
        packed = gzip.compress(b"a body of some length", mtime=0)[:kept]
        with pytest.raises(BadRequestError, match="cut off"):
            read_body(request_with(packed, Content_Encoding="gzip"), LIMIT)


def small_app() -> flask.Flask:
    app = flask.Flask("small")
    answer_errors(app, retry_after_s=17)
    enable_gzip(app)
    raised: dict[str, Exception] = {
        "ours": UnknownDatasetError("dataset x does not have an L2 cache"),
        "storage": StorageUnavailableError("/var/lib/secret.db on host db-7 is gone"),
        "graph": GraphResponseError("http://graph.internal said no"),
        "rate": RateLimitedError("slow down", retry_after_s=42),
        "login": AuthenticationUnavailableError("429 of https://auth.internal", retry_after_s=23),
        "body": BrokenBodyError("the body was cut off"),
        "configuration": ConfigurationError("/etc/datasets.yaml is missing"),
        "unexpected": RuntimeError("secret of the server"),
    }

    @app.get("/raise/<name>")
    def fail(name: str) -> flask.Response:
        raise raised[name]

    @app.post("/echo")
    def echo() -> flask.Response:
        return json_response({"bytes": len(read_body(flask.request, LIMIT))})

    @app.post("/ignore")
    def ignore() -> flask.Response:
        return json_response({})

    @app.get("/text")
    def text() -> flask.Response:
        return flask.Response("text " * 100, mimetype="text/plain")

    @app.get("/nothing")
    def nothing() -> flask.Response:
        return flask.Response(status=204)

    return app


class TestErrors:
    def test_every_error_of_ours_has_a_status(self) -> None:
        classes = [c for c in vars(all_errors).values() if isinstance(c, type) and issubclass(c, L2CacheError)]
        statuses = {c.__name__: status_of(c("x", 1) if c is RateLimitedError else c("x")) for c in classes}
        for cls in classes:
            if issubclass(cls, all_errors.TransientError):
                assert statuses[cls.__name__] in (400, 408, 429, 503), cls
        assert (statuses["BrokenBodyError"], statuses["SlowBodyError"]) == (400, 408)
        assert statuses["InvalidL2IdError"] == statuses["UnknownAttributeError"] == 400
        assert statuses["UnknownDatasetError"] == 404
        assert statuses["TooLargeError"] == 413
        assert statuses["UnsupportedEncodingError"] == 415
        assert statuses["RateLimitedError"] == 429
        assert statuses["ConfigurationError"] == 500

    @pytest.mark.parametrize(
        ("name", "status", "message", "retry_after"),
        [
            ("ours", 404, "dataset x does not have an L2 cache", None),
            ("storage", 503, "the storage cannot be reached just now", "17"),
            ("graph", 502, "the graph server's answer cannot be used", None),
            ("rate", 429, "slow down", "42"),
            ("login", 503, "the authentication service cannot be reached just now", "23"),
            ("body", 400, "the body was cut off", None),
            ("configuration", 500, "internal error", None),
            ("unexpected", 500, "internal error", None),
        ],
    )
    def test_errors_are_json_and_tell_nothing_of_the_server(
        self, name: str, status: int, message: str, retry_after: str | None
    ) -> None:
        response = small_app().test_client().get(f"/raise/{name}")
        assert response.status_code == status
        assert response.mimetype == "application/json"
        assert response.get_json() == {"code": status, "message": message}
        assert response.headers.get("Retry-After") == retry_after

    def test_an_unexpected_error_is_logged_with_its_traceback(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.ERROR, logger="l2cache"):
            small_app().test_client().get("/raise/unexpected")
        assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [RuntimeError]

    def test_an_unknown_path_and_a_wrong_method_are_json(self) -> None:
        client = small_app().test_client()
        missing, wrong = client.get("/nope"), client.get("/echo")
        assert (missing.status_code, missing.get_json()["code"]) == (404, 404)
        assert (wrong.status_code, wrong.get_json()["code"]) == (405, 405)
        assert "POST" in wrong.headers["Allow"]


class TestPacking:
    @pytest.mark.parametrize("accepted", ["gzip", "gzip, deflate, br", "GZIP;q=0.5", "*", "br;q=1, *;q=0.1"])
    def test_an_answer_is_packed_for_who_accepts_gzip(self, accepted: str) -> None:
        response = small_app().test_client().get("/text", headers={"Accept-Encoding": accepted})
        assert response.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(response.data) == b"text " * 100
        assert int(response.headers["Content-Length"]) == len(response.data)
        assert "Accept-Encoding" in response.headers["Vary"]

    @pytest.mark.parametrize("accepted", ["", "identity", "deflate", "gzip;q=0", "gzip;q=0, *", "br, gzip; q=0.0"])
    def test_an_answer_is_plain_for_who_does_not(self, accepted: str) -> None:
        response = small_app().test_client().get("/text", headers={"Accept-Encoding": accepted})
        assert "Content-Encoding" not in response.headers
        assert response.data == b"text " * 100
        assert "Accept-Encoding" in response.headers["Vary"]

    def test_an_answer_without_a_body_stays_without(self) -> None:
        response = small_app().test_client().get("/nothing", headers={"Accept-Encoding": "gzip"})
        assert response.data == b""
        assert "Content-Encoding" not in response.headers


def in_function(app: flask.Flask) -> Client:
    """A client of `app` inside a function, in the way functions-framework calls it and reads the rest of the body."""
    outer = flask.Flask("framework")
    hosted = HostedApp(lambda: app, body_timeout_s=60.0)

    @outer.route("/<path:path>", methods=["GET", "POST"])
    def run(path: str) -> flask.Response:
        return hosted(flask.request._get_current_object())  # type: ignore[attr-defined]

    @outer.after_request
    def read_request(response: flask.Response) -> flask.Response:
        assert not response.is_streamed
        assert flask.request.get_data() == b""
        return response

    outer.testing = True
    return outer.test_client()


class TestServing:
    def test_the_app_sees_the_whole_request(self) -> None:
        response = in_function(small_app()).post("/echo?x=1", data=b"12345")
        assert response.get_json() == {"bytes": 5}

    def test_a_target_without_a_path_is_the_root_and_no_redirect(self) -> None:
        app = flask.Flask("inner")
        app.add_url_rule("/", view_func=lambda: {"root": True})
        # What servers make of `GET http://host HTTP/1.1`.
        environ = {**EnvironBuilder(path="/").get_environ(), "PATH_INFO": ""}
        response = HostedApp(lambda: app, body_timeout_s=60.0)(flask.Request(environ))
        assert (response.status_code, response.get_json()) == (200, {"root": True})

    @pytest.mark.parametrize("path", ["/ignore", "/echo", "/nope"])
    def test_what_is_left_of_a_body_is_not_kept_in_memory(self, path: str) -> None:
        response = in_function(small_app()).post(path, data=bytes(20 * LIMIT))
        assert response.status_code == {"/ignore": 200, "/echo": 413, "/nope": 404}[path]
        assert json.loads(response.data) is not None

    @pytest.mark.parametrize("query", ["a=\xed\xa0&b=1", "\xff\xfe", "b=1&a=%ff\x80"])
    def test_a_query_of_any_bytes_is_read(self, query: str) -> None:
        app = small_app()
        app.add_url_rule("/query", "query", lambda: json_response(flask.request.args.get("b")))
        environ = {**EnvironBuilder("/query").get_environ(), "QUERY_STRING": query}
        pieces, status, _ = run_wsgi_app(in_function(app).application, environ)
        assert (status[:3], json.loads(b"".join(pieces))) == ("200", "1" if "b=1" in query else None)

    def test_a_body_that_ends_early_is_a_400_whatever_the_server_says_of_it(self) -> None:
        environ = {**EnvironBuilder("/echo", method="POST", data=b"123").get_environ(), "CONTENT_LENGTH": "10"}
        pieces, status, _ = run_wsgi_app(in_function(small_app()).application, environ)
        assert status.startswith("400")
        assert json.loads(b"".join(pieces))["code"] == 400


class TestHealth:
    @pytest.mark.parametrize("path", ["/health", "/healthz"])
    def test_a_function_says_that_it_is_alive_and_what_it_has_to_say(self, path: str) -> None:
        app = flask.Flask("app")
        answer_health(app, lambda: {"messages": {"computed": 3}})
        answer = app.test_client().get(path)
        assert answer.status_code == 200
        assert answer.get_json() == {"status": "ok", "messages": {"computed": 3}}


class TestTrace:
    W3C = "4bf92f3577b34da6a3ce929d0e0e4736"
    CLOUD = "105445AA7843bc8bf206b12000100000"

    def test_the_trace_is_taken_from_either_header(self) -> None:
        assert trace_id(Headers({"traceparent": f"00-{self.W3C}-00f067aa0ba902b7-01"})) == self.W3C
        assert trace_id(Headers({"X-Cloud-Trace-Context": f"{self.CLOUD}/1;o=1"})) == self.CLOUD.lower()
        assert trace_id(Headers({"X-Cloud-Trace-Context": self.CLOUD})) == self.CLOUD.lower()

    @settings(max_examples=50)
    @given(st.text(st.characters(codec="ascii", exclude_characters="\r\n"), max_size=80))
    def test_other_values_are_no_trace(self, value: str) -> None:
        assert trace_id(Headers({"traceparent": value, "X-Cloud-Trace-Context": value[:31]})) is None


@pytest.mark.parametrize("name", ["werkzeug", "gunicorn.access"])
def test_access_logs_show_no_query_string(name: str, caplog: pytest.LogCaptureFixture) -> None:
    keep_queries_out_of_access_logs()
    keep_queries_out_of_access_logs()
    logger = logging.getLogger(name)
    with caplog.at_level(logging.INFO, logger=name):
        logger.info('"%s" %s', "POST /a/attributes?x=1&middle_auth_token=s3cret HTTP/1.1", 200)
    assert caplog.messages == ['"POST /a/attributes?... HTTP/1.1" 200']
    assert len(logger.filters) == 1
