"""A discrete-event simulation of an ingest on Cloud Tasks: `python -m infra.simulation`; of an audit, an export and an
import, beside what their plans say: `python -m infra.simulation.operations`.

What is planned, expanded, named, marked and added up is done by the real code; simulated are the queue with its limits
and latencies, the workers, and how long a chunk takes.
"""
