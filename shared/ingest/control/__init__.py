"""What an operator asks for: planning, starting, watching and stopping ingests, and expanding their tasks."""
