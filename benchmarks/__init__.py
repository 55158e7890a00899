"""Measurements of this project beside others: `python -m benchmarks.bench` on a CPU, `benchmarks.gpu` on a GPU."""
