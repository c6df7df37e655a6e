"""The cache tables: what a store promises, whatever holds the rows."""
