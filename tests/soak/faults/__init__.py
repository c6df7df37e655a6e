"""Everything that is done to the stack while it works."""
