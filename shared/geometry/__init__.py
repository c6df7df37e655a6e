"""Where things are: node ids, the chunk grid and its boxes, the files of a precomputed volume."""
