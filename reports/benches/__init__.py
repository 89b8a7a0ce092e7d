"""Benchmarks: what is measured, how, against what, and what the issue's targets ask for."""
