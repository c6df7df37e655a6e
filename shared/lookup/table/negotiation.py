"""In which form a client wants its answer: the parameter `format`, else `Accept`; and how it wants it compressed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from functools import lru_cache

from werkzeug.datastructures import Accept, MIMEAccept
from werkzeug.http import parse_accept_header

from shared.errors import BadRequestError
from shared.lookup.table.encoding import BufferCompression
from shared.web.answers import ARROW_TYPE


class Form(Enum):
    """The form of an answer; the value is its media type."""

    JSON = "application/json"
    ARROW = ARROW_TYPE
    CSV = "text/csv"


_FORMS = {form.name.lower(): form for form in Form}


def answer_form(parameters: Mapping[str, Sequence[str]], accept: str) -> Form:
    """The form that a request asks for.

    Args:
      parameters: the query string's values by name; `format` there goes before what is accepted.
      accept: the header `Accept`. Of forms that it likes alike the more exactly named one is taken, and else JSON,
        which also is the form for clients that accept none of all.

    Raises:
      BadRequestError: naming the forms there are, if `format` is none of them, or several.
    """
    names = {name.strip().lower() for name in parameters.get("format", ())}
    if not names:
        return _accepted_form(accept)
    if len(names) > 1 or not names <= _FORMS.keys():
        raise BadRequestError(
            f"format={','.join(sorted(names))[:40]!r} is not understood: it is one of {', '.join(_FORMS)}"
        )
    return _FORMS[names.pop()]


@lru_cache
def _accepted_form(accept: str) -> Form:
    accepted = parse_accept_header(accept, MIMEAccept)
    return Form(accepted.best_match([form.value for form in Form], Form.JSON.value))


def buffer_compression(accepted: Accept) -> BufferCompression | None:
    """How the buffers of an Arrow stream are compressed: as the client likes best, `zstd` if it likes both alike.

    Args:
      accepted: the header `Accept-Encoding`. Only what it names counts, since `*` says nothing of what a reader of
        Arrow can. `lz4` is no registered content coding: it is understood here alone.
    """
    named = {encoding.lower(): quality for encoding, quality in accepted}
    zstd, lz4 = named.get("zstd", 0), named.get("lz4", 0)
    if max(zstd, lz4) <= 0:
        return None
    return "zstd" if zstd >= lz4 else "lz4"


def smaller_way(form: Form, accepted: Accept) -> str | None:
    """The encoding that a client would have to accept for a smaller answer; None if it has a small one."""
    if form is Form.ARROW:
        return None if buffer_compression(accepted) else "zstd"
    return None if accepted.quality("gzip") > 0 else "gzip"
