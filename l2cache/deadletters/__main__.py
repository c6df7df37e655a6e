"""`python -m l2cache.deadletters`."""

from l2cache.deadletters.commands import main

main(prog_name="python -m l2cache.deadletters")
