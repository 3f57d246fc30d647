"""How long models take, so that two times can be compared."""

from helpers.latency.timing import measure, peak_memory_mb
from helpers.latency.turns import TURN, wait_for_turn, waited, waited_file

__all__ = ["TURN", "measure", "peak_memory_mb", "wait_for_turn", "waited", "waited_file"]
