"""Making Bigtable tables and column families."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from shared.google.bigtable.address import InstanceAddress, TableAddress

if TYPE_CHECKING:
    from google.cloud.bigtable_admin_v2 import BigtableTableAdminClient
    from google.cloud.bigtable_admin_v2.types import GcRule

_MAX_VERSIONS = re.compile(r"max_num_versions: (\d+)")
_MAX_AGE = re.compile(r"max_age \{ seconds: (\d+) \}")


def create_table(project: str, instance: str, table_id: str, families: Mapping[str, str | None]) -> bool:
    """Makes an empty table; False if it exists.

    Args:
      project: Google Cloud project.
      instance: Bigtable instance.
      table_id: the new table.
      families: family -> None, `max_num_versions: N`, `max_age { seconds: N }`, or several of them with `or` between.

    Raises:
      google.api_core.exceptions.GoogleAPICallError: if Bigtable does not make it.
    """
    from google.api_core.exceptions import AlreadyExists
    from google.cloud.bigtable_admin_v2.types import ColumnFamily, CreateTableRequest, Table

    column_families = {family: ColumnFamily(gc_rule=_gc_rule(rule)) for family, rule in families.items()}
    request = CreateTableRequest(
        parent=InstanceAddress(project, instance).path,
        table_id=table_id,
        table=Table(column_families=column_families),
    )
    with _admin_client() as client:
        try:
            client.create_table(request=request)
        except AlreadyExists:
            return False
    return True


def add_families(project: str, instance: str, table_id: str, families: Mapping[str, str | None]) -> None:
    """Makes column families of a table that are not there yet; the others are left as they are.

    Args:
      project: Google Cloud project.
      instance: Bigtable instance.
      table_id: the table.
      families: as `create_table` takes them.

    Raises:
      google.api_core.exceptions.GoogleAPICallError: if Bigtable does not make them.
    """
    from google.api_core.exceptions import AlreadyExists
    from google.cloud.bigtable_admin_v2.types import ColumnFamily, ModifyColumnFamiliesRequest

    name = TableAddress(project, instance, table_id).path
    with _admin_client() as client:
        # one by one: a request that makes one that is there makes none
        for family, rule in families.items():
            made = ModifyColumnFamiliesRequest.Modification(id=family, create=ColumnFamily(gc_rule=_gc_rule(rule)))
            with suppress(AlreadyExists):
                client.modify_column_families(name=name, modifications=[made])


def _gc_rule(rule: str | None) -> GcRule | None:
    from google.cloud.bigtable_admin_v2.types import GcRule

    if rule is None:
        return None
    if len(parts := rule.split(" or ")) > 1:
        return GcRule(union=GcRule.Union(rules=[_gc_rule(part) for part in parts]))
    if versions := _MAX_VERSIONS.fullmatch(rule):
        return GcRule(max_num_versions=int(versions[1]))
    if age := _MAX_AGE.fullmatch(rule):
        return GcRule(max_age=timedelta(seconds=int(age[1])))
    raise ValueError(f"{rule!r} is no rule for old cells")


def _admin_client() -> BigtableTableAdminClient:
    """A client; unlike the data client, it does not look for an emulator by itself."""
    from google.cloud.bigtable_admin_v2 import BigtableTableAdminClient
    from google.cloud.bigtable_admin_v2.services.bigtable_table_admin.transports import BigtableTableAdminGrpcTransport

    emulator = os.environ.get("BIGTABLE_EMULATOR_HOST")
    if not emulator:
        return BigtableTableAdminClient()
    import grpc

    return BigtableTableAdminClient(transport=BigtableTableAdminGrpcTransport(channel=grpc.insecure_channel(emulator)))
