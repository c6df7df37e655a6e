"""What a made world is like: its size, its chunks, its seed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from shared.errors import ConfigurationError
from shared.geometry.ids import DEFAULT_LAYER_BITS, L2_LAYER, IdLayout
from shared.types import Triple

LOWEST_LAYER_BITS = 10
LARGEST_STORAGE_CHUNK = 64
TABLE = "demo"


@dataclass(frozen=True)
class WorldParameters:
    """Everything that a made world depends on.

    Attributes:
      size_voxels: extent of the volume; where it is no multiple of the chunk size, the far chunks are cut off.
      chunk_size_voxels: full size of a chunk of the graph.
      voxel_offset: the volume's first voxel.
      resolution_nm: size of a voxel.
      seed: of all random choices.
    """

    size_voxels: Triple = (300, 276, 265)
    chunk_size_voxels: Triple = (64, 64, 64)
    voxel_offset: Triple = (1000, 2030, 305)
    resolution_nm: Triple = (16, 16, 40)
    seed: int = 1

    def __post_init__(self) -> None:
        if min(*self.size_voxels, *self.chunk_size_voxels, *self.resolution_nm) <= 0:
            raise ConfigurationError("a world's size, chunk size and resolution must be positive")
        if max(self.grid_shape) > 1 << LOWEST_LAYER_BITS:
            raise ConfigurationError(f"a world has at most {1 << LOWEST_LAYER_BITS} chunks along an axis")

    @property
    def grid_shape(self) -> Triple:
        """Number of chunks along x, y, z."""
        x, y, z = (-(-size // chunk) for size, chunk in zip(self.size_voxels, self.chunk_size_voxels, strict=True))
        return x, y, z

    @property
    def root_layer(self) -> int:
        """The lowest layer that has a single chunk, but at least one above layer 2."""
        return L2_LAYER + max((max(self.grid_shape) - 1).bit_length(), 1)

    @property
    def layout(self) -> IdLayout:
        """Bit layout of the node ids: fewer bits for the coordinates on higher layers, which have fewer chunks."""
        bits = dict.fromkeys(range(1, L2_LAYER + 1), LOWEST_LAYER_BITS)
        for layer in range(L2_LAYER + 1, self.root_layer + 1):
            last_chunk = (max(self.grid_shape) - 1) >> (layer - L2_LAYER)
            bits[layer] = max(last_chunk.bit_length(), 1)
        return IdLayout(DEFAULT_LAYER_BITS, tuple(bits.items()))

    def as_json(self) -> dict[str, Any]:
        """The parameters in JSON's types."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    def info(self, data_dir: str) -> dict[str, Any]:
        """The graph server's `info` of such a world; without its `graph` and `app` the volume's own."""
        storage_chunk = [min(chunk, LARGEST_STORAGE_CHUNK) for chunk in self.chunk_size_voxels]
        top_chunk = 1 << (self.root_layer - L2_LAYER)
        return {
            "app": {"supported_api_versions": [0, 1]},
            "chunks_start_at_voxel_offset": True,
            "data_dir": data_dir,
            "data_type": "uint64",
            "graph": {
                "bounding_box": [chunk * top_chunk for chunk in self.chunk_size_voxels],
                "chunk_size": list(self.chunk_size_voxels),
                "cv_mip": 0,
                "n_bits_for_layer_id": self.layout.layer_bits,
                "n_layers": self.root_layer,
                "spatial_bit_masks": {str(layer): bits for layer, bits in self.layout.spatial_bits},
            },
            "num_channels": 1,
            "scales": [
                {
                    "chunk_sizes": [storage_chunk],
                    "compressed_segmentation_block_size": [8, 8, 8],
                    "encoding": "compressed_segmentation",
                    "key": "_".join(map(str, self.resolution_nm)),
                    "resolution": list(self.resolution_nm),
                    "size": list(self.size_voxels),
                    "voxel_offset": list(self.voxel_offset),
                }
            ],
            "type": "segmentation",
        }
