"""Ingests: a tree of tasks over the chunk grid, and what is known of their progress.

Here is what all of it shares; `control` is what operators ask for, `leaf` computes the chunks.
"""
