"""Malformed requests and messages, by the hundred thousand, at the three functions in this process."""
