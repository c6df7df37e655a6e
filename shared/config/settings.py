"""The environment, read once. docs/configuration.md lists the settings as they are declared here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

from shared.config.setting import Setting


@dataclass(frozen=True)
class Settings:
    """All settings of a function."""

    datasets_file: Annotated[Path, Setting("L2CACHE_DATASETS", "path of the datasets' YAML")]
    store: Annotated[
        str,
        Setting("L2CACHE_STORE", "cache tables: `sqlite:////absolute/file.db` or `bigtable://PROJECT/INSTANCE`"),
    ]
    bus: Annotated[
        str,
        Setting("L2CACHE_BUS", "where misses are published: `sqlite:////absolute/file.db` or `pubsub://PROJECT/TOPIC`"),
    ]
    queue: Annotated[
        str,
        Setting(
            "L2CACHE_QUEUE",
            "task queue: `sqlite:////absolute/file.db` or "
            "`cloudtasks://PROJECT/LOCATION/QUEUE?compute=URL&ingest=URL&service_account=EMAIL`",
        ),
    ]
    dead_letters: Annotated[
        str,
        Setting(
            "L2CACHE_DEAD_LETTERS",
            "where the compute function publishes messages that failed at their last delivery, with the reason: "
            "`pubsub://PROJECT/TOPIC`, or `sqlite:////absolute/file.db`, the embedded bus's file; without it they are "
            "left to the bus",
        ),
    ] = ""
    delivery_attempts: Annotated[
        int, Setting("L2CACHE_DELIVERY_ATTEMPTS", "deliveries that the bus gives a message", least=1)
    ] = 30
    url_prefix: Annotated[str, Setting("PCGL2CACHE_URL_PREFIX", "first part of the look-up's paths", strip="/")] = (
        "l2cache"
    )
    auth_service_namespace: Annotated[
        str, Setting("AUTH_SERVICE_NAMESPACE", "namespace of tables at the authentication service")
    ] = "pychunkedgraph"
    token_name: Annotated[
        str,
        Setting("TOKEN_NAME", "name of the cookie, and of the parameter of the query, that may carry a CAVE token"),
    ] = "middle_auth_token"  # noqa: S105  # a name
    max_body_bytes: Annotated[
        int, Setting("L2CACHE_MAX_BODY_BYTES", "largest request body, packed and unpacked", least=1)
    ] = 16 * 1024 * 1024
    body_timeout_s: Annotated[
        float,
        Setting(
            "L2CACHE_BODY_TIMEOUT_S", "a request's body must have arrived within this time, 408 beyond", least=0.001
        ),
    ] = 30.0
    answer_s: Annotated[
        float,
        Setting(
            "L2CACHE_ANSWER_S",
            "a look-up of up to 10,000 ids is answered within this time after its body has arrived, 503 beyond; of "
            "more ids in proportion",
            least=0.001,
        ),
    ] = 4.5
    max_ids: Annotated[int, Setting("L2CACHE_MAX_IDS", "most ids in one look-up", least=1)] = 100_000
    max_total_nodes: Annotated[
        int,
        Setting(
            "L2CACHE_MAX_TOTAL_NODES",
            "most L2 nodes that the roots of one request for totals may have, 413 beyond",
            least=1,
        ),
    ] = 500_000
    requests_per_minute: Annotated[
        int,
        Setting(
            "L2CACHE_REQUESTS_PER_MINUTE",
            "look-ups of one user (without authentication: of one address) that all instances together answer in a "
            "minute, 429 beyond; 0 for no limit",
            least=0,
        ),
    ] = 600
    ids_per_minute: Annotated[
        int,
        Setting(
            "L2CACHE_IDS_PER_MINUTE",
            "ids that one user may ask all instances together for in a minute, 429 beyond; 0 for no limit",
            least=0,
        ),
    ] = 0
    limiter_categories: Annotated[
        str,
        Setting(
            "LIMITER_CATEGORIES",
            'the same limits in the form of CAVE\'s services, `{"query": "600/minute", "ids": "5000000/minute"}`; they '
            "go before the two above, other categories are left to other services",
        ),
    ] = ""
    limiter_service_accounts: Annotated[
        str,
        Setting(
            "LIMITER_SERVICE_ACCOUNT_CATEGORIES",
            "limits of service accounts, in the same form; what it does not name is as for everybody",
        ),
    ] = ""
    limiter_groups: Annotated[
        str,
        Setting(
            "L2CACHE_LIMITER_GROUPS",
            'limits of groups of users, `{"<group>": {"query": "6000/minute"}}`; of several that are for a user the '
            "largest counts",
        ),
    ] = ""
    misses_per_minute: Annotated[
        int,
        Setting(
            "L2CACHE_MISSES_PER_MINUTE",
            "missing ids of one user that an instance publishes in a minute; more are answered and not published; 0 "
            "for no limit",
            least=0,
        ),
    ] = 100_000
    publish_wait_s: Annotated[
        float,
        Setting("L2CACHE_PUBLISH_WAIT_S", "longest that an answer waits for its misses to be published", least=0),
    ] = 2.0
    miss_pause_s: Annotated[
        float,
        Setting(
            "L2CACHE_MISS_PAUSE_S",
            "an instance does not publish the same missing id again within this time",
            least=0,
        ),
    ] = 60.0
    pending_s: Annotated[
        float,
        Setting(
            "L2CACHE_PENDING_S",
            "how long an id counts as pending after it was published or begun, if nothing more is heard of it; longer "
            "than the bus's deadline and longest pause together",
            least=0,
        ),
    ] = 1800.0
    waited_bus: Annotated[
        str,
        Setting(
            "L2CACHE_WAITED_BUS",
            "where misses are published that a request waits for: an address as in `L2CACHE_BUS`",
            unset="`L2CACHE_BUS`",
        ),
    ] = ""
    waited_per_minute: Annotated[
        int,
        Setting(
            "L2CACHE_WAITED_PER_MINUTE",
            "missing ids of one user that an instance publishes there in a minute; further ones go with those that "
            "nobody waits for; 0 for no limit",
            least=0,
        ),
    ] = 1_000
    waiting_requests: Annotated[
        int,
        Setting(
            "L2CACHE_WAITING_REQUESTS",
            "most requests that wait in an instance at a time; further ones are answered at once; well below `THREADS`",
            least=0,
        ),
    ] = 64
    message_bytes: Annotated[
        int,
        Setting(
            "L2CACHE_MESSAGE_BYTES",
            "most data in one miss message, 8 bytes an id: small messages are computed side by side",
            least=8,
        ),
    ] = 4_000
    retry_after_s: Annotated[
        int, Setting("L2CACHE_RETRY_AFTER_S", "what `Retry-After` says when storage is away", least=0)
    ] = 10
    graph_timeout_s: Annotated[
        float, Setting("L2CACHE_GRAPH_TIMEOUT_S", "time-out of one request to the graph server", least=0.001)
    ] = 60.0
    graph_attempts: Annotated[
        int, Setting("L2CACHE_GRAPH_ATTEMPTS", "tries of one request to the graph server", least=1)
    ] = 5
    graph_token: Annotated[
        str,
        Setting("L2CACHE_GRAPH_TOKEN", "token for the graph server; without it the one in CloudVolume's secrets"),
    ] = field(default="", repr=False)
    cloud_volume_dir: Annotated[
        Path | None,
        Setting(
            "CLOUD_VOLUME_DIR",
            "CloudVolume's folder; its `secrets` hold the graph server's token; must be writable",
            unset="`~/.cloudvolume`",
        ),
    ] = None
    budget_s: Annotated[
        float,
        Setting(
            "L2CACHE_BUDGET_S",
            "a message begins no further chunk, nor further 500 nodes of one, after this time and leaves the rest to "
            "the next delivery; well below the time-out of the bus",
            least=0.001,
        ),
    ] = 480.0
    leaf_chunks: Annotated[
        int, Setting("L2CACHE_LEAF_CHUNKS", "most chunks in one leaf task of an ingest", least=1)
    ] = 512
    leaf_budget_s: Annotated[
        float,
        Setting(
            "L2CACHE_LEAF_BUDGET_S",
            "a leaf task begins no further chunk after this time and hands the rest on as a new task; well below the "
            "deadline of the queue's tasks",
            least=0.001,
        ),
    ] = 480.0
    exports: Annotated[
        str,
        Setting(
            "L2CACHE_EXPORTS",
            "folders below which exports are written and read, `file:///absolute/folder` or `gs://BUCKET/FOLDER`, with "
            "spaces between them; without it there are no exports",
        ),
    ] = ""
    rows_per_file: Annotated[
        int, Setting("L2CACHE_ROWS_PER_FILE", "most rows in a file of an export, about", least=1)
    ] = 500_000
    threads: Annotated[
        int,
        Setting("L2CACHE_THREADS", "threads that compute: a chunk each where there are many, else all of one", least=1),
    ] = 1
    log_level: Annotated[
        str,
        Setting(
            "L2CACHE_LOG_LEVEL",
            "the least of the records that are logged",
            choices=("DEBUG", "INFO", "WARNING", "ERROR"),
        ),
    ] = "INFO"
    project: Annotated[
        str,
        Setting("GOOGLE_CLOUD_PROJECT", "project whose traces log records name; Terraform sets it"),
    ] = ""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Settings from environment variables.

        Raises:
          ConfigurationError: naming the variable that is missing or wrong.
        """
        return cls(**{one.name: one.setting.read(environment, one.kind, one.default) for one in declared_settings()})


@dataclass(frozen=True)
class Declared:
    """A field of `Settings` as it is declared.

    Attributes:
      name: of the field.
      kind: `int`, `float`, `str` or `Path`.
      default: the value without a variable; `...` if there must be one.
      setting: what the field says of itself.
    """

    name: str
    kind: type
    default: Any
    setting: Setting


def declared_settings() -> Iterator[Declared]:
    """The fields of `Settings`, in their order."""
    hints = get_type_hints(Settings, include_extras=True)
    for each in fields(Settings):
        annotated, setting = get_args(hints[each.name])
        kind = (get_args(annotated) or (annotated,))[0]
        yield Declared(each.name, kind, ... if each.default is MISSING else each.default, setting)
