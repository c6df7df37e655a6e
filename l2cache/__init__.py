"""The operators' terminal client: `l2cache --help`."""
