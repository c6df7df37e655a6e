"""Whether a request about a dataset is let in: the dataset, who asks, and whether they may, and how often."""

from __future__ import annotations

from dataclasses import dataclass

import flask

from shared.config.datasets import Dataset, Datasets
from shared.config.settings import Settings
from shared.deadline import prolong, uncounted
from shared.lookup.auth import Authorizer
from shared.lookup.caller import caller_of_request
from shared.lookup.limiter import CallerLimiter
from shared.lookup.sizes import read_ids_body
from shared.telemetry.log import StepTimer

IDS_IN_TIME = 10_000
"""So many ids an answer has `L2CACHE_ANSWER_S` for; for more it has longer."""


@dataclass(frozen=True)
class Admitted:
    """A request that was let in.

    Attributes:
      dataset: what it asks about.
      caller: who asks.
    """

    dataset: Dataset
    caller: str


class Admission:
    """Lets in Flask's requests about datasets, and reads them. May be used by many threads.

    Args:
      datasets: the datasets that may be asked about.
      authorize: asked before a body is read.
      limiter: counts requests and ids.
      settings: limits.
    """

    def __init__(self, datasets: Datasets, authorize: Authorizer, limiter: CallerLimiter, settings: Settings) -> None:
        self._datasets, self._authorize = datasets, authorize
        self._limiter, self._settings = limiter, settings

    def admit(self, name: str) -> Admitted | flask.Response:
        """The current request, or the answer that says why its sender may not look.

        Args:
          name: of the dataset, or an alias.

        Raises:
          UnknownDatasetError: if there is none. Datasets are no secret (`table_mapping` is open): this needs no token.
          RateLimitedError: if its sender has made too many requests.
          AuthenticationUnavailableError: if the authentication service cannot be asked.
        """
        steps: StepTimer = flask.g.steps
        dataset = self._datasets.named(name)
        flask.g.fields["dataset"] = dataset.graph_id
        if name != dataset.graph_id:
            flask.g.fields["alias"] = name
        with steps.step("authorize"):
            refusal = self._authorize(name)
        if refusal is not None:
            return refusal
        caller = caller_of_request()
        with steps.step("quota"):
            self._limiter.take_request(caller)
        return Admitted(dataset, caller)

    def read_body(self) -> bytes:
        """The body of the current request; the time that its sender takes for it does not count.

        Raises:
          L2CacheError: as `shared.web.body.read_body`.
        """
        with uncounted():
            return read_ids_body(flask.request, self._settings)

    def parameters(self) -> dict[str, list[str]]:
        """The values in the current request's query by name, without a token."""
        parameters = flask.request.args.to_dict(flat=False)
        parameters.pop(self._settings.token_name, None)
        return parameters

    def count_ids(self, admitted: Admitted, n_ids: int) -> None:
        """Counts ids that a request asks for, and gives the answer the time that they need.

        Raises:
          TooLargeError: if they are more than its sender may ask for in a whole minute.
          RateLimitedError: if they are more than are left of that.
        """
        with flask.g.steps.step("quota"):
            self._limiter.take_ids(admitted.caller, n_ids)
        prolong(self._settings.answer_s * max(0.0, n_ids / IDS_IN_TIME - 1))
