from __future__ import annotations

from pathlib import Path

import pytest

from shared.errors import ConfigurationError
from shared.graph.address import GraphAddress
from shared.graph.token import checked_token, cloudvolume_secrets_dirs, find_token


@pytest.mark.parametrize(
    "cv_path",
    [
        "graphene://https://server.org/segmentation/table/minnie65",
        "graphene://middleauth+https://server.org/segmentation/table/minnie65",
        "graphene://https://server.org/segmentation/1.0/minnie65",
        "graphene://https://server.org/segmentation/1.0/minnie65/",
        "graphene://https://server.org/segmentation/api/v1/minnie65",
        "graphene://https://server.org/segmentation/api/v1/table/minnie65",
    ],
)
def test_every_form_of_an_address_leads_to_the_same_server_and_table(cv_path: str) -> None:
    address = GraphAddress.parse(cv_path)
    assert address.host == "server.org"
    assert address.info_url == "https://server.org/segmentation/table/minnie65/info"
    assert address.api_url("roots_binary") == "https://server.org/segmentation/api/v1/table/minnie65/roots_binary"


def test_a_port_is_part_of_the_host() -> None:
    assert GraphAddress.parse("graphene://http://127.0.0.1:8083/segmentation/table/demo").host == "127.0.0.1:8083"


@pytest.mark.parametrize(
    "cv_path",
    [
        "https://server.org/segmentation/table/t",
        "graphene://server.org/segmentation/table/t",
        "graphene://gs://bucket/segmentation/table/t",
        "graphene://https:///segmentation/table/t",
        "graphene://https://server.org/segmentation/table/",
        "graphene://https://server.org/segmentation/t",
        "graphene://https://server.org/segmentation/table/t/more",
    ],
)
def test_other_addresses_are_a_configuration_error(cv_path: str) -> None:
    with pytest.raises(ConfigurationError, match="cv_path"):
        GraphAddress.parse(cv_path)


def secret(folder: Path, name: str, content: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(content)


def test_the_servers_own_secret_goes_before_the_general_one_and_that_before_the_old_one(tmp_path: Path) -> None:
    assert find_token("server.org", (tmp_path,)) is None
    secret(tmp_path, "chunkedgraph-secret.json", '{"token": "old"}')
    assert find_token("server.org", (tmp_path,)) == "old"
    secret(tmp_path, "cave-secret.json", '{"token": "general"}')
    assert find_token("server.org", (tmp_path,)) == "general"
    secret(tmp_path, "server.org-cave-secret.json", '{"token": "own"}')
    assert find_token("server.org", (tmp_path,)) == "own"
    assert find_token("other.org", (tmp_path,)) == "general"


def test_a_secret_in_the_preferred_folder_goes_before_the_same_one_elsewhere(tmp_path: Path) -> None:
    secret(tmp_path / "old", "cave-secret.json", '{"token": "old"}')
    secret(tmp_path / "new", "cave-secret.json", '{"token": "new"}')
    assert find_token("server.org", (tmp_path / "new", tmp_path / "old")) == "new"
    assert find_token("server.org", (tmp_path / "none", tmp_path / "old")) == "old"


def test_the_secrets_are_where_cloudvolume_keeps_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cloudvolume_secrets_dirs(None)[0] == tmp_path / ".cloudvolume" / "secrets"
    assert cloudvolume_secrets_dirs(Path("/elsewhere"))[0] == Path("/elsewhere/secrets")


def test_a_secret_that_is_the_bare_token_is_taken(tmp_path: Path) -> None:
    secret(tmp_path, "cave-secret.json", '"abc"')
    assert find_token("server.org", (tmp_path,)) == "abc"


@pytest.mark.parametrize("content", ["", "{token", "{}", '{"token": 7}', '{"token": "a b-s3cret"}', '{"token": ""}'])
def test_an_unusable_secret_is_named_and_its_content_is_not(tmp_path: Path, content: str) -> None:
    secret(tmp_path, "cave-secret.json", content)
    with pytest.raises(ConfigurationError) as caught:
        find_token("server.org", (tmp_path,))
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_token_loses_the_blanks_around_it_and_must_fit_into_a_header() -> None:
    assert checked_token(" 0123abcd\n") == "0123abcd"
    with pytest.raises(ConfigurationError, match="token"):
        checked_token("0123\r\nX-Header: 1")
