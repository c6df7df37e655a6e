"""What everything on Cloud Bigtable shares: addresses of tables, and one client per project."""

from shared.bigtable.address import TableAddress
from shared.bigtable.clients import DataClients

__all__ = ["DataClients", "TableAddress"]
