"""What the three functions share: identity, features, graph, volume, store, bus and tasks."""
