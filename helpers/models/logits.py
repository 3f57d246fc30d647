"""A classifier that is asked for its logits and nothing else."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["Logits"]


class Logits(nn.Module):
    """A classifier that returns its logits `[B, C]` in float32."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, token_type_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the logits for `[B, T]` ids, segments and mask."""
        return self.model(
            input_ids=input_ids, token_type_ids=token_type_ids, attention_mask=attention_mask
        ).logits.float()
