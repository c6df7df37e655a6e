"""The operators' terminal client of the ingest function: `python -m infra.ingest --help`."""
