"""The data: GLUE tasks from the hub, from a folder or generated, checked and turned into tokens."""

from helpers.tasks.glue import GLUE, NLI, TASKS, Task
from helpers.tasks.leaderboard import load_test, to_tsv
from helpers.tasks.loading import VARIANTS, TaskData, fetch, load, load_nli, read_variants, with_variants
from helpers.tasks.text import Text, load_text
from helpers.tasks.tokens import BATCH_TOKENS, FIELDS, batches, collate, encode, pieces

__all__ = [
    "BATCH_TOKENS",
    "FIELDS",
    "GLUE",
    "NLI",
    "TASKS",
    "Task",
    "TaskData",
    "Text",
    "VARIANTS",
    "batches",
    "collate",
    "encode",
    "fetch",
    "load",
    "load_nli",
    "load_test",
    "load_text",
    "pieces",
    "read_variants",
    "to_tsv",
    "with_variants",
]
