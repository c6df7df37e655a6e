"""The volume of supervoxels: what is asked of it, and reading it with CloudVolume."""
