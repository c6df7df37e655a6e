"""The look-up: attributes of L2 ids from the cache, and word of the ids that are not in it."""
