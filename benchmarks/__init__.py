"""Benchmarks: ratios against what a user would pick instead, both sides in one run. Started by ``make bench``."""
