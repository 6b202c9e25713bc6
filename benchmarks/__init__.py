"""Benchmarks, one file per figure: each `run()` measures a figure and its limit in the same run."""
