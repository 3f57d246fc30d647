"""The data: GLUE tasks from the hub, from a folder or generated, checked and turned into tokens."""

from helpers.tasks.glue import GLUE, NLI, TASKS, Task
from helpers.tasks.loading import TaskData, Text, fetch, load, load_nli, load_text
from helpers.tasks.tokens import FIELDS, collate, encode, pieces

__all__ = [
    "FIELDS",
    "GLUE",
    "NLI",
    "TASKS",
    "Task",
    "TaskData",
    "Text",
    "collate",
    "encode",
    "fetch",
    "load",
    "load_nli",
    "load_text",
    "pieces",
]
