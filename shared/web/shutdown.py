"""Whether the server that runs a function is about to end."""

from __future__ import annotations

import signal


def is_shutting_down() -> bool:
    """Whether this process was told to end (SIGTERM) and only finishes the requests that it has.

    gunicorn's workers handle the signal themselves, by a method of the worker that ends its `alive`; a function cannot
    add a handler of its own, since it is loaded before the worker's process is. Under another server it is False.
    """
    worker = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return not getattr(worker, "alive", True)
