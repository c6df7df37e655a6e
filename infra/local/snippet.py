"""The Python that the demo shows at its end: from a root id to a table."""

from __future__ import annotations

_SNIPPET = """\
import pandas as pd
import requests

graph = "{graph_url}/segmentation/api/v1/table/{table}"
cache = "{lookup_url}/l2cache/api/v1/table/{table}"

root_id = {root_id}
l2_ids = requests.get(f"{{graph}}/node/{{root_id}}/leaves", params={{"stop_layer": 2}}).json()["leaf_ids"]
found = requests.post(f"{{cache}}/attributes", json={{"l2_ids": l2_ids}}).json()
nodes = pd.DataFrame.from_dict(found, orient="index").rename_axis("l2_id")
print(nodes[["size_nm3", "area_nm2", "max_dt_nm", "rep_coord_nm"]])
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
