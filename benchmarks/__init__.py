"""Benchmarks: bayeskit alone, and side by side with its peers. README.md says how to read the figures."""
