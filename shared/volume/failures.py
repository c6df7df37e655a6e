"""Which file of a volume cannot be read, and why."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product
from typing import Any

from shared.geometry.grid import Box, GraphGeometry, as_triple
from shared.types import Triple


def cause_of(volume: Any, geometry: GraphGeometry, coordinate: Triple, error: Exception) -> str:
    """The file that a chunk cannot be read for, and the exception's class: `8_8_40/0-64_0-64_0-16, DeflateError`.

    It goes into logs, dead letters and answers to operators. What the exception says stays out of it, since that may be
    a signed address; the file's name is the one within the volume.

    Args:
      volume: a CloudVolume.
      geometry: of the volume.
      coordinate: the chunk.
      error: what reading it ended in.
    """
    kind, key = type(error).__name__, volume.meta.key(geometry.mip)
    file = _named_file(error, key)
    if file is None and not volume.meta.scale(geometry.mip).get("sharding"):
        boxes = list(_file_boxes(volume, geometry, geometry.chunk_box(coordinate)))
        unreadable = boxes[0] if len(boxes) == 1 else _unreadable(volume, geometry.mip, boxes)
        file = f"{key}/{_file_name(unreadable)}" if unreadable else None
    return f"{file}, {kind}" if file else kind


def _named_file(error: BaseException | None, key: str) -> str | None:
    """The file that an exception, or one before it, names."""
    extent = r"-?\d+--?\d+"
    file = re.compile(rf"{re.escape(key)}/(?:{extent}_{extent}_{extent}|[0-9a-f]+\.shard)(?![0-9a-z_-])")
    while error is not None:
        if found := file.search(str(error)):
            return found[0]
        error = error.__cause__ or error.__context__
    return None


def _unreadable(volume: Any, mip: int, boxes: list[Box]) -> Box | None:
    """The first file that cannot be read by itself: the exceptions of decoders name none."""
    from cloudvolume import Bbox

    for box in boxes:
        try:
            volume.download(Bbox(box.start, box.stop), mip=mip)
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001  # the error that is reported was raised before
            return box
    return None


def _file_boxes(volume: Any, geometry: GraphGeometry, box: Box) -> Iterator[Box]:
    """The files that share a voxel with a box, by what they hold."""
    size, whole = as_triple(volume.meta.chunk_size(geometry.mip)), geometry.volume_box
    inside = box.intersection(whole)
    axes = zip(inside.start, inside.stop, whole.start, size, strict=True)
    starts = [range(low - (low - offset) % step, high, step) for low, high, offset, step in axes]
    for start in product(*starts):
        stop = (low + step for low, step in zip(start, size, strict=True))
        yield Box(as_triple(start), as_triple(stop)).intersection(whole)


def _file_name(box: Box) -> str:
    return "_".join(f"{start}-{stop}" for start, stop in zip(box.start, box.stop, strict=True))
