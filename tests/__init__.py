"""Tests, the harness that they stand on, and the benchmarks."""
