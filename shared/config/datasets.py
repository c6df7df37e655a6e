"""The datasets that have a cache: which graph, which table.

The file is PCGL2Cache's: YAML of `{dataset: {cv_path: graphene://..., l2cache_id: ...}}`. The dataset's name is the
graph's id, as edit and miss messages carry it in `table_id`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

import yaml

from shared.errors import ConfigurationError, UnknownDatasetError
from shared.google.bigtable.address import TableAddress

_KNOWN_KEYS = {"cv_path", "l2cache_id", "graph_table"}


@dataclass(frozen=True)
class Dataset:
    """One dataset.

    Attributes:
      graph_id: the graph's id, and the dataset's name in the HTTP API.
      cv_path: `graphene://` address of the graph server's table.
      l2cache_id: name of the cache table.
      graph_table: the graph's own Bigtable table, in the file as `bigtable://PROJECT/INSTANCE/TABLE`, if the operator
        names it: chunks are then mapped from it, and the graph server is asked for the geometry only.
    """

    graph_id: str
    cv_path: str
    l2cache_id: str
    graph_table: TableAddress | None = None


@dataclass(frozen=True)
class Datasets:
    """All configured datasets, by graph id."""

    by_graph_id: Mapping[str, Dataset]

    @classmethod
    def from_yaml(cls, text: str) -> Datasets:
        """Datasets from the YAML described above.

        Raises:
          ConfigurationError: naming the dataset and the field that is missing, unknown or malformed.
        """
        try:
            document = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigurationError(f"the datasets' file is not YAML: {error}") from error
        if not isinstance(document, dict):
            raise ConfigurationError("the datasets' file must map each dataset to its cv_path and l2cache_id")
        parsed = [_dataset(graph_id, entry) for graph_id, entry in document.items()]
        return cls(MappingProxyType({dataset.graph_id: dataset for dataset in parsed}))

    @classmethod
    def from_file(cls, path: Path) -> Datasets:
        """Datasets from a YAML file.

        Raises:
          ConfigurationError: if it cannot be read, or as `from_yaml`.
        """
        try:
            return cls.from_yaml(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigurationError(f"L2CACHE_DATASETS names a file that cannot be read: {error}") from error

    def get(self, graph_id: str) -> Dataset:
        """The dataset of that name.

        Raises:
          UnknownDatasetError: if none is configured.
        """
        dataset = self.by_graph_id.get(graph_id)
        if dataset is None:
            raise UnknownDatasetError(f"dataset {graph_id} does not have an L2 cache")
        return dataset


def _dataset(graph_id: Any, entry: Any) -> Dataset:
    if not isinstance(graph_id, str) or not graph_id:
        raise ConfigurationError(f"a dataset's name must be text: {graph_id!r}")
    if not isinstance(entry, dict):
        raise ConfigurationError(f"dataset {graph_id}: cv_path and l2cache_id are needed")
    unknown = sorted(str(key) for key in entry if key not in _KNOWN_KEYS)
    if unknown:
        raise ConfigurationError(f"dataset {graph_id}: unknown fields {', '.join(unknown)}")
    for key in ("cv_path", "l2cache_id"):
        if not isinstance(entry.get(key), str) or not entry[key]:
            raise ConfigurationError(f"dataset {graph_id}: {key} must be given as text")
    if urlsplit(entry["cv_path"]).scheme != "graphene":
        raise ConfigurationError(f"dataset {graph_id}: cv_path must be a graphene:// address, not {entry['cv_path']!r}")
    return Dataset(graph_id, entry["cv_path"], entry["l2cache_id"], _graph_table(graph_id, entry.get("graph_table")))


def _graph_table(graph_id: str, address: Any) -> TableAddress | None:
    if address is None:
        return None
    if not isinstance(address, str):
        raise ConfigurationError(f"dataset {graph_id}: graph_table must be text")
    try:
        return TableAddress.parse(address)
    except ConfigurationError as error:
        raise ConfigurationError(f"dataset {graph_id}: graph_table: {error}") from error
