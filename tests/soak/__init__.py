"""An hour of mixed load on one process, and what it holds after each minute."""
