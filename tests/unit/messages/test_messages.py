"""The wire formats: what the producers of today send is understood, what they cannot have sent is refused."""

from __future__ import annotations

import base64
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import BadMessageError
from shared.messages.messages import EditMessage, MissMessage, decode, encode_misses, is_urgent

EDIT = {"table_id": "graph", "user_id": "7", "remesh": "true", "remesh_priority": "true"}
MISS = {"table_id": "graph", "l2_cache_id": "cache"}
ids = st.integers(0, 2**64 - 1)


def edit_of(new_ids: Any, protocol: int = 4, **others: Any) -> bytes:
    edit = {"operation_id": 1, "new_lvl2_ids": new_ids, "new_root_ids": [5], "old_root_ids": [3, 4], **others}
    return pickle.dumps(edit, protocol)


def test_the_recorded_edit_is_understood(shared_data: Path) -> None:
    (recorded,) = json.loads((shared_data / "messages" / "edit_merge.json").read_text())
    message = decode(recorded["attributes"], base64.b64decode(recorded["data_base64"]))
    assert isinstance(message, EditMessage)
    assert message.graph_id == "rig_graph"
    assert message.operation_id == recorded["data_unpickled"]["operation_id"]
    assert message.l2_ids.dtype == np.uint64
    assert message.l2_ids.tolist() == recorded["data_unpickled"]["new_lvl2_ids"]


def test_the_recorded_misses_are_understood(shared_data: Path) -> None:
    for recorded in json.loads((shared_data / "messages" / "miss.json").read_text()):
        data = base64.b64decode(recorded["data_base64"])
        message = decode(recorded["attributes"], data)
        assert isinstance(message, MissMessage)
        assert (message.graph_id, message.l2cache_id) == ("rig_graph", "l2cache_rig_graph_v1")
        assert message.l2_ids.tobytes() == data


def test_misses_are_written_as_recorded(shared_data: Path) -> None:
    for recorded in json.loads((shared_data / "messages" / "miss.json").read_text()):
        data = base64.b64decode(recorded["data_base64"])
        written = encode_misses("rig_graph", "l2cache_rig_graph_v1", np.frombuffer(data, "<u8"), 256_000)
        assert written == ([(recorded["attributes"], data)] if data else [])


@pytest.mark.parametrize(
    ("attributes", "urgent"),
    [
        (EDIT, True),
        ({"table_id": "graph"}, True),
        ({}, True),
        (EDIT | {"remesh_priority": "false"}, False),
        (EDIT | {"remesh_priority": ""}, True),
        (MISS, False),
        (MISS | {"remesh_priority": "true"}, False),
        (MISS | {"l2cache_waited": "true"}, True),
        (MISS | {"l2cache_waited": "false"}, False),
    ],
)
def test_edits_are_urgent_unless_their_producer_says_otherwise_and_misses_only_if_waited_for(
    attributes: dict[str, str], urgent: bool
) -> None:
    assert is_urgent(attributes) is urgent


@given(st.lists(ids), st.sampled_from(range(6)), st.sampled_from([list, tuple, "uint64", "numpy integers"]))
def test_ids_of_an_edit_come_in_any_shape_that_producers_use(values: list[int], protocol: int, shape: Any) -> None:
    match shape:
        case "uint64":
            sent: Any = np.array(values, dtype=np.uint64)
        case "numpy integers":
            sent = [np.uint64(value) for value in values]
        case _:
            sent = shape(values)
    message = decode(EDIT, edit_of(sent, protocol, operation_id=np.int64(12)))
    assert isinstance(message, EditMessage)
    assert message.operation_id == 12
    assert message.l2_ids.dtype == np.uint64
    assert message.l2_ids.tolist() == values


@given(st.lists(ids))
def test_edits_in_json_are_understood_too(values: list[int]) -> None:
    data = b" \n" + json.dumps({"operation_id": 2, "new_lvl2_ids": values}).encode()
    message = decode(EDIT, data)
    assert isinstance(message, EditMessage)
    assert (message.operation_id, message.l2_ids.tolist()) == (2, values)


@pytest.mark.parametrize("dtype", ["int64", "uint32", ">u8", "uint8"])
def test_integer_arrays_of_any_type_are_ids(dtype: str) -> None:
    message = decode(EDIT, edit_of(np.array([1, 2, 200], dtype=dtype)))
    assert message.l2_ids.dtype == np.uint64
    assert message.l2_ids.tolist() == [1, 2, 200]


def test_an_edit_without_operation_id_still_names_its_ids() -> None:
    message = decode(EDIT, pickle.dumps({"new_lvl2_ids": [9]}))
    assert isinstance(message, EditMessage)
    assert (message.operation_id, message.l2_ids.tolist()) == (None, [9])


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(edit_of(new_ids), id=repr(new_ids))
        for new_ids in (
            5, None, "123", {"1": 2}, [1.0], [True], [None], ["5"], [-1], [2**64], [[1]], b"12345678", 2**3000,
            [2**3000], np.array([-1]), np.array([[1]]), np.array(5), [np.int64(-1)], np.array([1.5]),
        )
    ]
    + [
        pytest.param(data, id=repr(data[:30]))
        for data in (
            b"", b"not a pickle", b"{", b'{"operation_id": 1}', b'{"new_lvl2_ids": [1.5]}', b'{"new_lvl2_ids": [NaN]}',
            b'{"new_lvl2_ids": [true]}', b"[1]", b'{"new_lvl2_ids": ' + b"[" * 100_000, b'{"new_lvl2_ids": ["\xff"]}',
            b'{"new_lvl2_ids": [' + b"9" * 5000 + b"]}", b"{" + b" " * 5_000_000, pickle.dumps([1]),
            pickle.dumps({"operation_id": 1}), edit_of([1], operation_id="1"), edit_of([1], operation_id=True),
            edit_of([1], more={1, 2}), pickle.dumps({b"new_lvl2_ids": [1]}),
        )
    ],
)  # fmt: skip
def test_what_is_no_edit_is_refused(data: bytes) -> None:
    with pytest.raises(BadMessageError):
        decode(EDIT, data)


@pytest.mark.parametrize("attributes", [{}, {"l2_cache_id": "cache"}, {"table_id": ""}, {**MISS, "l2_cache_id": ""}])
def test_a_message_that_does_not_name_its_graph_or_table_is_refused(attributes: dict[str, str]) -> None:
    with pytest.raises(BadMessageError, match=r"without (table_id|l2_cache_id)"):
        decode(attributes, edit_of([1]))


def test_a_miss_without_data_has_no_ids() -> None:
    message = decode(MISS, b"")
    assert isinstance(message, MissMessage)
    assert message.l2_ids.tolist() == []


@given(st.binary().filter(lambda data: len(data) % 8))
def test_a_miss_that_holds_no_whole_number_of_ids_is_refused(data: bytes) -> None:
    with pytest.raises(BadMessageError, match=str(len(data))):
        decode(MISS, data)


@given(st.lists(ids), st.integers(8, 100))
def test_misses_are_split_to_the_limit_and_lose_nothing(values: list[int], message_bytes: int) -> None:
    messages = encode_misses("graph", "cache", np.array(values, dtype=np.uint64), message_bytes)
    assert all(0 < len(data) <= message_bytes for _, data in messages)
    decoded = [decode(attributes, data) for attributes, data in messages]
    assert all(isinstance(message, MissMessage) and message.l2cache_id == "cache" for message in decoded)
    assert [value for message in decoded for value in message.l2_ids.tolist()] == values
    assert len(messages) == -(-len(values) // (message_bytes // 8))


@given(st.dictionaries(st.sampled_from(["table_id", "l2_cache_id", "other"]), st.text()), st.binary())
def test_any_delivery_is_a_message_or_a_bad_message(attributes: dict[str, str], data: bytes) -> None:
    try:
        message = decode(attributes, data)
    except BadMessageError:
        return
    assert message.l2_ids.dtype == np.uint64
