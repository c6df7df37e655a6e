"""What several tests and benchmarks use; no tests."""
