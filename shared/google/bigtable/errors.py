"""What goes wrong with Bigtable, in our own terms."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from shared.errors import StorageUnavailableError, TableNotFoundError


@contextmanager
def storage_errors(table_id: str) -> Iterator[None]:
    """Turns the client's errors into ours; the client has retried what can be retried by then.

    Raises:
      TableNotFoundError: if the table, or its instance, does not exist.
      StorageUnavailableError: for everything else, refused credentials included: no row is given up for a missing
        permission.
    """
    from google.api_core.exceptions import GoogleAPICallError, RetryError
    from google.auth.exceptions import GoogleAuthError
    from google.cloud.bigtable.data.exceptions import MutationsExceptionGroup, RetryExceptionGroup

    try:
        yield
    except (GoogleAPICallError, RetryError, GoogleAuthError, MutationsExceptionGroup, RetryExceptionGroup) as error:
        if is_absent(error):
            raise TableNotFoundError(f"there is no cache table {table_id}") from error
        kinds = dict.fromkeys(type(cause).__name__ for cause in _causes(error))
        raise StorageUnavailableError(f"storage is not available ({', '.join(kinds)})") from error


def is_absent(error: BaseException) -> bool:
    """Whether an error says that the table, or its instance, does not exist."""
    from google.api_core.exceptions import NotFound

    return any(isinstance(cause, NotFound) for cause in _causes(error))


def is_refused(error: BaseException) -> bool:
    """Whether an error says that a permission is missing."""
    from google.api_core.exceptions import Forbidden

    return any(isinstance(cause, Forbidden) for cause in _causes(error))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, what it was raised from, and what it groups."""
    yield error
    if error.__cause__ is not None:
        yield from _causes(error.__cause__)
    for inner in getattr(error, "exceptions", ()):
        yield from _causes(inner)
