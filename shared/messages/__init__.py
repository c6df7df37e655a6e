"""The messages of the bus, and the envelopes that they are delivered in."""
