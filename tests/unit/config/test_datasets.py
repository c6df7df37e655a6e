from pathlib import Path

import pytest

from shared.config.datasets import Dataset, Datasets
from shared.errors import ConfigurationError, UnknownDatasetError

GOOD = """
minnie3_v1:
  cv_path: graphene://https://server/segmentation/table/minnie3_v1
  l2cache_id: l2cache_minnie3_v1_v2
"""


def test_a_dataset_is_found_by_its_graphs_id() -> None:
    expected = Dataset("minnie3_v1", "graphene://https://server/segmentation/table/minnie3_v1", "l2cache_minnie3_v1_v2")
    assert Datasets.from_yaml(GOOD).get("minnie3_v1") == expected


def test_an_unknown_dataset_is_named() -> None:
    with pytest.raises(UnknownDatasetError, match="nope"):
        Datasets.from_yaml(GOOD).get("nope")


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
    ],
)
def test_a_wrong_file_is_refused_and_the_wrong_thing_named(text: str, named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        Datasets.from_yaml(text)


def test_a_file_that_is_not_there_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="L2CACHE_DATASETS"):
        Datasets.from_file(tmp_path / "absent.yaml")
