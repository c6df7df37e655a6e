"""What must hold of every answer."""

from __future__ import annotations

import gzip
import io
import json
import traceback
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import pyarrow.csv
import pyarrow.ipc

from shared.web.answers import ARROW_TYPE
from tests.soak.fuzz.case import Case

RETRY_LATER = (429, 503)
TELLTALES = (b"Traceback (most recent", b"/tests/soak/", b"/shared/", b"/site-packages/", b"werkzeug", b"sqlite3.")
_NO_BODY = (204, 304)
_TABLES = (ARROW_TYPE, "text/csv")


@dataclass(frozen=True)
class Answer:
    """What a function answered."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Complaint:
    """Something that does not hold.

    Attributes:
      what: the same for all cases that fail in the same way.
      detail: of this case.
      is_slow: whether it took too long.
    """

    what: str
    detail: str = ""
    is_slow: bool = False


def complaint_about(
    case: Case, answer: Answer, refused: Collection[str], error: BaseException | None
) -> Complaint | None:
    """What is wrong with an answer, if anything.

    Args:
      case: what was sent.
      answer: what came.
      refused: the neighbours that said meanwhile that they are away.
      error: what the function logged as unexpected, if it did.
    """
    status = answer.status
    if error is not None:
        return Complaint(f"{status} after {place_of(error)}", f"{type(error).__name__}: {str(error)[:200]}")
    if status >= 500 and status != 503:
        return Complaint(f"an answer of {status}", answer.body[:300].decode("latin-1"))
    if status == 503 and not refused:
        return Complaint("503 although no neighbour is away", answer.body[:300].decode("latin-1"))
    if 300 <= status < 400:
        return Complaint(f"an answer of {status}", str(answer.headers))
    if status in RETRY_LATER and not answer.headers.get("Retry-After", "").isdecimal():
        return Complaint(f"{status} without Retry-After")
    for telltale in TELLTALES:
        if telltale in answer.body:
            return Complaint(f"an answer that tells of {telltale.decode()}", answer.body[:300].decode("latin-1"))
    return _complaint_about_body(case, answer)


def _complaint_about_body(case: Case, answer: Answer) -> Complaint | None:
    method = case.raw.split(b" ", 1)[0]
    if method in (b"HEAD", b"OPTIONS") or answer.status in _NO_BODY or (not answer.body and answer.status < 300):
        return None
    kind = answer.headers.get("Content-Type", "")
    if answer.status == 200 and kind.partition(";")[0] in _TABLES:
        return _complaint_about_table(kind, answer)
    if answer.status < 300 and kind.startswith("text/plain"):
        return None
    try:
        packed = answer.headers.get("Content-Encoding") == "gzip"
        document: Any = json.loads(gzip.decompress(answer.body) if packed else answer.body)
    except (ValueError, OSError, EOFError):
        return Complaint(f"{answer.status} whose body is no JSON but {kind}", answer.body[:300].decode("latin-1"))
    if not kind.startswith("application/json"):
        return Complaint(f"{answer.status} of type {kind}")
    if answer.status < 300:
        return None
    if not isinstance(document, dict) or document.get("code") != answer.status:
        return Complaint(f"{answer.status} whose code is another", str(document)[:300])
    if not isinstance(document.get("message"), str) or not document["message"]:
        return Complaint(f"{answer.status} without a message", str(document)[:300])
    return None


def _complaint_about_table(kind: str, answer: Answer) -> Complaint | None:
    """What is wrong with a table: it cannot be read, or is packed although its buffers may be."""
    packed = answer.headers.get("Content-Encoding") == "gzip"
    try:
        if kind == ARROW_TYPE:
            pyarrow.ipc.open_stream(answer.body).read_all().validate(full=True)
        else:
            pyarrow.csv.read_csv(io.BytesIO(gzip.decompress(answer.body) if packed else answer.body))
    except (pyarrow.ArrowException, OSError, EOFError) as error:
        return Complaint(f"a table of {kind} that cannot be read", str(error)[:300])
    return Complaint("a stream of Arrow that is gzipped") if packed and kind == ARROW_TYPE else None


def place_of(error: BaseException) -> str:
    """Kind of an exception, and the innermost line of this project that it passed."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if "/shared/" in f.filename or "/functions/" in f.filename]
    if not own:
        own = [f for f in frames if "/site-packages/" in f.filename] or list(frames)
    last = own[-1] if own else None
    where = f"{'/'.join(last.filename.split('/')[-3:])}:{last.lineno}" if last else "nowhere"
    return f"{type(error).__name__} at {where}"
