"""What must hold of an export's folder."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from shared.attributes import ATTRIBUTES
from shared.geometry.grid import GraphGeometry
from shared.ingest.export import MANIFEST, is_file_name
from shared.table.parquet import decode_parquet
from shared.table.row_columns import rows_of_columns
from tests.soak.checks import row_complaints
from tests.soak.world import Row


@dataclass(frozen=True)
class ExportFolder:
    """A folder that has a manifest.

    Attributes:
      path: of the folder.
      geometry: of the graph.
    """

    path: Path
    geometry: GraphGeometry

    def rows(self) -> dict[int, Row]:
        """The rows in its files, without empty cells."""
        found: dict[int, Row] = {}
        for file in sorted(filter(lambda path: is_file_name(path.name), self.path.iterdir())):
            for columns in decode_parquet(file.read_bytes()):
                for rows in rows_of_columns(columns, ATTRIBUTES, self.geometry):
                    found |= {i: {name: cell for name, cell in cells.items() if cell} for i, _, cells in rows.rows()}
        return found

    def complaints(self, right: Mapping[int, Row], required: Collection[int], fresh: Collection[int] = ()) -> list[str]:
        """What is wrong about it: files against the manifest, rows against the right ones.

        Args:
          right: the right rows, of all nodes that there are but for `fresh`.
          required: nodes whose row must be there.
          fresh: nodes of which the right row is not known yet.
        """
        manifest = json.loads((self.path / MANIFEST).read_bytes())
        told = {file["name"]: (file["bytes"], file["sha256"]) for file in manifest["files"]}
        contents = {path.name: path.read_bytes() for path in self.path.iterdir() if is_file_name(path.name)}
        there = {name: (len(content), sha256(content).hexdigest()) for name, content in contents.items()}
        if told != there:
            names = sorted(name for name in told.keys() | there.keys() if told.get(name) != there.get(name))
            return [f"files and manifest differ in {', '.join(names[:3])}"]
        found = self.rows()
        complaints = [f"an export without {len(manifest['failed'])} blocks"] if manifest["failed"] else []
        if manifest["rows"] != len(found):
            complaints.append(f"the manifest tells of {manifest['rows']} rows, there are {len(found)}")
        missing = [l2_id for l2_id in required if l2_id not in found]
        if missing:
            complaints.append(f"{len(missing)} rows are not exported: {sorted(missing)[:3]}")
        known = {l2_id: row for l2_id, row in found.items() if l2_id not in fresh}
        return complaints + [f"exported: {complaint}" for complaint in row_complaints(known, right, required=())]
