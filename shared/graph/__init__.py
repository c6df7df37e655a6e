"""The chunked graph: which supervoxels belong to which L2 node, and when."""

from shared.graph.protocol import Graph, GraphSource
from shared.graph.registry import Graphs

__all__ = ["Graph", "GraphSource", "Graphs"]
