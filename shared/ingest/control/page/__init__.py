"""The ingest function's page: the files beside this one are built from `pages/ingest` by `make page`."""
