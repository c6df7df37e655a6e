"""The chunked graph: which supervoxels belong to which L2 node, and when."""
