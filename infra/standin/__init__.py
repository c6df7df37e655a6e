"""Doubles for what a deployment has and one machine has not: a chunked graph with its server, and a made brain."""
