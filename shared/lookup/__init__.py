"""The look-up: attributes of L2 ids from the cache, and word of the ids that are not in it."""

from shared.lookup.query import Query, parse_query
from shared.lookup.service import Lookup, LookupService

__all__ = ["Lookup", "LookupService", "Query", "parse_query"]
