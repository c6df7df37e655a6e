"""The queue of tasks, as a producer sees it."""
