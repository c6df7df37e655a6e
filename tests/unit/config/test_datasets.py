from pathlib import Path

import pytest

from shared.config.datasets import AuthRegistration, Dataset, Datasets
from shared.errors import ConfigurationError, UnknownDatasetError

GOOD = """
minnie3_v1:
  cv_path: graphene://https://server/segmentation/table/minnie3_v1
  l2cache_id: l2cache_minnie3_v1_v2
"""


def test_a_dataset_is_found_by_its_graphs_id() -> None:
    expected = Dataset("minnie3_v1", "graphene://https://server/segmentation/table/minnie3_v1", "l2cache_minnie3_v1_v2")
    assert Datasets.from_yaml(GOOD).get("minnie3_v1") == expected


def test_a_graph_is_registered_only_if_its_dataset_says_as_what() -> None:
    assert Datasets.from_yaml(GOOD).get("minnie3_v1").cave_auth is None
    named = Datasets.from_yaml(GOOD + "  cave_auth: {host: 'https://global.cave/', dataset: minnie65}\n")
    expected = AuthRegistration("https://global.cave", "minnie65", "pychunkedgraph")
    assert named.get("minnie3_v1").cave_auth == expected


def test_an_unknown_dataset_is_named() -> None:
    with pytest.raises(UnknownDatasetError, match="nope"):
        Datasets.from_yaml(GOOD).get("nope")


ALIASED = "minnie65_public: {table_id: minnie3_v1}\n" + GOOD


def test_an_alias_is_another_name_of_a_dataset_for_clients_only() -> None:
    datasets = Datasets.from_yaml(ALIASED)
    assert datasets.named("minnie65_public") == datasets.named("minnie3_v1") == datasets.get("minnie3_v1")
    assert list(datasets.by_graph_id) == ["minnie3_v1"]
    with pytest.raises(UnknownDatasetError, match=r"minnie65_public .* another name of minnie3_v1"):
        datasets.get("minnie65_public")
    with pytest.raises(UnknownDatasetError, match="nope"):
        datasets.named("nope")


def test_the_mapping_has_the_datasets_and_then_their_aliases() -> None:
    mapping = Datasets.from_yaml(ALIASED).mapping()
    assert list(mapping) == ["minnie3_v1", "minnie65_public"]
    assert mapping["minnie65_public"] == mapping["minnie3_v1"]
    assert mapping["minnie3_v1"]["l2cache_id"] == "l2cache_minnie3_v1_v2"


@pytest.mark.parametrize(
    ("further", "named"),
    [
        ("a: {table_id: nope}", "alias a: there is no dataset nope"),
        ("a: {table_id: b}\nb: {table_id: minnie3_v1}", "alias a: b is an alias itself"),
        ("a: {table_id: a}", "alias a: a is an alias itself"),
        ("a: {table_id: minnie3_v1, cv_path: 'graphene://x', l2cache_id: t}", "alias a: .* cv_path, l2cache_id"),
        ("a: {table_id: [minnie3_v1]}", "alias a: table_id must be"),
        ("a: {table_id: ''}", "alias a: table_id must be"),
        ("1: {table_id: minnie3_v1}", "name must be text: 1"),
    ],
)
def test_a_wrong_alias_is_refused_and_named(further: str, named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        Datasets.from_yaml(f"{GOOD}\n{further}")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[1, 2", "YAML"),
        ("- a\n- b", "must map"),
        ("", "must map"),
        ("d: 1", "dataset d"),
        ("d: {cv_path: 'graphene://x'}", "l2cache_id"),
        ("d: {cv_path: 5, l2cache_id: t}", "cv_path"),
        ("d: {cv_path: 'precomputed://x', l2cache_id: t}", "cv_path"),
        ("d: {cv_path: 'graphene://x', l2cache_id: t, colour: red}", "colour"),
        ("1: {cv_path: 'graphene://x', l2cache_id: t}", "name"),
        ("d: {cv_path: 'graphene://x', l2cache_id: t, cave_auth: yes}", "needs host and dataset"),
        ("d: {cv_path: 'graphene://x', l2cache_id: t, cave_auth: {host: 'https://h'}}", "needs host and dataset"),
        ("d: {cv_path: 'graphene://x', l2cache_id: t, cave_auth: {host: 'https://h', dataset: 5}}", "must be text"),
        ("d: {cv_path: 'graphene://x', l2cache_id: t, cave_auth: {host: h, dataset: m}}", "https://HOST"),
        ("d: {cv_path: 'graphene://x', l2cache_id: t, cave_auth: {host: 'https://h', dataset: m, x: y}}", "may have"),
    ],
)
def test_a_wrong_file_is_refused_and_the_wrong_thing_named(text: str, named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        Datasets.from_yaml(text)


def test_a_file_that_is_not_there_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="L2CACHE_DATASETS"):
        Datasets.from_file(tmp_path / "absent.yaml")
