"""What is told of the work: structured records, traces, the time of steps."""
