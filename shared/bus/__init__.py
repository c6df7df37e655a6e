"""The message bus, as a producer sees it."""
