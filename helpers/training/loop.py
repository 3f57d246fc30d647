"""One training loop on `transformers.Trainer` for every loss: resumable, with the same batches."""

from __future__ import annotations

import gc
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor, nn
from torch.utils.data import DataLoader, Sampler
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import PrinterCallback
from transformers.trainer_utils import rotate_checkpoints

from helpers.artifacts.store import CHECKPOINTS, SPENT, spent
from helpers.environment import InputError, RunError, quiet, set_seed
from helpers.models import own_tensors
from helpers.tasks import collate
from helpers.training import together

__all__ = ["Batch", "LengthBuckets", "Loss", "Training", "check_whole_batches", "fit", "sum_of_parts"]

Batch = dict[str, Tensor]
Loss = Callable[[nn.Module, Batch], tuple[Tensor, dict[str, Tensor]]]


@dataclass(frozen=True, kw_only=True)
class Training:
    """How long and how fast to train. All of it, with the kind of device, goes into an artifact's key."""

    epochs: int
    learning_rate: float
    batch_size: int = 32
    warmup_fraction: float = 0.1
    weight_decay: float = 0.01
    precision: str = "float32"
    device: str = "cpu"
    seed: int = 0


class LengthBuckets(Sampler[list[int]]):
    """Batches of rows of similar length, in an order that depends on the seed and the epoch alone.

    Trainer's own length grouping draws from the global random state, so a resumed run would see other batches.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        batch_size: int,
        *,
        seed: int,
        epoch: Callable[[], int] = lambda: 0,
        drop_incomplete: bool = False,
    ) -> None:
        self.lengths, self.batch_size, self.seed, self.epoch = np.asarray(lengths), batch_size, seed, epoch
        self.drop_incomplete = drop_incomplete

    def __len__(self) -> int:
        whole, rest = divmod(len(self.lengths), self.batch_size)
        return whole if self.drop_incomplete or not rest else whole + 1

    def __iter__(self) -> Iterator[list[int]]:
        random = np.random.default_rng([self.seed, self.epoch()])
        order = random.permutation(len(self.lengths))[: len(self) * self.batch_size]
        pools = [order[i : i + 50 * self.batch_size] for i in range(0, len(order), 50 * self.batch_size)]
        order = np.concatenate([pool[np.argsort(-self.lengths[pool], kind="stable")] for pool in pools])
        batches = [order[i : i + self.batch_size].tolist() for i in range(0, len(order), self.batch_size)]
        return iter([batches[i] for i in random.permutation(len(batches))])


def check_whole_batches(rows: int, batch_size: int) -> None:
    """Raise `InputError` if so many rows do not fill one batch."""
    if rows < batch_size:
        raise InputError(
            f"{rows} rows fill no batch of {batch_size}: set drop_incomplete to false, or a lower batch_size."
        )


def sum_of_parts(model: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
    """A loss for `fit` of a module whose `forward` returns the parts of the loss by name."""
    parts = model(**batch)
    return sum(parts.values()), parts


def fit(
    model: nn.Module,
    rows: Dataset,
    *,
    loss: Loss,
    training: Training,
    folder: Path,
    collator: Callable[[Sequence[Mapping]], Batch] = collate,
    max_steps: int | None = None,
    first_epoch: int = 0,
    after_step: Callable[[nn.Module], None] | None = None,
    optimizer: str = "adamw_torch_fused",
    drop_incomplete: bool = False,
) -> list[dict[str, float]]:
    """Train `model` in place and return its learning curve: {step, loss, and each part of the loss}.

    Checkpoints lie in `folder/checkpoints`; if a complete one is there, training goes on from it and ends where an
    uninterrupted run ends. `first_epoch` numbers the first epoch, on which the order of the rows depends. `after_step`
    is called with the model after every optimizer step. With `drop_incomplete` an epoch has whole batches only. Chance
    belongs into `loss`: batches are collated ahead of their step, so a resumed run would not draw again what `collator`
    drew. Raises `RunError` when the loss is no longer finite, `InputError` if the rows do not fill one batch where only
    whole ones count.
    """
    if training.epochs == 0 or max_steps == 0:
        return []
    data = rows.to_list()  # one by one they would take ten times as long
    if drop_incomplete:
        check_whole_batches(len(data), training.batch_size)
    buckets = LengthBuckets(
        [len(row["input_ids"]) for row in data],
        training.batch_size,
        seed=training.seed,
        drop_incomplete=drop_incomplete,
    )
    total = max_steps or len(buckets) * training.epochs
    logged_every = max(1, total // 20)
    # a checkpoint right after an entry of the curve: a resumed run then has the same curve, too
    saved_every = logged_every * math.ceil(max(50, total // 20) / logged_every)
    checkpoints = folder / CHECKPOINTS
    quiet()
    arguments = TrainingArguments(
        output_dir=str(checkpoints),
        num_train_epochs=training.epochs,
        max_steps=max_steps or -1,
        per_device_train_batch_size=training.batch_size,
        learning_rate=training.learning_rate,
        warmup_steps=int(training.warmup_fraction * total),
        weight_decay=training.weight_decay,
        optim=optimizer,
        bf16=training.precision == "bf16",
        use_cpu=training.device == "cpu",
        seed=training.seed,
        save_steps=saved_every,
        logging_steps=logged_every,
        logging_nan_inf_filter=False,
        report_to="none",
        disable_tqdm=os.environ.get("STUDY_PROGRESS") == "0" or together.number() > 0,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        log_level="error",
        ddp_backend="gloo" if training.device == "cpu" and together.size() > 1 else None,
        ddp_find_unused_parameters=True,
    )
    if together.size() > 1:
        model = together.Asked(model, loss)
    steps = _Steps(after_step, began=time.monotonic() - spent(folder))
    trainer = _Trainer(model=model, args=arguments, train_dataset=data, data_collator=collator, callbacks=[steps])
    trainer.loss, trainer.buckets, trainer.first_epoch = loss, buckets, first_epoch
    trainer.remove_callback(PrinterCallback)
    set_seed(training.seed)
    with arguments.main_process_first(local=False):
        last = _last_complete(checkpoints)
    trainer.train(resume_from_checkpoint=last)
    curve = [
        {name: value for name, value in entry.items() if name not in ("epoch", "learning_rate", "grad_norm")}
        for entry in trainer.state.log_history
        if "loss" in entry
    ]
    # a trainer refers to itself: what its batches were read from would stay in memory until a collection comes by
    del trainer, buckets
    gc.collect()
    return curve


class _Trainer(Trainer):
    """Trainer with our batches, our loss, and the parts of the loss in its log."""

    loss: Loss
    buckets: LengthBuckets
    first_epoch: int

    def get_train_dataloader(self) -> DataLoader:
        self.buckets.epoch = lambda: self.first_epoch + self.state.global_step // len(self.buckets)
        loader = DataLoader(self.train_dataset, batch_sampler=self.buckets, collate_fn=self.data_collator)
        self.parts: dict[str, list[Tensor]] = {}
        # each of several processes takes its share of a batch itself: what it draws depends on the whole one
        return loader if together.size() > 1 else self.accelerator.prepare(loader)

    def compute_loss(self, model: nn.Module, inputs: Batch, **_: object) -> Tensor:
        loss, parts = model(inputs) if together.size() > 1 else self.loss(model, inputs)
        for name, value in parts.items():
            self.parts.setdefault(name, []).append(value.detach())
        return loss

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Tensor] | None = None) -> None:
        # each weight once: the library refuses layers that have some in common
        super()._save(output_dir, state_dict or own_tensors(_alone(self.model)))

    def _issue_warnings_after_load(self, found: Any) -> None:
        # so the second name of a shared weight is missing where training goes on; anything else must not be
        wrong = [*found.unexpected_keys, *(set(found.missing_keys) & own_tensors(_alone(self.model)).keys())]
        if wrong:
            raise RuntimeError(f"The checkpoint does not fit the model: {', '.join(sorted(wrong)[:3])}.")

    def log(self, logs: dict[str, float], *others: object) -> None:
        # the last entry has no loss but the mean over all steps: it tells of a step after the curve's last entry
        if not math.isfinite(logs.get("loss", logs.get("train_loss", 0.0))):
            raise RunError(
                f"The loss is no longer finite after {self.state.global_step} steps; lower the learning rate "
                f"({self.args.learning_rate}) or use float32."
            )
        if "loss" in logs:
            parts = {name: torch.stack(values).mean() for name, values in self.parts.items()}
            logs |= {name: self.accelerator.gather(value).mean().item() for name, value in parts.items()}
        self.parts = {}
        super().log(logs, *others)


class _Steps(TrainerCallback):
    """Call `after_step`, and mark a checkpoint as whole: only then may a killed run go on from it."""

    def __init__(self, after_step: Callable[[nn.Module], None] | None, *, began: float) -> None:
        self.after_step, self.began = after_step, began

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, *, model: nn.Module, **_: object
    ) -> None:
        if self.after_step:
            self.after_step(_alone(model))
        # Trainer saves the last step, too: of no use when the result follows, and mid-epoch it resumes one step too far
        control.should_save = control.should_save and state.global_step < state.max_steps

    def on_save(self, args: TrainingArguments, state: TrainerState, *_: object, **__: object) -> None:
        together.wait()  # each process writes its part of a checkpoint
        if not state.is_world_process_zero:
            return
        (Path(args.output_dir) / SPENT).write_text(str(time.monotonic() - self.began), encoding="utf-8")
        (Path(args.output_dir) / f"checkpoint-{state.global_step}" / "complete").touch()
        # by their steps: Trainer itself goes by the clock, and where that was set back it removes the newest
        rotate_checkpoints(args.output_dir, save_total_limit=2)


def _alone(model: nn.Module) -> nn.Module:
    """Return the model without what several processes wrap around it."""
    return model.model if isinstance(model, together.Asked) else model


def _last_complete(checkpoints: Path) -> str | None:
    found = sorted(checkpoints.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    for path in found:
        if not (path / "complete").exists():
            shutil.rmtree(path)
    whole = [path for path in found if path.exists()]
    return str(whole[-1]) if whole else None
