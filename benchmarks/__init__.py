"""Figures against other servers: ``python -m benchmarks``, or ``make bench``."""
