"""The look-up: attributes of L2 ids from the cache, and messages about the ids that are not in it."""
