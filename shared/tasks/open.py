"""The queue of tasks, as a producer sees it."""

from __future__ import annotations

from shared.config.address import unknown_scheme
from shared.errors import ConfigurationError
from shared.tasks.protocol import Task, TaskQueue

__all__ = ["Task", "TaskQueue", "addresses_of", "open_queue"]


def addresses_of(address: str) -> list[str]:
    """The single addresses in one of several queues."""
    return [one.strip() for one in address.split(",") if one.strip()]


def open_queue(address: str) -> TaskQueue:
    """The queue at an address, or at several, over which tasks are then spread.

    Args:
      address: one or, with commas between, several of `sqlite:///ABSOLUTE/FILE`, or
        `cloudtasks://PROJECT/LOCATION/QUEUE?compute=URL&ingest=URL&service_account=EMAIL` with the base addresses of
        the functions and the account of the OIDC tokens; `CloudTasksAddress` tells of more options.

    Raises:
      ConfigurationError: if there is no such kind of queue, or the address is malformed.
    """
    if "," in address:
        from shared.tasks.spread import SpreadQueue

        return SpreadQueue([open_queue(one) for one in addresses_of(address)])
    scheme = address.partition("://")[0]
    if scheme == "sqlite":
        from shared.sqlite.file import sqlite_path
        from shared.tasks.sqlite import SQLiteTaskQueue

        return SQLiteTaskQueue(sqlite_path(address))
    if scheme == "cloudtasks":
        from shared.tasks.cloudtasks import CloudTasksAddress, CloudTasksQueue

        return CloudTasksQueue(CloudTasksAddress.parse(address))
    # no more of the address is repeated: it may hold a password
    raise ConfigurationError(
        "L2CACHE_QUEUE must be sqlite:///ABSOLUTE/FILE or cloudtasks://PROJECT/LOCATION/QUEUE?...; "
        f"{unknown_scheme(address)}"
    )
