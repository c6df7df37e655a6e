"""Who may look: `middle-auth-client`, as in every CAVE service.

It reads its own environment variables when it is imported: `AUTH_URL` (and `STICKY_AUTH_URL`), `AUTH_DISABLED`,
`TOKEN_NAME` and others; the import happens in `middle_auth`, not before.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Protocol

import flask

from shared.errors import AuthenticationUnavailableError, ConfigurationError
from shared.web.answers import json_response

_ACCESS_LOGS = ("werkzeug", "gunicorn.access")
_QUERY = re.compile(r"\?[^\s\"']*")


class Authorizer(Protocol):
    """Decides whether the sender of Flask's current request may view a dataset."""

    def __call__(self, dataset: str) -> flask.Response | None:
        """None if it may, else the answer that says why not (401, 403).

        Raises:
          AuthenticationUnavailableError: if the authentication service cannot be asked.
        """


def middle_auth(environment: Mapping[str, str]) -> Authorizer:
    """The authorizer that asks the authentication service whether the token carries the `view` permission.

    The Flask app needs `AUTH_SERVICE_NAMESPACE` in its `config`. With `AUTH_DISABLED=true` everybody may view.

    Args:
      environment: where the variables are, for checking that they are there; middle-auth-client reads `os.environ`.

    Raises:
      ConfigurationError: if authentication is on and no service is named.
    """
    if environment.get("AUTH_DISABLED", "false") != "true" and not _service_named(environment):
        raise ConfigurationError("AUTH_URL must be set to the authentication service, or AUTH_DISABLED to true")
    from middle_auth_client import auth_requires_permission, decorators
    from requests import RequestException
    from requests.exceptions import InvalidHeader

    from shared.lookup.auth_service import UnusableAnswerError, asking, bound, share_users

    bound(decorators.session)
    share_users(decorators)

    @auth_requires_permission("view", table_arg="dataset")  # type: ignore[untyped-decorator]
    def permitted(dataset: str) -> None:
        """Reached by who has the permission."""

    def authorize(dataset: str) -> flask.Response | None:
        # To a browser without a token middle-auth answers a redirect to its login page, which a POST cannot follow.
        flask.request.environ["HTTP_X_REQUESTED_WITH"] = "XMLHttpRequest"
        try:
            with asking():
                refusal = permitted(dataset=dataset)
        except (InvalidHeader, UnicodeError):
            # Not even a header can carry this token. The exception's text does: neither is logged.
            return _invalid_token(decorators.STICKY_AUTH_URL)
        except UnusableAnswerError as error:
            raise AuthenticationUnavailableError(
                f"the authentication service gave {error}", error.retry_after_s
            ) from None
        except RequestException as error:
            # Its own text names addresses.
            reason = f"asking the authentication service failed: {type(error).__name__}"
            raise AuthenticationUnavailableError(reason) from None
        return None if refusal is None else _with_code(flask.make_response(refusal))

    return authorize


def keep_queries_out_of_access_logs() -> None:
    """Cuts query strings from the servers' access logs: a token may be in them."""
    for name in _ACCESS_LOGS:
        logger = logging.getLogger(name)
        if not any(isinstance(known, _QueryFilter) for known in logger.filters):
            logger.addFilter(_QueryFilter())


class _QueryFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = _QUERY.sub("?...", record.getMessage()), ()
        return True


def _service_named(environment: Mapping[str, str]) -> bool:
    return bool(environment.get("AUTH_URL") or environment.get("AUTH_URI"))


def _invalid_token(service: str) -> flask.Response:
    response = json_response({"code": 401, "message": "the token is malformed", "error": "invalid_token"}, 401)
    response.headers["WWW-Authenticate"] = f'Bearer realm="https://{service}/api/v1/authorize", error="invalid_token"'
    return response


def _with_code(refusal: flask.Response) -> flask.Response:
    """The refusal with what every error of ours has, beside what CAVEclient reads: `error` and `data`."""
    said = refusal.get_json(silent=True)
    fields = said if isinstance(said, dict) else {}
    response = json_response({"code": refusal.status_code, "message": "refused", **fields}, refusal.status_code)
    if "WWW-Authenticate" in refusal.headers:
        response.headers["WWW-Authenticate"] = refusal.headers["WWW-Authenticate"]
    return response
