"""The environment, read once. Every variable is listed in the README."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from shared.errors import ConfigurationError

T = TypeVar("T")
_LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


@dataclass(frozen=True)
class Settings:
    """All settings of a function.

    Attributes:
      datasets_file: YAML of the datasets (`L2CACHE_DATASETS`).
      store: address of the cache tables, `sqlite:///FILE` or `bigtable://PROJECT/INSTANCE` (`L2CACHE_STORE`).
      bus: address that misses are published to, `sqlite:///FILE` or `pubsub://PROJECT/TOPIC` (`L2CACHE_BUS`).
      queue: address of the task queue, `sqlite:///FILE` or
        `cloudtasks://PROJECT/LOCATION/QUEUE?compute=URL&ingest=URL&service_account=EMAIL` (`L2CACHE_QUEUE`).
      dead_letters: address that the compute function publishes messages to that fail at their last delivery; empty
        leaves them to the bus (`L2CACHE_DEAD_LETTERS`).
      delivery_attempts: deliveries that the bus gives a message (`L2CACHE_DELIVERY_ATTEMPTS`).
      url_prefix: first part of the look-up's paths (`PCGL2CACHE_URL_PREFIX`).
      auth_service_namespace: namespace of tables at the authentication service (`AUTH_SERVICE_NAMESPACE`).
      max_body_bytes: largest request body, packed and unpacked (`L2CACHE_MAX_BODY_BYTES`).
      max_ids: most ids in one look-up (`L2CACHE_MAX_IDS`).
      body_timeout_s: a request's body must have arrived within this time (`L2CACHE_BODY_TIMEOUT_S`).
      requests_per_minute: look-ups of one user in a minute that an instance answers, 0 for no limit
        (`L2CACHE_REQUESTS_PER_MINUTE`).
      misses_per_minute: missing ids of one user that an instance publishes in a minute, 0 for no limit
        (`L2CACHE_MISSES_PER_MINUTE`).
      publish_wait_s: longest that an answer waits for its misses to be published (`L2CACHE_PUBLISH_WAIT_S`).
      miss_pause_s: an instance does not publish the same missing id again within this time (`L2CACHE_MISS_PAUSE_S`).
      message_bytes: most data in one miss message (`L2CACHE_MESSAGE_BYTES`).
      retry_after_s: what `Retry-After` says when storage is away (`L2CACHE_RETRY_AFTER_S`).
      graph_timeout_s: time-out of one request to the graph server (`L2CACHE_GRAPH_TIMEOUT_S`).
      graph_attempts: tries of one request to the graph server (`L2CACHE_GRAPH_ATTEMPTS`).
      graph_token: token for the graph server; empty means the one in CloudVolume's secrets (`L2CACHE_GRAPH_TOKEN`).
      cloud_volume_dir: CloudVolume's folder, None for its default (`CLOUD_VOLUME_DIR`).
      budget_s: a message begins no further chunk after this time, and leaves the rest to the next delivery; well below
        the time-out of the bus (`L2CACHE_BUDGET_S`).
      leaf_chunks: most chunks in one leaf task of an ingest (`L2CACHE_LEAF_CHUNKS`).
      leaf_budget_s: a leaf task begins no further chunk after this time, and hands the rest on as a new task; well
        below the deadline of the queue's tasks (`L2CACHE_LEAF_BUDGET_S`).
      threads: threads of the feature engine (`L2CACHE_THREADS`).
      log_level: DEBUG, INFO, WARNING or ERROR (`L2CACHE_LOG_LEVEL`).
      project: Google Cloud project whose traces log records name; empty outside of one (`GOOGLE_CLOUD_PROJECT`).
    """

    datasets_file: Path
    store: str
    bus: str
    queue: str
    dead_letters: str = ""
    delivery_attempts: int = 30
    url_prefix: str = "l2cache"
    auth_service_namespace: str = "pychunkedgraph"
    max_body_bytes: int = 16 * 1024 * 1024
    max_ids: int = 100_000
    body_timeout_s: float = 30.0
    requests_per_minute: int = 600
    misses_per_minute: int = 100_000
    publish_wait_s: float = 2.0
    miss_pause_s: float = 60.0
    message_bytes: int = 4_000
    retry_after_s: int = 10
    graph_timeout_s: float = 60.0
    graph_attempts: int = 5
    graph_token: str = field(default="", repr=False)
    cloud_volume_dir: Path | None = None
    budget_s: float = 480.0
    leaf_chunks: int = 512
    leaf_budget_s: float = 480.0
    threads: int = 1
    log_level: str = "INFO"
    project: str = ""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Settings from environment variables.

        Raises:
          ConfigurationError: naming the variable that is missing or wrong.
        """
        read = _Reader(environment)
        return cls(
            datasets_file=Path(read.text("L2CACHE_DATASETS")),
            store=read.text("L2CACHE_STORE"),
            bus=read.text("L2CACHE_BUS"),
            queue=read.text("L2CACHE_QUEUE"),
            dead_letters=environment.get("L2CACHE_DEAD_LETTERS", "").strip(),
            delivery_attempts=read.whole("L2CACHE_DELIVERY_ATTEMPTS", cls.delivery_attempts, 1),
            url_prefix=read.text("PCGL2CACHE_URL_PREFIX", cls.url_prefix).strip("/"),
            auth_service_namespace=read.text("AUTH_SERVICE_NAMESPACE", cls.auth_service_namespace),
            max_body_bytes=read.whole("L2CACHE_MAX_BODY_BYTES", cls.max_body_bytes, 1),
            max_ids=read.whole("L2CACHE_MAX_IDS", cls.max_ids, 1),
            body_timeout_s=read.decimal("L2CACHE_BODY_TIMEOUT_S", cls.body_timeout_s, 0.001),
            requests_per_minute=read.whole("L2CACHE_REQUESTS_PER_MINUTE", cls.requests_per_minute, 0),
            misses_per_minute=read.whole("L2CACHE_MISSES_PER_MINUTE", cls.misses_per_minute, 0),
            publish_wait_s=read.decimal("L2CACHE_PUBLISH_WAIT_S", cls.publish_wait_s, 0),
            miss_pause_s=read.decimal("L2CACHE_MISS_PAUSE_S", cls.miss_pause_s, 0),
            message_bytes=read.whole("L2CACHE_MESSAGE_BYTES", cls.message_bytes, 8),
            retry_after_s=read.whole("L2CACHE_RETRY_AFTER_S", cls.retry_after_s, 0),
            graph_timeout_s=read.decimal("L2CACHE_GRAPH_TIMEOUT_S", cls.graph_timeout_s, 0.001),
            graph_attempts=read.whole("L2CACHE_GRAPH_ATTEMPTS", cls.graph_attempts, 1),
            graph_token=environment.get("L2CACHE_GRAPH_TOKEN", "").strip(),
            cloud_volume_dir=read.folder("CLOUD_VOLUME_DIR"),
            budget_s=read.decimal("L2CACHE_BUDGET_S", cls.budget_s, 0.001),
            leaf_chunks=read.whole("L2CACHE_LEAF_CHUNKS", cls.leaf_chunks, 1),
            leaf_budget_s=read.decimal("L2CACHE_LEAF_BUDGET_S", cls.leaf_budget_s, 0.001),
            threads=read.whole("L2CACHE_THREADS", cls.threads, 1),
            log_level=read.choice("L2CACHE_LOG_LEVEL", cls.log_level, _LOG_LEVELS),
            project=environment.get("GOOGLE_CLOUD_PROJECT", "").strip(),
        )


@dataclass(frozen=True)
class _Reader:
    environment: Mapping[str, str]

    def text(self, name: str, default: str | None = None) -> str:
        value = self.environment.get(name, "").strip() or default
        if value is None:
            raise ConfigurationError(f"{name} must be set")
        return value

    def folder(self, name: str) -> Path | None:
        value = self.environment.get(name, "").strip()
        return Path(value) if value else None

    def choice(self, name: str, default: str, allowed: tuple[str, ...]) -> str:
        value = self.text(name, default).upper()
        if value not in allowed:
            raise ConfigurationError(f"{name} must be one of {', '.join(allowed)}, not {value!r}")
        return value

    def whole(self, name: str, default: int, least: int) -> int:
        return self._number(name, default, least, int, "a whole number")

    def decimal(self, name: str, default: float, least: float) -> float:
        return self._number(name, default, least, float, "a number")

    def _number(self, name: str, default: T, least: float, convert: Callable[[str], T], kind: str) -> T:
        raw = self.environment.get(name, "").strip()
        if not raw:
            return default
        try:
            value = convert(raw)
        except ValueError as error:
            raise ConfigurationError(f"{name} must be {kind}, not {raw!r}") from error
        if not least <= value < math.inf:  # type: ignore[operator]  # T is int or float; nan fails here too
            raise ConfigurationError(f"{name} must be at least {least} and finite, not {raw!r}")
        return value
