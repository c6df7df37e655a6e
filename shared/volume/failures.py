"""Which file of a volume cannot be read, and why."""

from __future__ import annotations

import re
from typing import Any

from shared.geometry.file_grid import FileGrid, file_name
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
        grid = FileGrid(geometry.volume_box, as_triple(volume.meta.chunk_size(geometry.mip)))
        boxes = list(grid.files(geometry.chunk_box(coordinate)))
        unreadable = boxes[0] if len(boxes) == 1 else _unreadable(volume, geometry.mip, boxes)
        file = f"{key}/{file_name(unreadable)}" if unreadable else None
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
