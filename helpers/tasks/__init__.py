"""The data: GLUE tasks from the hub, from a folder or generated, checked and turned into tokens."""

from helpers.tasks.glue import GLUE, NLI, TASKS, Task
from helpers.tasks.loading import TaskData, Text, encode, fetch, load, load_nli, load_text

__all__ = ["GLUE", "NLI", "TASKS", "Task", "TaskData", "Text", "encode", "fetch", "load", "load_nli", "load_text"]
