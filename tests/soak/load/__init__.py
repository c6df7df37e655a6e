"""What goes on while faults are injected: ingests, edits, look-ups."""
