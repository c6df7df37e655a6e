"""What can go wrong, one class each.

`L2CacheError` is the root. Below it two families decide what becomes of a message: a `PermanentError` will fail again
however often it is tried (acknowledge it, count it, say why), a `TransientError` is worth another try (let the bus or
the queue deliver it again). `shared.web` holds the one table from these classes to HTTP statuses.
"""

from __future__ import annotations


class L2CacheError(Exception):
    """Root of all errors of this system. The message is fit for a client: no path, host name or token in it."""


class PermanentError(L2CacheError):
    """The same input will fail again."""


class TransientError(L2CacheError):
    """The same input may succeed later."""


class ConfigurationError(PermanentError):
    """A setting or the datasets' file is missing or wrong; the message names the setting."""


class BadRequestError(PermanentError):
    """A request's body or parameters cannot be understood; the message names the part."""


class InvalidL2IdError(BadRequestError):
    """A value that is no unsigned 64-bit integer was given as an id."""


class UnknownAttributeError(BadRequestError):
    """An attribute was asked for that there is none."""


class TooLargeError(PermanentError):
    """A body, or what it unpacks to, a list of ids or an answer exceeds its limit; the message states the limit.

    Args:
      message: what is too large.
      max_ids: how many ids would fit, if that is what the sender can change.
    """

    def __init__(self, message: str, max_ids: int | None = None) -> None:
        super().__init__(message)
        self.max_ids = max_ids


class BrokenBodyError(TransientError):
    """A request's body did not arrive whole: it was cut off, or its chunked framing is broken."""


class SlowBodyError(TransientError):
    """A request's body did not arrive whole within the time limit; the message states it."""


class UnsupportedEncodingError(PermanentError):
    """A content encoding that is not understood."""


class UnknownDatasetError(PermanentError):
    """No dataset of that name is configured."""


class TableNotFoundError(PermanentError):
    """The dataset is configured, but its cache table does not exist."""


class NotAnL2IdError(PermanentError):
    """An id is of another layer than 2."""


class OutsideVolumeError(PermanentError):
    """A chunk lies outside the segmentation's chunk grid."""


class BadMessageError(PermanentError):
    """A message's attributes or data cannot be decoded."""


class GraphResponseError(PermanentError):
    """The graph server answered with an error that no retry fixes: an unknown table, a request that it refuses."""


class ChunkFaultError(PermanentError):
    """A chunk ends its process, exhausts the memory, takes far too long or fails unexpectedly.

    It was computed in a process of its own, twice; another try would end in the same way: something has to be repaired.
    """


class RunConflictError(PermanentError):
    """An ingest run cannot be started or changed because of the state of another, or of its own."""


class FolderError(PermanentError):
    """A folder for exports cannot be written or read: it is not there, or permissions are missing."""


class BrokenExportError(PermanentError):
    """Files of an export are missing, damaged or of another form; the message names which."""


class RegistrationRefusedError(PermanentError):
    """CAVE's authentication does not take a graph as a table of a dataset; the message names both, and the status."""


class ForeignPageError(PermanentError):
    """A browser sends it for a page that is not ours."""


class UnknownRunError(PermanentError):
    """No ingest run of that name."""


class StorageUnavailableError(TransientError):
    """The cache store, the bus or the queue cannot be reached or timed out."""


class SchemaMismatchError(StorageUnavailableError):
    """An SQLite file has tables of another shape; the message names table and column.

    What is to be done waits until an operator has brought file and code together.
    """


class GraphUnavailableError(TransientError):
    """The graph server cannot be reached, timed out, is overloaded, answers nonsense, or refuses the token.

    The operator has to replace a refused token; until then messages wait, or go where they can be replayed.
    """


class GraphDisagreementError(GraphUnavailableError):
    """The graph gives a chunk's supervoxels to other chunks, or to none: a glitch, or graph and volume do not fit."""


class VolumeUnavailableError(TransientError):
    """The segmentation volume cannot be read just now."""


class CorruptFileError(VolumeUnavailableError):
    """A file of the volume is damaged; the message names it. It may be mended."""


class OutOfMemoryError(TransientError):
    """Memory ran out: there may be more of it next time, when less is done at once."""


class DeadlineError(TransientError):
    """There was not enough time to finish; what is done stays done, and another try does the rest."""


class AuthenticationUnavailableError(TransientError):
    """The authentication service cannot be reached, timed out, is overloaded, or answers nonsense.

    `retry_after_s` is the delay that it asks for, if it asks for one.
    """

    def __init__(self, message: str, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class RateLimitedError(TransientError):
    """The caller asks for more than its share; `retry_after_s` says when to come back."""

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
