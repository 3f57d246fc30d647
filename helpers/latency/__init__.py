"""How long models take, so that two times can be compared."""

from helpers.latency.timing import measure, peak_memory_mb

__all__ = ["measure", "peak_memory_mb"]
