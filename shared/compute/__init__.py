"""Computing rows of the cache: for the nodes of a message, or for whole chunks of an ingest."""
