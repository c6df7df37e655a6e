"""The message bus, as a producer sees it."""

from shared.bus.protocol import Publisher

__all__ = ["Publisher"]
