"""The functions' packages: what is in them, their locks, their compiled kernels."""
