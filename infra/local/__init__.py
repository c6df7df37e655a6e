"""The whole system on one machine, and the demo on it."""
