"""Registering a graph with CAVE's authentication, as the table of one of its datasets.

Permissions are given on datasets, and services ask the authentication which dataset a graph belongs to. A graph that it
does not know is closed to everybody, this system's token included.
"""

from __future__ import annotations

import logging
from urllib.parse import quote

import requests
from requests.auth import AuthBase

from shared.config.datasets import AuthRegistration, Dataset
from shared.config.settings import Settings
from shared.errors import AuthenticationUnavailableError, RegistrationRefusedError
from shared.graph.address import GraphAddress
from shared.graph.token import token_for
from shared.telemetry.log import event, get_logger

TIMEOUT_S = 15.0
_logger = get_logger("graph")


class BearerToken(AuthBase):
    """Sets the token; given as `auth`, it also keeps requests from taking another one out of a `.netrc` file."""

    def __init__(self, token: str | None) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """The request with the token in its header, if there is one."""
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class GraphRegistrar:
    """Registers graphs whose dataset asks for it.

    Args:
      settings: where the graph server's token is, which is the authentication's as well.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def __call__(self, dataset: Dataset) -> None:
        """Registers a dataset's graph, unless it is registered as wanted, or nothing is asked for.

        Raises:
          RegistrationRefusedError: if the authentication service refuses; its message names the status.
          AuthenticationUnavailableError: if it cannot be reached, or fails.
        """
        wanted = dataset.cave_auth
        if wanted is None:
            return
        token = BearerToken(token_for(GraphAddress.parse(dataset.cv_path).host, self._settings))
        try:
            with requests.Session() as session:
                session.auth = token
                if _is_registered(session, wanted, dataset.graph_id):
                    return
                url = f"{_url(wanted, dataset.graph_id)}/{quote(wanted.dataset, safe='')}"
                answer = session.post(url, timeout=TIMEOUT_S, allow_redirects=False)
        except requests.RequestException as error:
            raise AuthenticationUnavailableError("the authentication service cannot be reached") from error
        _check(answer, wanted, dataset.graph_id)
        event(_logger, logging.INFO, "graph registered", dataset=dataset.graph_id, cave_dataset=wanted.dataset)


def _url(wanted: AuthRegistration, graph_id: str) -> str:
    names = quote(wanted.service, safe=""), quote(graph_id, safe="")
    return "{}/sticky_auth/api/v1/service/{}/table/{}/dataset".format(wanted.host, *names)


def _is_registered(session: requests.Session, wanted: AuthRegistration, graph_id: str) -> bool:
    answer = session.get(_url(wanted, graph_id), timeout=TIMEOUT_S, allow_redirects=False)
    try:
        return answer.status_code == 200 and answer.json() == wanted.dataset
    except requests.JSONDecodeError:
        return False


def _check(answer: requests.Response, wanted: AuthRegistration, graph_id: str) -> None:
    if answer.status_code >= 500:
        raise AuthenticationUnavailableError(f"the authentication service answered {answer.status_code}")
    if not 200 <= answer.status_code < 300:
        raise RegistrationRefusedError(
            f"the authentication service refuses graph {graph_id} as a table of dataset {wanted.dataset} for the "
            f"service {wanted.service} (status {answer.status_code}): may the token's user administer that dataset?"
        )
