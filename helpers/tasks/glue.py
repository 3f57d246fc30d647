"""The GLUE tasks that the study knows: their columns of text and their labels."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["GLUE", "NLI", "TASKS", "Task"]


@dataclass(frozen=True)
class Task:
    """A task's columns of text and its label names in GLUE's order; `labels` is empty for regression."""

    name: str
    text: tuple[str, ...]
    labels: tuple[str, ...] = ()
    validation: str = "validation"

    @property
    def outputs(self) -> int:
        """Size of the classifier's output: classes, or 1 for regression."""
        return len(self.labels) or 1


_INFERENCE = ("entailment", "neutral", "contradiction")
_DUPLICATE = ("not_duplicate", "duplicate")
TASKS = {
    task.name: task
    for task in (
        Task("cola", ("sentence",), ("unacceptable", "acceptable")),
        Task("rte", ("sentence1", "sentence2"), ("entailment", "not_entailment")),
        Task("stsb", ("sentence1", "sentence2")),
        Task("qnli", ("question", "sentence"), ("entailment", "not_entailment")),
        Task("sst2", ("sentence",), ("negative", "positive")),
        Task("mrpc", ("sentence1", "sentence2"), ("not_equivalent", "equivalent")),
        Task("qqp", ("question1", "question2"), _DUPLICATE),
        Task("mnli", ("premise", "hypothesis"), _INFERENCE, validation="validation_matched"),
    )
}
NLI = Task("nli", ("premise", "hypothesis"), _INFERENCE)
GLUE = "nyu-mll/glue"
