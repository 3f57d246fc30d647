"""One training on several processes, as `torchrun` and `accelerate launch` start them: each has a share of every batch.

All processes collate the same batches and draw the same masks as one process alone would, and keep every N-th row of
both. Gradients are averaged by PyTorch's `DistributedDataParallel`. Dropout is drawn by each process for itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

__all__ = ["Asked", "count", "number", "rand", "randint", "share", "size", "streams", "wait"]

_shared: torch.Generator | None = None  # while a loss is computed: what all processes draw alike
_rows = 0  # of the batch of all processes


def size() -> int:
    """Return how many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def number() -> int:
    """Return this process's number among them, from 0."""
    return int(os.environ.get("RANK", "0"))


def wait() -> None:
    """Wait until all processes have come here."""
    if size() > 1:
        torch.distributed.barrier()


def share(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return this process's rows of a batch (B, …), or the first, if there are fewer rows than processes.

    All of them have to compute a gradient. The mean over processes is the mean over rows where all have as many.
    """
    rows = len(next(iter(batch.values())))
    chosen = list(range(number(), rows, size())) or [0]
    return {name: value[chosen] for name, value in batch.items()}


def count(chosen: int, on: torch.device) -> float:
    """Return the mean over processes of how many were chosen here.

    A sum divided by it, rather than by what is here, has as its mean over processes the mean over all that are chosen.
    """
    if size() == 1:
        return chosen
    total = torch.tensor(float(chosen), device=on)
    torch.distributed.all_reduce(total)
    return total.item() / size()


@contextmanager
def streams(rows: int) -> Iterator[None]:
    """Inside, `rand` and `randint` draw the same in all processes, for a batch of `rows`; all else draws its own.

    After it the state of all is the same again, as far as `rand` and `randint` have gone.
    """
    global _shared, _rows
    _shared, _rows = torch.Generator(), rows
    _shared.set_state(torch.get_rng_state())
    torch.manual_seed(int(torch.randint(2**31, ())) + number())
    try:
        yield
    finally:
        torch.set_rng_state(_shared.get_state())
        _shared = None


def rand(like: Tensor) -> Tensor:
    """Return a number from 0 to 1 for each token (B, T) of this process's rows."""
    if _shared is None:
        return torch.rand(like.shape, device=like.device)
    return _mine(torch.rand((_rows, *like.shape[1:]), generator=_shared), like)


def randint(high: int, like: Tensor) -> Tensor:
    """Return a whole number below `high` for each token (B, T) of this process's rows."""
    if _shared is None:
        return torch.randint(high, like.shape, device=like.device)
    return _mine(torch.randint(high, (_rows, *like.shape[1:]), generator=_shared), like)


def _mine(drawn: Tensor, like: Tensor) -> Tensor:
    return share({"drawn": drawn})["drawn"].to(like.device)


class Asked(nn.Module):
    """A model whose `forward` is the loss: what `DistributedDataParallel` has to wrap.

    It is stored as the model alone, so that one process goes on where several stopped, and the other way round.
    """

    def __init__(self, model: nn.Module, loss) -> None:
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of this process's share of a batch, and its parts."""
        with streams(len(next(iter(batch.values())))):
            loss, parts = self.loss(self.model, share(batch))
        return loss, {name: value.detach() for name, value in parts.items()}

    def state_dict(self, *arguments, **others) -> dict[str, Tensor]:
        """Return the model's."""
        return self.model.state_dict(*arguments, **others)

    def load_state_dict(self, state_dict, *arguments, **others):
        """Load the model's."""
        return self.model.load_state_dict(state_dict, *arguments, **others)
