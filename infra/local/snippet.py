"""The Python that the demo shows at its end: from a root id to a table."""

from __future__ import annotations

_SNIPPET = """\
from caveclient.auth import AuthClient
from caveclient.chunkedgraph import ChunkedGraphClient
from caveclient.l2cache import L2CacheClient

auth = AuthClient(token="none")  # authentication is off here
graph = ChunkedGraphClient("{graph_url}", table_name="{table}", auth_client=auth)
cache = L2CacheClient("{lookup_url}", table_name="{table}", auth_client=auth)

l2_ids = graph.get_leaves({root_id}, stop_layer=2)
nodes = cache.get_l2data_table(l2_ids)
print(nodes[["size_nm3", "area_nm2", "max_dt_nm", "rep_coord_nm_x"]])
print(f"{{len(nodes)}} L2 nodes, {{nodes.size_nm3.sum() / 1e9:.1f}} µm³")
"""


def root_to_table(graph_url: str, lookup_url: str, table: str, root_id: int) -> str:
    """Python that makes a DataFrame of a neuron's L2 nodes, ready to be copied.

    Args:
      graph_url: base address of the graph server.
      lookup_url: base address of the look-up function.
      table: the graph's name.
      root_id: a neuron.
    """
    return _SNIPPET.format(graph_url=graph_url, lookup_url=lookup_url, table=table, root_id=root_id)
