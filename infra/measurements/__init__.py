"""What benchmarks have measured: recorded in `docs/performance.json`, shown by `docs/performance.md`."""
