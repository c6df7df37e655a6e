"""Addresses of Bigtable tables, and a dataset's graph table."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from shared.config.datasets import Datasets
from shared.errors import ConfigurationError
from shared.google.bigtable.address import TableAddress

ROOT = Path(__file__).resolve().parents[3]
YAML = "d: {{cv_path: 'graphene://https://s/segmentation/table/t', l2cache_id: c, graph_table: {}}}"


def test_a_datasets_graph_table_is_read_and_written_alike() -> None:
    address = "bigtable://my-project/pychunkedgraph/minnie3_v1.2"
    graph_table = Datasets.from_yaml(YAML.format(address)).get("d").graph_table
    assert graph_table == TableAddress("my-project", "pychunkedgraph", "minnie3_v1.2")
    assert str(graph_table) == address


def test_a_domain_scoped_project_is_understood() -> None:
    assert TableAddress.parse("bigtable://example.com:lab/instance/t").project == "example.com:lab"


@pytest.mark.parametrize(
    "address",
    [
        "5",
        "''",
        "[bigtable://p/i/t]",
        "sqlite:///graph.db",
        "bigtable://p/i",
        "bigtable://p/i/",
        "bigtable://p//t",
        "bigtable:///i/t",
        "bigtable://p/i/t/more",
        "'bigtable://p/i/t '",
        "'bigtable://p/i/t?x=1'",
    ],
)
def test_another_graph_table_is_refused_and_the_dataset_named(address: str) -> None:
    with pytest.raises(ConfigurationError, match="dataset d: graph_table"):
        Datasets.from_yaml(YAML.format(address))


def test_opening_a_graph_table_loads_no_client_before_the_first_question() -> None:
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from shared.google.bigtable.address import TableAddress\n"
        "from shared.config.datasets import Dataset\n"
        "from shared.graph.registry import Graphs\n"
        "from shared.config.settings import Settings\n"
        "graphs = Graphs(Settings(Path('x'), 'x', 'x', 'x'))\n"
        "cv_path = 'graphene://https://s.org/segmentation/table/t'\n"
        "graph = graphs.get(Dataset('d', cv_path, 'c', TableAddress('p', 'i', 't')))\n"
        "print(type(graph).__name__, [name for name in ('google.cloud.bigtable', 'grpc') if name in sys.modules])\n"
    )
    output = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert output == "GraphTable []\n"
