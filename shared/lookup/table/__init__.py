"""Answers as tables: columns, Arrow and CSV."""
