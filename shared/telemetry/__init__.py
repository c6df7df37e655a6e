"""Telemetry: structured records, traces, the time of steps."""
