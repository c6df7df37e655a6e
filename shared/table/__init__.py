"""Columns of tables for clients, and tables as Arrow and Parquet."""
