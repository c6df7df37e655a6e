"""`python -m l2cache`."""

from l2cache.ingest import main

main(prog_name="python -m l2cache")
