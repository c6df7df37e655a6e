"""The leaf tasks of an ingest: the chunks of a block, computed where the compute function runs."""
