"""`graphene://` addresses of a graph server's table."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from shared.errors import ConfigurationError

_PATH = re.compile(r"/(?P<prefix>[^/]+)/(?:table|1\.0|api/v1(?:/table)?)/(?P<table>[^/]+)/?")


@dataclass(frozen=True)
class GraphAddress:
    """Where a graph server answers for one table.

    Attributes:
      server: scheme, host and port, for example `https://server.org`.
      prefix: first part of the paths, usually `segmentation`.
      table: the graph's table.
    """

    server: str
    prefix: str
    table: str

    @classmethod
    def parse(cls, cv_path: str) -> GraphAddress:
        """The address in a dataset's `cv_path`.

        Understood are `graphene://https://SERVER/segmentation/table/TABLE`, the older `.../segmentation/1.0/TABLE` and
        `.../segmentation/api/v1/TABLE`, each with or without `middleauth+` before the scheme.

        Raises:
          ConfigurationError: if it has another form.
        """
        url = urlsplit(cv_path.removeprefix("graphene://").removeprefix("middleauth+"))
        match = _PATH.fullmatch(url.path)
        if not cv_path.startswith("graphene://") or url.scheme not in ("http", "https") or not url.netloc or not match:
            raise ConfigurationError("cv_path must look like graphene://https://SERVER/segmentation/table/TABLE")
        return cls(f"{url.scheme}://{url.netloc}", match["prefix"], match["table"])

    @property
    def host(self) -> str:
        """Host, and port if it has one: what CloudVolume calls the server in the names of its secrets' files."""
        return urlsplit(self.server).netloc

    @property
    def info_url(self) -> str:
        """Where the table's `info` is."""
        return f"{self.server}/{self.prefix}/table/{self.table}/info"

    def api_url(self, path: str) -> str:
        """Address of a method of the table, for example `roots_binary`."""
        return f"{self.server}/{self.prefix}/api/v1/table/{self.table}/{path}"
