"""What an operator asks for when starting an ingest, checked field by field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.documents.timestamp import requested_moment
from shared.errors import BadRequestError
from shared.geometry.grid import Box, GraphGeometry, as_triple

FIELDS = frozenset({"dataset", "timestamp", "bounding_box", "unit", "test", "create"})
_UNITS = ("voxels", "nm")


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
    bounding_box: tuple[tuple[float, float, float], tuple[float, float, float]] | None = None
    unit: str = "voxels"
    test: bool = False
    create: bool = True

    @classmethod
    def from_document(cls, document: object, now: datetime) -> StartRequest:
        """The request in a decoded JSON body.

        Args:
          document: an object with `dataset` and, optionally, `timestamp` (`YYYY-MM-DD HH:MM:SS`, UTC, or ISO 8601; now
            if left out; from 2000 on, not in the future), `bounding_box` ([[x, y, z], [x, y, z]]), `unit`, `test` and
            `create`.
          now: the present moment, aware.

        Raises:
          BadRequestError: naming the field that is missing, unknown or wrong.
        """
        if not isinstance(document, Mapping):
            raise BadRequestError("the body must be a JSON object with the field dataset")
        unknown = sorted(str(key) for key in document if key not in FIELDS)
        if unknown:
            raise BadRequestError(f"unknown field {unknown[0]!r}; known are {', '.join(sorted(FIELDS))}")
        dataset, unit = document.get("dataset"), document.get("unit", "voxels")
        test, create = document.get("test", False), document.get("create", True)
        if not isinstance(dataset, str) or not dataset:
            raise BadRequestError("dataset must be given as text")
        if unit not in _UNITS:
            raise BadRequestError(f"unit must be voxels or nm, not {unit!r}")
        if not isinstance(test, bool):
            raise BadRequestError(f"test must be true or false, not {test!r}")
        if not isinstance(create, bool):
            raise BadRequestError(f"create must be true or false, not {create!r}")
        moment, corners = _timestamp(document.get("timestamp"), now), _corners(document.get("bounding_box"))
        return cls(dataset, moment, corners, unit, test, create)

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


def _timestamp(raw: Any, now: datetime) -> datetime:
    if raw is None:
        return now.replace(microsecond=0)
    if not isinstance(raw, str):
        raise BadRequestError(f"timestamp must be text such as 2026-06-01 00:00:00, not {raw!r}")
    return requested_moment(raw, now)


def _corners(raw: Any) -> tuple[tuple[float, float, float], tuple[float, float, float]] | None:
    if raw is None:
        return None
    try:
        (x0, y0, z0), (x1, y1, z1) = raw
        low, high = (float(x0), float(y0), float(z0)), (float(x1), float(y1), float(z1))
    except (TypeError, ValueError) as error:
        raise BadRequestError(f"bounding_box must be [[x, y, z], [x, y, z]], not {raw!r}") from error
    if not all(abs(value) < 2**53 for value in low + high):
        raise BadRequestError(f"bounding_box must be of finite numbers, not {raw!r}")
    if not all(a < b for a, b in zip(low, high, strict=True)):
        raise BadRequestError(f"bounding_box is empty: {raw!r}")
    return low, high
