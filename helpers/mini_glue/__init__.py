"""The data of the `mini` profile, generated: five small tasks in GLUE's schema and a text corpus."""

from helpers.mini_glue.corpus import text
from helpers.mini_glue.generator import LABELS, ROWS, TASKS, load

__all__ = ["LABELS", "ROWS", "TASKS", "load", "text"]
