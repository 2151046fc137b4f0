"""Exact flow maps: oracles of tests, benchmarks and documents."""
