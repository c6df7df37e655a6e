"""The one decoder of JSON objects."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.documents.json_object import decode_object
from shared.errors import BadMessageError, BadRequestError

SAID = "a-token"
WRONG = {
    "broken": (f'{{"token": "{SAID}", '.encode(), "an edit is not JSON .line 1 column 22."),
    "no text": (b'{"a": "\xff"}', "an edit is no text"),
    "deep": (b"[" * 100_000, "an edit is nested too deeply"),
    "long": (b'{"a": ' + b"9" * 5000 + b"}", "a number in an edit has too many digits"),
    "nan": (b'{"a": NaN}', "NaN is no number"),
    "list": (b"[1]", "an edit must be a JSON object"),
    "nothing": (b"", "an edit is not JSON"),
    "half of a pair": (b'{"a": [{"b": "\\ud800"}]}', "a text in an edit holds half of a surrogate pair"),
    "half of a pair as a name": (b'{"x\\uDfff": 1}', "a text in an edit holds half of a surrogate pair"),
    "half of a pair as it is": (b'{"a": "\xed\xa0\x80"}', "an edit is no text"),
}


@pytest.mark.parametrize(("raw", "message"), WRONG.values(), ids=list(WRONG))
@pytest.mark.parametrize("kind", [BadRequestError, BadMessageError, ValueError])
def test_what_is_wrong_is_said_in_the_callers_error(raw: bytes, message: str, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=message) as caught:
        decode_object(raw, "an edit", kind)
    assert SAID not in repr(caught.value)
    assert not isinstance(caught.value.__cause__, UnicodeDecodeError)
    assert SAID not in repr(vars(caught.value.__cause__ or caught.value))


def test_an_object_is_decoded_from_bytes_and_text() -> None:
    assert decode_object(b'{"a": [1, "\xc3\xa9"]}', "it") == decode_object('{"a": [1, "é"]}', "it") == {"a": [1, "é"]}


def test_a_text_that_holds_half_of_a_surrogate_pair_is_refused_and_a_whole_pair_taken() -> None:
    with pytest.raises(BadRequestError, match="half of a surrogate pair"):
        decode_object('{"a": "\ud800"}', "it")
    assert decode_object(b'{"a": "\\ud83d\\ude00"}', "it") == {"a": "\U0001f600"}


@given(st.dictionaries(st.text(), st.recursive(st.text() | st.integers(), st.lists, max_leaves=5)))
def test_whatever_can_be_written_is_decoded_as_it_is(document: dict[str, object]) -> None:
    for written in (json.dumps(document), json.dumps(document, ensure_ascii=False)):
        for raw in (written, *(written.encode(encoding) for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32"))):
            assert decode_object(raw, "it") == document


def test_numbers_that_are_none_of_json_are_taken_from_others_that_write_them() -> None:
    document = decode_object(b'{"a": NaN, "b": -Infinity, "c": 1}', "it", strict=False)
    assert (document["a"] != document["a"], document["b"], document["c"]) == (True, float("-inf"), 1)


@pytest.mark.parametrize("raw", [b"[1]", b'{"b": 1}', b'"a"'])
def test_a_field_that_must_be_there_is_named(raw: bytes) -> None:
    with pytest.raises(BadRequestError, match='the body must be a JSON object with the key "a"'):
        decode_object(raw, "the body", key="a")
    assert decode_object(b'{"a": null}', "the body", key="a") == {"a": None}


def test_a_hint_ends_the_error_of_what_is_no_json() -> None:
    with pytest.raises(BadRequestError, match=r"column 1.; send JSON$"):
        decode_object(b"l2_ids=1", "the body", hint="; send JSON")
