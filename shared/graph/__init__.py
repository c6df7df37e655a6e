"""The chunked graph: which supervoxels belong to which L2 node, and when."""

from shared.graph.protocol import Graph, GraphSource, L2Mapping
from shared.graph.registry import Graphs

__all__ = ["Graph", "GraphSource", "Graphs", "L2Mapping"]
