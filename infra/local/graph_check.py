"""Whether the graph servers of the datasets answer, before a stack is started that needs them."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from shared.config.datasets import Datasets
from shared.config.settings import Settings
from shared.errors import ConfigurationError, L2CacheError
from shared.graph.registry import Graphs

TIMEOUT_S = 10.0
_NOT_ASKED = {"L2CACHE_STORE": "sqlite:///", "L2CACHE_BUS": "sqlite:///", "L2CACHE_QUEUE": "sqlite:///"}


def check_graph_servers(config: Path) -> None:
    """Asks the graph server of each dataset for the graph's description, as the functions will.

    Args:
      config: the datasets' YAML.

    Raises:
      ConfigurationError: naming the dataset and the address, if one does not answer or refuses.
    """
    settings = Settings.from_environment({**os.environ, **_NOT_ASKED, "L2CACHE_DATASETS": str(config)})
    graphs = Graphs(replace(settings, graph_timeout_s=TIMEOUT_S, graph_attempts=1))
    for dataset in Datasets.from_file(config).by_graph_id.values():
        try:
            graphs.get(dataset).geometry()
        except L2CacheError as error:
            raise ConfigurationError(
                f"dataset {dataset.graph_id}: {error}.\nIts graph server is {dataset.cv_path}, from {config}. "
                "It must be up before an ingest; --no-graph-check starts without it."
            ) from error
