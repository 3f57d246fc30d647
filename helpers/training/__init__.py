"""Train and apply models: fine-tuning and pretraining on one resumable loop."""

from helpers.training.fine_tuning import fine_tune, logits_of, read_curve, task_loss, write_curve
from helpers.training.loop import Batch, LengthBuckets, Training, check_whole_batches, fit, sum_of_parts
from helpers.training.pretraining import continue_pretraining, pretrain

__all__ = [
    "Batch",
    "LengthBuckets",
    "Training",
    "check_whole_batches",
    "continue_pretraining",
    "fine_tune",
    "fit",
    "logits_of",
    "pretrain",
    "read_curve",
    "sum_of_parts",
    "task_loss",
    "write_curve",
]
