"""A stand-in for the graph server: a chunked graph with history in memory, its edits, and its HTTP interface."""
