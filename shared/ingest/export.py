"""What runs of exports and imports are told beside their chunks, what a leaf tells of its file, and the manifest.

The manifest is a JSON object beside the files, written when the export has ended: with it files can be checked, and
imported elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from shared.documents.json_object import decode_object, text_field, texts_field, whole_field, whole_triple_field
from shared.errors import BadRequestError, BrokenExportError
from shared.geometry.grid import Box, GraphGeometry
from shared.ingest.blocks import block_name
from shared.ingest.run import MOST_LEAF_CHUNKS, Run

MANIFEST = "manifest.json"
FORM = "l2cache-export"
FORM_VERSION = 1
OTHERS = "other_cells/"
"""Beginning of the names of counts: cells that are left out, by `family:qualifier`."""

FILES, BYTES, MISSING, AS_STORED = "files", "bytes", "missing", "rows_as_stored"
EXPORT_COUNTS = (FILES, BYTES, MISSING, AS_STORED)
"""Names of an export's counts, in the order in which they are answered."""

_MOST = 2**53
_SUFFIX = ".parquet"


def file_name(block: Box) -> str:
    """The name of a block's file."""
    return block_name(block) + _SUFFIX


def others_of(counts: Mapping[str, int]) -> dict[str, int]:
    """The cells that were left out, by `family:qualifier`, of the counts of a run."""
    return {name.removeprefix(OTHERS): count for name, count in sorted(counts.items()) if name.startswith(OTHERS)}


def is_file_name(name: str) -> bool:
    """Whether a file can be one of an export's rows."""
    return name.endswith(_SUFFIX)


@dataclass(frozen=True)
class ExportOptions:
    """What an export does beside naming chunks.

    Attributes:
      destination: address of the folder.
      attributes: names of those that are wanted, in alphabetical order; empty for all.
      at_moment: whether only rows of nodes are wanted that the graph has at the run's moment.
    """

    destination: str
    attributes: tuple[str, ...] = ()
    at_moment: bool = False

    @classmethod
    def of(cls, run: Run) -> ExportOptions:
        """The options of a run.

        Raises:
          BadRequestError: if it has none of an export.
        """
        at_moment = run.options.get("at_moment")
        if not isinstance(at_moment, bool):
            raise BadRequestError("at_moment must be true or false")
        return cls(text_field(run.options, "destination"), texts_field(run.options, "attributes"), at_moment)

    def document(self) -> dict[str, Any]:
        """The options in JSON's types."""
        return {**asdict(self), "attributes": list(self.attributes)}

    def moment(self, run: Run) -> datetime | None:
        """The moment whose nodes are wanted; None for all rows."""
        return run.timestamp if self.at_moment else None


@dataclass(frozen=True)
class ImportOptions:
    """What an import reads.

    Attributes:
      source: address of the export's folder.
      manifest: SHA-256 of its manifest.
    """

    source: str
    manifest: str

    @classmethod
    def of(cls, run: Run) -> ImportOptions:
        """The options of a run.

        Raises:
          BadRequestError: if it has none of an import.
        """
        return cls(text_field(run.options, "source"), text_field(run.options, "manifest"))

    def document(self) -> dict[str, Any]:
        """The options in JSON's types."""
        return asdict(self)


@dataclass(frozen=True)
class ExportedFile:
    """A file, as the leaf that wrote it and the manifest tell of it.

    Attributes:
      name: in the folder.
      rows: how many it has.
      bytes: its size.
      sha256: of its content, in hexadecimal digits.
    """

    name: str
    rows: int
    bytes: int
    sha256: str

    def note(self) -> str:
        """The file as text of a mark."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> ExportedFile:
        """The inverse of `asdict`.

        Raises:
          BadRequestError: naming what is wrong.
        """
        rows, n_bytes = whole_field(document, "rows", 0, _MOST), whole_field(document, "bytes", 0, _MOST)
        return cls(text_field(document, "name"), rows, n_bytes, text_field(document, "sha256"))

    @classmethod
    def from_note(cls, note: str) -> ExportedFile:
        """The inverse of `note`; raises as `from_document`."""
        return cls.from_document(decode_object(note, "a note on a file"))


@dataclass(frozen=True)
class Manifest:
    """What is read of a manifest.

    Attributes:
      graph_id: the graph whose nodes the rows are of.
      grid: its grid, see `grid_document`.
      table_timestamp: the moment of the graph that the table says it was ingested at, as text.
      attributes: names of the attributes in the files.
      is_whole: whether rows follow from the files.
      tree: what the blocks of the run follow from: `block`, `leaf_chunks` and `unit`.
      files: by name.
      failed: why a block has no file, by the block's name.
    """

    graph_id: str
    grid: Mapping[str, Any]
    table_timestamp: str
    attributes: tuple[str, ...]
    is_whole: bool
    tree: Mapping[str, Any]
    files: Mapping[str, ExportedFile]
    failed: Mapping[str, str]

    @classmethod
    def from_json(cls, raw: bytes) -> Manifest:
        """A manifest.

        Raises:
          BrokenExportError: if it is none, or one of a later form.
        """
        try:
            document = decode_object(raw, "the manifest")
            if document.get("form") != FORM or document.get("form_version") != FORM_VERSION:
                raise BrokenExportError(f"the manifest is none of {FORM}, version {FORM_VERSION}")
            files = [ExportedFile.from_document(each) for each in document["files"]]
            tree = {
                "block": text_field(document["tree"], "block"),
                "leaf_chunks": whole_field(document["tree"], "leaf_chunks", 1, MOST_LEAF_CHUNKS),
                "unit": whole_triple_field(document["tree"], "unit", 1, _MOST),
            }
            return cls(
                graph_id=text_field(document, "dataset"),
                grid=dict(document["grid"]),
                table_timestamp=text_field(document, "table_timestamp"),
                attributes=texts_field(document, "attributes"),
                is_whole=document["whole_rows"] is True,
                tree=tree,
                files={file.name: file for file in files},
                failed={str(each["block"]): str(each["reason"]) for each in document["failed"]},
            )
        except (BadRequestError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise BrokenExportError(f"the manifest cannot be read: {error}") from error


def grid_document(geometry: GraphGeometry) -> dict[str, Any]:
    """What the ids and positions of a graph's nodes mean, in JSON's types."""
    return {
        "chunk_size_voxels": list(geometry.chunk_size_voxels),
        "voxel_offset": list(geometry.voxel_offset),
        "volume_size_voxels": list(geometry.volume_size_voxels),
        "resolution_nm": list(map(float, geometry.resolution_nm)),
        "layer_bits": geometry.layout.layer_bits,
        "bits_per_axis": {str(layer): bits for layer, bits in geometry.layout.spatial_bits},
    }
