"""Node ids of the chunked graph: uint64 of `layer | x | y | z | segment`.

The number of bits for x, y and z depends on the layer and comes from the graph's `info`. Everything here is arithmetic
on whole arrays of ids; nothing is asked of a server.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from shared.errors import ConfigurationError, NotAnL2IdError, OutsideVolumeError
from shared.types import Int64Array, Triple, UInt64Array

ID_BITS = 64
DEFAULT_LAYER_BITS = 8
SUPERVOXEL_LAYER, L2_LAYER = 1, 2


@dataclass(frozen=True)
class IdLayout:
    """How the bits of a graph's node ids are shared out.

    Attributes:
      layer_bits: bits of the layer number, the topmost ones.
      spatial_bits: pairs (layer, bits for each of x, y and z), ascending by layer.
    """

    layer_bits: int
    spatial_bits: tuple[tuple[int, int], ...]

    @classmethod
    def from_info(cls, info: Mapping[str, Any]) -> IdLayout:
        """The layout that a graph server's `info` describes; supervoxels have the bits of layer 2 if it says nothing.

        Raises:
          ConfigurationError: if `info` has no usable `graph.spatial_bit_masks`.
        """
        try:
            graph = info["graph"]
            masks = sorted((int(layer), int(bits)) for layer, bits in graph["spatial_bit_masks"].items())
            layer_bits = int(graph.get("n_bits_for_layer_id", DEFAULT_LAYER_BITS))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ConfigurationError(f"the graph's info has no usable spatial_bit_masks: {error!r}") from error
        by_layer = dict(masks)
        if L2_LAYER not in by_layer:
            raise ConfigurationError("the graph's info has no spatial_bit_masks for layer 2")
        by_layer.setdefault(SUPERVOXEL_LAYER, by_layer[L2_LAYER])
        layout = cls(layer_bits, tuple(sorted(by_layer.items())))
        if layout.axis_bits(SUPERVOXEL_LAYER) < layout.axis_bits(L2_LAYER):
            raise ConfigurationError("the graph's info gives supervoxels fewer bits for their chunk than L2 nodes")
        for layer, bits in layout.spatial_bits:
            if not 0 < layer < 1 << layer_bits or bits < 0 or layout.segment_bits(layer) <= 0:
                raise ConfigurationError(f"the graph's info has impossible bit counts for layer {layer}: {bits}")
        return layout

    def axis_bits(self, layer: int) -> int:
        """Bits for each of x, y and z in ids of `layer`.

        Raises:
          ConfigurationError: if the graph has no such layer.
        """
        for known, bits in self.spatial_bits:
            if known == layer:
                return bits
        raise ConfigurationError(f"the graph has no layer {layer}")

    def segment_bits(self, layer: int) -> int:
        """Bits for the segment number in ids of `layer`."""
        return ID_BITS - self.layer_bits - 3 * self.axis_bits(layer)


def layers(node_ids: UInt64Array, layout: IdLayout) -> npt.NDArray[np.uint8]:
    """Layer of each node id: uint8[n]; 0 for the id 0."""
    return (node_ids >> np.uint64(ID_BITS - layout.layer_bits)).astype(np.uint8)


def is_l2(node_ids: UInt64Array, layout: IdLayout) -> npt.NDArray[np.bool_]:
    """Whether each id is of layer 2: bool[n]."""
    return np.asarray(layers(node_ids, layout) == L2_LAYER)


def chunk_coordinates(l2_ids: UInt64Array, layout: IdLayout) -> Int64Array:
    """Chunk coordinates of L2 ids.

    Args:
      l2_ids: uint64[n].
      layout: bit layout of the graph's ids, from its `info`.

    Returns:
      int64[n, 3], in chunks from the volume's first voxel.

    Raises:
      NotAnL2IdError: if an id is of another layer; its message names the first such id.
    """
    other = ~is_l2(l2_ids, layout)
    if other.any():
        raise NotAnL2IdError(f"{l2_ids[other][0]} is not an L2 id")
    return node_coordinates(l2_ids, L2_LAYER, layout)


def node_coordinates(node_ids: UInt64Array, layer: int, layout: IdLayout) -> Int64Array:
    """Coordinates in the x, y, z bits of ids that are all of `layer`: int64[n, 3], in chunks of that layer."""
    bits, segment_bits = layout.axis_bits(layer), layout.segment_bits(layer)
    mask = np.uint64((1 << bits) - 1)
    shifts = np.array([segment_bits + axis * bits for axis in (2, 1, 0)], dtype=np.uint64)
    return ((node_ids[:, np.newaxis] >> shifts) & mask).astype(np.int64)


def segments(node_ids: UInt64Array, layer: int, layout: IdLayout) -> UInt64Array:
    """Segment numbers of ids that are all of `layer`: uint64[n]."""
    return node_ids & np.uint64((1 << layout.segment_bits(layer)) - 1)


def compose_ids(layer: int, coordinates: Int64Array, segment_numbers: UInt64Array, layout: IdLayout) -> UInt64Array:
    """Node ids from their parts, the inverse of `node_coordinates` and `segments`.

    Args:
      layer: layer of all ids.
      coordinates: int64[n, 3], in chunks of that layer.
      segment_numbers: uint64[n].
      layout: bit layout of the graph's ids.

    Returns:
      uint64[n].

    Raises:
      ValueError: if a part needs more bits than the layout gives it.
    """
    bits, segment_bits = layout.axis_bits(layer), layout.segment_bits(layer)
    xyz = np.asarray(coordinates, dtype=np.int64)
    numbers = np.asarray(segment_numbers, dtype=np.uint64)
    if xyz.size and (xyz.min() < 0 or xyz.max() >= 1 << bits):
        raise ValueError(f"a coordinate does not fit into {bits} bits of layer {layer}")
    if numbers.size and int(numbers.max()) >= 1 << segment_bits:
        raise ValueError(f"a segment number does not fit into {segment_bits} bits of layer {layer}")
    parts = xyz.astype(np.uint64)
    ids = np.uint64(layer) << np.uint64(ID_BITS - layout.layer_bits) | numbers
    for axis in range(3):
        ids = ids | parts[..., axis] << np.uint64(segment_bits + (2 - axis) * bits)
    return np.asarray(ids, dtype=np.uint64)


def supervoxel_chunks(supervoxels: UInt64Array, layout: IdLayout) -> UInt64Array:
    """Layer and chunk of supervoxel ids, as one number each: uint64[n]. Ids of other layers give other numbers."""
    return np.asarray(supervoxels >> np.uint64(layout.segment_bits(SUPERVOXEL_LAYER)), dtype=np.uint64)


def supervoxel_chunks_of_nodes(l2_ids: UInt64Array, layout: IdLayout) -> UInt64Array:
    """What `supervoxel_chunks` gives for all supervoxels that L2 nodes can have: uint64[n]."""
    segment_numbers = np.zeros(l2_ids.size, dtype=np.uint64)
    coordinates = node_coordinates(l2_ids, L2_LAYER, layout)
    return supervoxel_chunks(compose_ids(SUPERVOXEL_LAYER, coordinates, segment_numbers, layout), layout)


def l2_id_range(coordinate: Triple, layout: IdLayout) -> tuple[int, int]:
    """First and last id that an L2 node of the chunk can have (segment 0 and all segment bits set).

    In Python's integers, since arrays of one take twenty times as long.

    Raises:
      OutsideVolumeError: if ids have too few bits for the coordinate.
    """
    bits, segment_bits = layout.axis_bits(L2_LAYER), layout.segment_bits(L2_LAYER)
    number = L2_LAYER
    for part in coordinate:
        if not 0 <= part < 1 << bits:
            where = ", ".join(map(str, coordinate))
            raise OutsideVolumeError(
                f"chunk ({where}) lies outside any volume: its ids have {bits} bits for a coordinate"
            )
        number = number << bits | int(part)
    first = number << segment_bits
    return first, first | (1 << segment_bits) - 1


def l2_id_ranges(chunks: Sequence[Triple], layout: IdLayout) -> list[tuple[int, int]]:
    """First and last ids of ranges that hold exactly the ids that L2 nodes of the chunks can have: as few as possible,
    ascending. Chunks in a row along z have one.

    Raises:
      OutsideVolumeError: as `l2_id_range`.
    """
    joined: list[tuple[int, int]] = []
    for first, last in sorted({l2_id_range(chunk, layout) for chunk in chunks}):
        if joined and joined[-1][1] + 1 == first:
            first, _ = joined.pop()
        joined.append((first, last))
    return joined


def slices_of_chunks(l2_ids: UInt64Array, chunks: Sequence[Triple], layout: IdLayout) -> list[slice]:
    """Where the ids of each chunk lie among some L2 ids, uint64[n], ascending.

    Raises:
      OutsideVolumeError: as `l2_id_range`.
    """
    ranges = [l2_id_range(chunk, layout) for chunk in chunks]
    firsts, lasts = np.array(ranges, dtype=np.uint64).reshape(-1, 2).T
    starts, stops = np.searchsorted(l2_ids, firsts, "left"), np.searchsorted(l2_ids, lasts, "right")
    return [slice(start, stop) for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)]


def distinct_ids(node_ids: UInt64Array) -> UInt64Array:
    """Ids ascending, each once: uint64[m]. Ids that are so already, as most clients send them, are not copied."""
    if (node_ids[1:] > node_ids[:-1]).all():
        return node_ids
    return np.unique(node_ids)


def node_key(node_id: int) -> bytes:
    """Row key of a node, in the graph's table as in cache tables: its id in 20 decimal digits."""
    return b"%020d" % node_id
