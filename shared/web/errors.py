"""The one table from errors to HTTP statuses, and errors as JSON."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import flask
from werkzeug.exceptions import HTTPException

from shared.errors import (
    AuthenticationUnavailableError,
    BadMessageError,
    BadRequestError,
    BrokenBodyError,
    BrokenExportError,
    FolderError,
    ForeignPageError,
    GraphResponseError,
    GraphUnavailableError,
    L2CacheError,
    NotAnL2IdError,
    OutsideVolumeError,
    RateLimitedError,
    RegistrationRefusedError,
    RunConflictError,
    SchemaMismatchError,
    SlowBodyError,
    StorageUnavailableError,
    TableNotFoundError,
    TooLargeError,
    TransientError,
    UnknownDatasetError,
    UnknownRunError,
    UnsupportedEncodingError,
    VolumeUnavailableError,
)
from shared.telemetry.log import event, get_logger
from shared.web.answers import json_response

_logger = get_logger("web")


@dataclass(frozen=True)
class ErrorAnswer:
    """What a client is told of an error: the status, and a text in place of the error's own message if there is one."""

    status: int
    text: str | None = None


# Where the cause is on our side the client gets a text of its own: details are for the log.
STATUSES: Mapping[type[L2CacheError], ErrorAnswer] = {
    BadRequestError: ErrorAnswer(400),
    BadMessageError: ErrorAnswer(400),
    BrokenBodyError: ErrorAnswer(400),
    NotAnL2IdError: ErrorAnswer(400),
    OutsideVolumeError: ErrorAnswer(400),
    ForeignPageError: ErrorAnswer(403),
    UnknownDatasetError: ErrorAnswer(404),
    UnknownRunError: ErrorAnswer(404),
    TableNotFoundError: ErrorAnswer(404),
    SlowBodyError: ErrorAnswer(408),
    RunConflictError: ErrorAnswer(409),
    FolderError: ErrorAnswer(409),
    BrokenExportError: ErrorAnswer(409),
    TooLargeError: ErrorAnswer(413),
    UnsupportedEncodingError: ErrorAnswer(415),
    RateLimitedError: ErrorAnswer(429),
    GraphResponseError: ErrorAnswer(502, "the graph server's answer cannot be used"),
    RegistrationRefusedError: ErrorAnswer(502),
    StorageUnavailableError: ErrorAnswer(503, "the storage cannot be reached just now"),
    SchemaMismatchError: ErrorAnswer(503),
    GraphUnavailableError: ErrorAnswer(503, "the graph server cannot be reached just now"),
    VolumeUnavailableError: ErrorAnswer(503, "the segmentation cannot be read just now"),
    AuthenticationUnavailableError: ErrorAnswer(503, "the authentication service cannot be reached just now"),
    TransientError: ErrorAnswer(503, "something that is needed cannot be reached just now"),
    L2CacheError: ErrorAnswer(500, "internal error"),
}

_HTTP_TEXTS = {404: "there is nothing at this path", 405: "this path does not understand that method"}


def answer_of(error: BaseException) -> ErrorAnswer:
    """What a client is told of `error`: by its class or the nearest class above it; 500 if it is none of ours."""
    for kind in type(error).__mro__:
        if issubclass(kind, L2CacheError) and kind in STATUSES:
            return STATUSES[kind]
    return STATUSES[L2CacheError]


def status_of(error: BaseException) -> int:
    """The HTTP status of `error`."""
    return answer_of(error).status


def error_response(error: BaseException, retry_after_s: int) -> flask.Response:
    """The JSON answer for an error: `code` and `message`; `Retry-After` where the caller may try again; `max_ids` where
    fewer ids would do.

    Args:
      error: one of ours, or any other, which becomes a 500 without details.
      retry_after_s: seconds for `Retry-After`, unless the error says so itself.
    """
    answer = answer_of(error)
    document: dict[str, object] = {"code": answer.status, "message": answer.text or str(error)}
    if isinstance(error, TooLargeError) and error.max_ids is not None:
        document["max_ids"] = error.max_ids
    response = json_response(document, answer.status)
    own = error.retry_after_s if isinstance(error, RateLimitedError | AuthenticationUnavailableError) else None
    if own is not None or answer.status == 503:
        response.headers["Retry-After"] = str(retry_after_s if own is None else own)
    return response


def answer_errors(app: flask.Flask, retry_after_s: int) -> None:
    """Makes every error of `app` a JSON answer; those with the cause on our side are logged here, and only here."""

    def ours(error: L2CacheError) -> flask.Response:
        response = error_response(error, retry_after_s)
        if response.status_code >= 500:
            event(_logger, logging.ERROR, "request failed", error=type(error).__name__, reason=str(error))
        return response

    def unexpected(error: Exception) -> flask.Response:
        _logger.error("request failed unexpectedly", exc_info=error)
        return error_response(error, retry_after_s)

    app.register_error_handler(L2CacheError, ours)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, unexpected)


def _http_error(error: HTTPException) -> flask.Response:
    """Errors of the routing and of werkzeug's reading, with their headers (`Allow`)."""
    status = error.code or 500
    response = json_response({"code": status, "message": _HTTP_TEXTS.get(status) or error.description}, status)
    for name, value in error.get_headers():
        if name.lower() != "content-type":
            response.headers[name] = value
    return response
