"""The datasets that have a cache: which graph, which table.

The file is PCGL2Cache's: YAML of `{dataset: {cv_path: graphene://..., l2cache_id: ...}}`, with two fields of our
own that may be left out, `graph_table` and `cave_auth`. The dataset's name is the
graph's id, as edit and miss messages carry it in `table_id`.

An entry `{alias: {table_id: dataset}}` is a further name of a dataset, which PCGL2Cache calls a virtual table: who may
view it is asked for the alias, and everything else is the dataset's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

import yaml

from shared.errors import ConfigurationError, UnknownDatasetError
from shared.google.bigtable.address import TableAddress

_KNOWN_KEYS = {"cv_path", "l2cache_id", "graph_table", "cave_auth"}
_ALIAS_KEY = "table_id"
_AUTH_KEYS = {"host", "dataset", "service"}


@dataclass(frozen=True)
class AuthRegistration:
    """As what a graph is to be registered with CAVE's authentication when an ingest starts.

    Attributes:
      host: base address of the CAVE deployment whose authentication it is, without a slash at its end.
      dataset: the dataset there that the graph's permissions are those of.
      service: the namespace there that graphs are registered in.
    """

    host: str
    dataset: str
    service: str = "pychunkedgraph"


@dataclass(frozen=True)
class Dataset:
    """One dataset.

    Attributes:
      graph_id: the graph's id, and the dataset's name in the HTTP API.
      cv_path: `graphene://` address of the graph server's table.
      l2cache_id: name of the cache table.
      graph_table: the graph's own Bigtable table, in the file as `bigtable://PROJECT/INSTANCE/TABLE`, if the operator
        names it: chunks are then mapped from it, and the graph server is asked for the geometry only.
      cave_auth: how the graph is to be registered, in the file as `{host, dataset[, service]}`; None leaves that to
        others.
    """

    graph_id: str
    cv_path: str
    l2cache_id: str
    graph_table: TableAddress | None = None
    cave_auth: AuthRegistration | None = None


@dataclass(frozen=True)
class Datasets:
    """All configured datasets.

    Attributes:
      by_graph_id: the datasets by their own names.
      aliases: the dataset's name by each further name; none of these is in `by_graph_id`.
    """

    by_graph_id: Mapping[str, Dataset]
    aliases: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

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
        further = {name: entry for name, entry in document.items() if isinstance(entry, dict) and _ALIAS_KEY in entry}
        own = {name: _dataset(name, entry) for name, entry in document.items() if name not in further}
        aliases = {name: _aliased(name, entry, own, further) for name, entry in further.items()}
        return cls(MappingProxyType(own), MappingProxyType(aliases))

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
        """The dataset of that name, which must be its own.

        Raises:
          UnknownDatasetError: if none is configured; it says so if the name is an alias.
        """
        dataset = self.by_graph_id.get(graph_id)
        if dataset is None:
            alias = f": it is another name of {self.aliases[graph_id]}" if graph_id in self.aliases else ""
            raise UnknownDatasetError(f"dataset {graph_id} does not have an L2 cache{alias}")
        return dataset

    def named(self, name: str) -> Dataset:
        """The dataset that a client means, by its own name or by an alias.

        Raises:
          UnknownDatasetError: if there is neither.
        """
        return self.get(self.aliases.get(name, name))

    def mapping(self) -> dict[str, dict[str, str]]:
        """What `table_mapping` answers: the datasets, then their aliases, each with the dataset's fields."""
        names = {**{graph_id: graph_id for graph_id in self.by_graph_id}, **self.aliases}
        datasets = {name: self.by_graph_id[graph_id] for name, graph_id in names.items()}
        return {name: {"cv_path": one.cv_path, "l2cache_id": one.l2cache_id} for name, one in datasets.items()}


def _check_name(name: Any) -> None:
    if not isinstance(name, str) or not name:
        raise ConfigurationError(f"a dataset's name must be text: {name!r}")


def _aliased(alias: Any, entry: dict[Any, Any], own: Mapping[str, Dataset], aliases: Mapping[Any, Any]) -> str:
    """The name of the dataset that an alias stands for; a dataset's own, so that no alias leads to itself."""
    _check_name(alias)
    others = sorted(str(key) for key in entry if key != _ALIAS_KEY)
    if others:
        raise ConfigurationError(f"alias {alias}: it has {_ALIAS_KEY} only, not {', '.join(others)}")
    graph_id = entry[_ALIAS_KEY]
    if not isinstance(graph_id, str) or not graph_id:
        raise ConfigurationError(f"alias {alias}: {_ALIAS_KEY} must be the name of a dataset, as text")
    if graph_id in aliases:
        raise ConfigurationError(f"alias {alias}: {graph_id} is an alias itself; name a dataset")
    if graph_id not in own:
        raise ConfigurationError(f"alias {alias}: there is no dataset {graph_id}")
    return graph_id


def _dataset(graph_id: Any, entry: Any) -> Dataset:
    _check_name(graph_id)
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
    return Dataset(
        graph_id,
        entry["cv_path"],
        entry["l2cache_id"],
        _graph_table(graph_id, entry.get("graph_table")),
        _cave_auth(graph_id, entry.get("cave_auth")),
    )


def _graph_table(graph_id: str, address: Any) -> TableAddress | None:
    if address is None:
        return None
    if not isinstance(address, str):
        raise ConfigurationError(f"dataset {graph_id}: graph_table must be text")
    try:
        return TableAddress.parse(address)
    except ConfigurationError as error:
        raise ConfigurationError(f"dataset {graph_id}: graph_table: {error}") from error


def _cave_auth(graph_id: str, entry: Any) -> AuthRegistration | None:
    if entry is None:
        return None
    if not isinstance(entry, dict) or not {"host", "dataset"} <= entry.keys() <= _AUTH_KEYS:
        raise ConfigurationError(f"dataset {graph_id}: cave_auth needs host and dataset, and may have service")
    if not all(isinstance(value, str) and value for value in entry.values()):
        raise ConfigurationError(f"dataset {graph_id}: cave_auth's host, dataset and service must be text")
    host = urlsplit(entry["host"])
    if host.scheme not in ("https", "http") or not host.hostname or host.query or host.fragment:
        raise ConfigurationError(f"dataset {graph_id}: cave_auth's host must be an address such as https://HOST")
    return AuthRegistration(**{**entry, "host": entry["host"].rstrip("/")})
