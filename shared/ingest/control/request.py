"""What an operator asks for when starting an ingest, checked field by field."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from shared.errors import BadRequestError
from shared.geometry.grid import Box, GraphGeometry, as_triple
from shared.ingest.control.fields import Corners, Field, Kind, Values, read_fields

DATASET = Field("dataset", Kind.TEXT, "Name of the dataset.", is_required=True)
CREATE = Field("create", Kind.FLAG, "Make the cache table if there is none.", default=True)
REQUEST_FIELDS = (
    DATASET,
    Field("timestamp", Kind.MOMENT, "Moment of the graph, UTC; now if left out."),
    Field("bounding_box", Kind.BOX, "Only the chunks that share a voxel with this box."),
    Field("unit", Kind.CHOICE, "Of the bounding box.", default="voxels", choices=("voxels", "nm")),
    Field("test", Kind.FLAG, "Only the 8 chunks around the middle.", default=False),
)
"""What says which ingest is meant."""


@dataclass(frozen=True)
class StartRequest:
    """An ingest to start.

    Attributes:
      dataset: name of the dataset.
      timestamp: moment of the graph; aware, UTC, whole seconds.
      bounding_box: low and high corner, the high one exclusive, in `unit`; None for the whole volume.
      unit: `voxels` of the graph's scale, or `nm`.
      test: only the (up to) 8 chunks around the middle of the box.
      create: make the cache table if there is none.
    """

    dataset: str
    timestamp: datetime
    bounding_box: Corners | None = None
    unit: str = "voxels"
    test: bool = False
    create: bool = True

    @classmethod
    def from_document(cls, document: object, now: datetime) -> StartRequest:
        """The request in a decoded JSON object of `REQUEST_FIELDS` and `create`.

        Args:
          document: the object.
          now: the present moment, aware.

        Raises:
          BadRequestError: naming the field that is missing, unknown or wrong.
        """
        return cls.from_values(read_fields(document, (*REQUEST_FIELDS, CREATE), now))

    @classmethod
    def from_values(cls, values: Values) -> StartRequest:
        """The request that fields' values make; without a timestamp it is of the present moment."""
        return cls(
            dataset=values["dataset"],
            timestamp=values["timestamp"] or values.now.replace(microsecond=0),
            bounding_box=values["bounding_box"],
            unit=values["unit"],
            test=values["test"],
            create=values["create"],
        )

    def block(self, geometry: GraphGeometry) -> Box:
        """The chunks that are asked for.

        Raises:
          BadRequestError: if the bounding box holds no voxel of the volume.
        """
        grid = Box((0, 0, 0), geometry.grid_shape)
        block = grid if self.bounding_box is None else geometry.chunks_of_box(self._box_voxels(geometry))
        if block.volume == 0:
            box = geometry.volume_box
            raise BadRequestError(f"bounding_box lies outside the volume, which is {box.start} to {box.stop} in voxels")
        return _middle(block) if self.test else block

    def _box_voxels(self, geometry: GraphGeometry) -> Box:
        low, high = self.bounding_box or ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
        scale = geometry.resolution_nm if self.unit == "nm" else (1.0, 1.0, 1.0)
        x0, y0, z0 = (int(value // step) for value, step in zip(low, scale, strict=True))
        x1, y1, z1 = (int(-(-value // step)) for value, step in zip(high, scale, strict=True))
        return Box((x0, y0, z0), (x1, y1, z1))


def _middle(block: Box) -> Box:
    middle = [start + size // 2 for start, size in zip(block.start, block.shape, strict=True)]
    start = tuple(max(low, m - 1) for low, m in zip(block.start, middle, strict=True))
    stop = tuple(min(high, m + 1) for high, m in zip(block.stop, middle, strict=True))
    return Box(as_triple(start), as_triple(stop))
