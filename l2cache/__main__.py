"""`python -m l2cache`."""

from l2cache.commands import main

main(prog_name="python -m l2cache")
