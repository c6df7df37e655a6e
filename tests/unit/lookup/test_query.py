from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.attributes import ATTRIBUTES
from shared.errors import BadRequestError, InvalidL2IdError, TooLargeError, UnknownAttributeError
from shared.lookup.query import Query, parse_query

JSON = "application/json"
BINARY = "application/octet-stream"
MAX_IDS = 50
ID = st.integers(0, 2**64 - 1)
A, B = 144115188075855873, 144115325783244917


def parse(body: bytes | dict[str, Any], mimetype: str = JSON, **parameters: str) -> Query:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return parse_query(raw, mimetype, {name: [value] for name, value in parameters.items()}, MAX_IDS)


def ids_of(value: Any) -> list[int]:
    return parse({"l2_ids": value}).l2_ids.tolist()


def flat(value: Any) -> list[int]:
    return [int(value)] if not isinstance(value, list) else [entry for part in value for entry in flat(part)]


def names_of(query: Query) -> list[str]:
    return [attribute.name for attribute in query.attributes]


class TestIds:
    @given(st.lists(ID, max_size=MAX_IDS))
    def test_json_integers_and_raw_bytes_are_the_same_ids(self, ids: list[int]) -> None:
        binary = parse(struct.pack(f"<{len(ids)}Q", *ids), BINARY).l2_ids
        assert ids_of(ids) == binary.tolist() == ids
        assert binary.dtype == parse({"l2_ids": ids}).l2_ids.dtype == np.uint64

    @given(st.recursive(ID | ID.map(str), lambda inner: st.lists(inner, max_size=4), max_leaves=MAX_IDS))
    def test_a_scalar_and_nested_lists_of_numbers_and_text_are_taken_flat_and_exactly(self, value: Any) -> None:
        assert ids_of(value) == flat(value)

    @pytest.mark.parametrize(
        "mimetype", ["", JSON, "application/x-www-form-urlencoded", "text/plain", "multipart/form-data"]
    )
    def test_any_type_but_octet_stream_is_json(self, mimetype: str) -> None:
        assert parse({"l2_ids": [A]}, mimetype).l2_ids.tolist() == [A]

    def test_padded_text_is_a_number(self) -> None:
        assert ids_of("00144115188075855873") == [A]

    def test_no_ids_are_no_error(self) -> None:
        assert ids_of([]) == ids_of([[], [[]]]) == parse(b"", BINARY).l2_ids.tolist() == []

    @pytest.mark.parametrize(
        ("value", "shown"),
        [
            ([-1], "-1"),
            ([A, 2**64], "18446744073709551616"),
            (10**25, "1" + "0" * 25),
            ([10**60], "1" + "0" * 39 + "..."),
            ([1.5], "1.5"),
            ([1.0], "1.0"),
            ([1e17], "1e+17"),
            ([True], "true"),
            (None, "null"),
            ([A, None], "null"),
            ([{"a": 1}], '{"a": 1}'),
            (["-1"], '"-1"'),
            (["1.5"], '"1.5"'),
            (["18446744073709551616"], "18446744073709551616"),
            (["abc"], '"abc"'),
            ([""], '""'),
            (["1_000"], '"1_000"'),
            ([" 1"], '" 1"'),
            (["+1"], '"+1"'),
            (["٣"], '"\\u0663"'),
            (["9" * 5000], '"' + "9" * 39 + "..."),
            ([float("nan")], "NaN"),
            ([float("inf")], "Infinity"),
            ([[A, [False]]], "false"),
        ],
    )
    def test_what_is_no_id_is_named(self, value: Any, shown: str) -> None:
        with pytest.raises(InvalidL2IdError) as caught:
            ids_of(value)
        assert str(caught.value) == f"{shown} is not an unsigned 64-bit integer"

    @given(
        st.lists(ID | ID.map(str), max_size=5),
        st.booleans()
        | st.none()
        | st.floats()
        | st.integers(max_value=-1)
        | st.integers(min_value=2**64)
        | st.text().filter(lambda text: not (text.isascii() and text.isdigit()))
        | st.dictionaries(st.text(), ID, max_size=2),
        st.lists(ID | ID.map(str), max_size=5),
    )
    def test_one_bad_value_among_good_ones_refuses_the_request(
        self, before: list[Any], bad: Any, after: list[Any]
    ) -> None:
        with pytest.raises(InvalidL2IdError):
            ids_of([*before, bad, *after])

    @pytest.mark.parametrize(
        ("body", "message"),
        [
            (b"", "empty"),
            (b'{"l2_ids":[1,', "not JSON .line 1 column 14."),
            (b"[1,2]", '"l2_ids"'),
            (b'{"ids":[1]}', '"l2_ids"'),
            (b'"l2_ids"', '"l2_ids"'),
            (b"l2_ids=1", "not JSON"),
            (b"[" * 100_000, "nested too deeply"),
            (b'{"l2_ids":[' + b"9" * 5000 + b"]}", "too many digits"),
            (struct.pack("<6Q", A, B, A, B, A, B), "application/octet-stream"),
            (b'\xff{"l2_ids":[1]}', "application/octet-stream"),
        ],
    )
    def test_a_malformed_body_is_a_bad_request(self, body: bytes, message: str) -> None:
        with pytest.raises(BadRequestError, match=message):
            parse(body)

    @given(st.binary(max_size=200))
    def test_arbitrary_bytes_are_ids_or_a_bad_request(self, body: bytes) -> None:
        for mimetype in (JSON, BINARY):
            try:
                ids = parse(body, mimetype).l2_ids
            except BadRequestError:
                continue
            assert ids.dtype == np.uint64

    @pytest.mark.parametrize("length", [1, 7, 9, 15])
    def test_raw_bytes_must_be_whole_ids(self, length: int) -> None:
        with pytest.raises(BadRequestError, match=f"{length} bytes"):
            parse(bytes(length), BINARY)

    @pytest.mark.parametrize(
        ("body", "mimetype"),
        [
            ({"l2_ids": [A] * (MAX_IDS + 1)}, JSON),
            ({"l2_ids": [[A] * MAX_IDS, A]}, JSON),
            (bytes(8 * (MAX_IDS + 1)), BINARY),
        ],
    )
    def test_too_many_ids_are_refused_with_the_limit(self, body: Any, mimetype: str) -> None:
        with pytest.raises(TooLargeError, match=f"{MAX_IDS + 1} ids.*at most {MAX_IDS}"):
            parse(body, mimetype)


class TestOptions:
    def test_without_options_all_attributes_are_answered_and_misses_published(self) -> None:
        query = parse({"l2_ids": [A]})
        assert query.attributes == ATTRIBUTES
        assert not query.int64_as_str
        assert query.publish_misses

    @pytest.mark.parametrize(
        "given", ["size_nm3,rep_coord_nm", " rep_coord_nm , size_nm3 ", "size_nm3,rep_coord_nm,size_nm3"]
    )
    def test_names_are_taken_from_the_query_string_and_from_the_body(self, given: str) -> None:
        expected = ["rep_coord_nm", "size_nm3"]
        assert names_of(parse({"l2_ids": []}, attribute_names=given)) == expected
        assert names_of(parse({"l2_ids": [], "attribute_names": given})) == expected
        assert names_of(parse({"l2_ids": [], "attribute_names": given.split(",")})) == expected
        assert names_of(parse(b"", BINARY, attribute_names=given)) == expected

    def test_a_repeated_parameter_adds_names(self) -> None:
        query = parse_query(b"", BINARY, {"attribute_names": ["pca", "size_nm3"]}, MAX_IDS)
        assert names_of(query) == ["pca", "size_nm3"]

    def test_the_query_string_goes_before_the_body(self) -> None:
        query = parse({"l2_ids": [], "attribute_names": "pca"}, attribute_names="size_nm3")
        assert names_of(query) == ["size_nm3"]

    def test_null_in_the_body_means_all(self) -> None:
        assert parse({"l2_ids": [], "attribute_names": None}).attributes == ATTRIBUTES

    @pytest.mark.parametrize("name", ["nope", "parents", "SIZE_NM3", "'"])
    def test_an_unknown_name_is_named(self, name: str) -> None:
        for query in ({"attribute_names": f"size_nm3,{name}"}, {"attribute_names": ["size_nm3", name]}):
            with pytest.raises(UnknownAttributeError, match=name):
                parse({"l2_ids": [], **query})
        with pytest.raises(UnknownAttributeError, match=name):
            parse({"l2_ids": []}, attribute_names=name)

    @pytest.mark.parametrize("names", ["", " ", ",", "size_nm3,"])
    def test_an_empty_name_is_a_bad_request(self, names: str) -> None:
        with pytest.raises(BadRequestError, match="''"):
            parse({"l2_ids": []}, attribute_names=names)

    @pytest.mark.parametrize("names", [[], 1, {"a": 1}, [1], ["size_nm3", None], True])
    def test_names_of_another_type_are_a_bad_request(self, names: Any) -> None:
        with pytest.raises(BadRequestError, match="attribute_names"):
            parse({"l2_ids": [], "attribute_names": names})

    @pytest.mark.parametrize(
        ("text", "value"),
        [("true", True), ("TRUE", True), ("1", True), ("false", False), ("False", False), ("0", False)],
    )
    def test_booleans_are_understood_in_any_case(self, text: str, value: bool) -> None:
        query = parse({"l2_ids": []}, int64_as_str=text, update_cache=text)
        assert query.int64_as_str is query.publish_misses is value

    @pytest.mark.parametrize("text", ["", "maybe", "xx", "2", "yes"])
    def test_a_boolean_that_is_none_is_the_default(self, text: str) -> None:
        query = parse({"l2_ids": []}, int64_as_str=text, update_cache=text)
        assert (query.int64_as_str, query.publish_misses) == (False, True)
