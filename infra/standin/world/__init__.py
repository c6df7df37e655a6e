"""The made brain: neurites that fill a small volume, their supervoxels, and the chunked graph over them."""
