"""The recipe of one run: every parameter, with its type and its default."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import get_type_hints

__all__ = ["BLOCKS", "FIELDS", "SETTINGS", "Recipe"]

BLOCKS = ("batch1_true", "batch1_padded", "batch32_true", "batch32_padded")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All parameters of one run. Field names are the notebooks' parameter names and the profile files' keys."""

    profile: str
    task: str
    seed: int = 0
    # where input comes from: "generated", a folder in the hub's layout, or a hub id
    data: str
    text: str | None = None
    nli: str | None = None
    # the language model: "built" (here, from the text), a folder or a hub id
    language_model: str
    language_model_sha256: str | None = None
    language_model_shape: dict[str, float] = field(default_factory=dict)
    vocabulary_size: int = 30522
    pretraining_steps: int = 0
    pretraining_batch_size: int = 64
    pretraining_learning_rate: float = 1.0e-3
    pretraining_masked_share: float = 0.15
    # the teacher: "fine-tuned" (here) or a folder or hub id of a fine-tuned classifier
    teacher: str = "fine-tuned"
    teacher_epochs: int
    teacher_learning_rate: float
    nli_epochs: int = 0  # epochs of natural language inference before the task
    # the student and its distillation
    student_shape: dict[str, float]
    student_start: str = (
        "random"  # random, embeddings (principal directions of the language model's) or a hub id or folder
    )
    layer_map: str | list[int] = "uniform"
    intermediate_epochs: int
    intermediate_learning_rate: float
    prediction_epochs: int
    prediction_learning_rate: float
    temperature: float = 1.0
    control_learning_rate: float | None = None  # of the student without a teacher; None: the prediction stage's
    # the same for every arm
    batch_size: int = 32
    max_length: int = 128
    warmup_fraction: float = 0.1
    weight_decay: float = 0.01
    precision: str = "auto"
    threads: int = 2
    # pruning
    pruning_amounts: list[float] = field(default_factory=lambda: [tenth / 10 for tenth in range(10)])
    recovery_amounts: list[float] = field(default_factory=list)
    recovery_epochs: int = 1
    # measuring time
    latency_threads: int = 2
    latency_repeats: int = 30
    latency_max_batches: int | None = None
    latency_blocks: list[str] = field(default_factory=lambda: list(BLOCKS))


FIELDS = {item.name: item for item in dataclasses.fields(Recipe)}
# profile, task and seed say which run it is: they are no settings of a profile
SETTINGS = {name: kind for name, kind in get_type_hints(Recipe).items() if name not in ("profile", "task", "seed")}
