"""Bigtable: addresses, clients, reading and writing rows through bare protocol buffers."""
