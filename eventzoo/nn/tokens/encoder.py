"""Layers of attention and of single tokens, one after the other."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from eventzoo.errors import EventZooError
from eventzoo.nn.tokens.batch import sample_of

Norm = Literal["layer", "rms"]


class EncoderLayer(nn.Module):
    """Attention among tokens, then two linear layers, each added to what goes in and normalised.

    x ← N₁(x + Attention(x)), x ← N₂(x + W₂ ReLU(W₁ x)).

    Args:
        dim: Features of a token.
        feedforward: Features between the linear layers.
        attention: Attention, called with tokens and where recordings begin.
        drop_path: Share of the recordings for which a branch is left out in training.
        norm: Normalisation.
    """

    def __init__(self, dim: int, feedforward: int, attention: nn.Module, drop_path: float = 0.0, norm: Norm = "layer") -> None:
        super().__init__()
        self.attention = attention
        self.widen, self.narrow = nn.Linear(dim, feedforward, bias=False), nn.Linear(feedforward, dim, bias=False)
        self.activation = nn.ReLU()
        self.norm1, self.norm2 = make_norm(norm, dim), make_norm(norm, dim)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, start: Tensor) -> Tensor:
        """Features of tokens `[N, dim]`, of recordings that begin at `start`, int64 `[B + 1]`."""
        x = self.norm1(x + self.drop_path(self.attention(x, start), start))
        return self.norm2(x + self.drop_path(self.narrow(self.activation(self.widen(x))), start))  # type: ignore[no-any-return]


class DropPath(nn.Module):
    """Leaves a branch out for some recordings in training, and scales it up for the others (Huang et al., "Deep Networks with Stochastic
    Depth", ECCV 2016).

    Args:
        share: Of the recordings for which it is left out, at least 0 and less than 1.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        if not 0 <= share < 1:
            raise EventZooError(f"drop_path is a share of at least 0 and less than 1, not {share}")
        self.share = share

    def forward(self, x: Tensor, start: Tensor) -> Tensor:
        """The branch's tokens `[N, C]`."""
        if self.share == 0 or not self.training:
            return x
        kept = (torch.rand(len(start) - 1, device=x.device) >= self.share) / (1 - self.share)
        return x * kept[sample_of(start), None]


def make_norm(norm: Norm, dim: int) -> nn.Module:
    """A normalisation of single tokens, with an epsilon of 1e-5."""
    made: Callable[..., nn.Module] = {"layer": nn.LayerNorm, "rms": nn.RMSNorm}[norm]
    return made(dim, eps=1e-5)
