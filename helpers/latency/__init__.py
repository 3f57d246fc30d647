"""How long models take, so that two times can be compared."""

from helpers.latency.floors import Rates, floor_ms, matrix_rates, operations, read_rate, weight_bytes
from helpers.latency.rounds import factors, rounds
from helpers.latency.timing import measure, peak_memory_mb
from helpers.latency.turns import TURN, wait_for_turn, waited, waited_file

__all__ = [
    "TURN",
    "Rates",
    "factors",
    "floor_ms",
    "matrix_rates",
    "measure",
    "operations",
    "peak_memory_mb",
    "read_rate",
    "rounds",
    "wait_for_turn",
    "waited",
    "waited_file",
    "weight_bytes",
]
