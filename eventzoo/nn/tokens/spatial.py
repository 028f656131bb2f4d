"""What a token knows of where its event is, and of its polarity."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from eventzoo.errors import EventZooError
from eventzoo.nn.tokens.batch import TokenBatch


class SpatialEmbedding(nn.Module, ABC):
    """Base of embeddings of pixel and polarity, of which there are finitely many.

    Where a batch has more tokens than there are places (pixels × polarities), each place is embedded once: the result is the same.

    Args:
        sensor_size: `(width, height)` in pixels.
        dim: Features of a token.

    Shapes:
        input: A `TokenBatch` of N events.
        output: float32 `[N, dim]`.
    """

    def __init__(self, sensor_size: tuple[int, int], dim: int) -> None:
        super().__init__()
        self.sensor_size, self.dim = (int(sensor_size[0]), int(sensor_size[1])), dim

    @abstractmethod
    def embed(self, x: Tensor, y: Tensor, p: Tensor) -> Tensor:
        """`[N, dim]` of columns, rows and polarities (1 for brighter), int64 `[N]` each."""

    def table(self) -> Tensor:
        """The embeddings of all places, `[2 * height * width, dim]`: place (p · height + y) · width + x."""
        width, height = self.sensor_size
        place = torch.arange(2 * height * width, device=next(self.parameters()).device)
        return self.embed(place % width, place // width % height, place // (width * height))

    def forward(self, batch: TokenBatch) -> Tensor:
        """Embed."""
        width, height = self.sensor_size
        x, y, p = batch.x.long(), batch.y.long(), batch.p.long()
        if len(x) > 2 * height * width:
            return nn.functional.embedding((p * height + y) * width + x, self.table())
        return self.embed(x, y, p)


class ParametricEmbedding(SpatialEmbedding):
    """Coordinates and polarity, each mapped to [-1, 1], through three linear layers.

    φ(x, y, p) = LN(W₃ ReLU(LN(W₂ ReLU(LN(W₁ (x̄, ȳ, p̄)))))), of d/4, d/2 and d features. Near pixels begin near to each other.

    Source: Fang et al., "Event2Vec: Processing Neuromorphic Events Directly by Representations in Vector Space", 2025, arXiv:2504.15371.

    Args:
        sensor_size: `(width, height)` in pixels, both above 1.
        dim: Features of a token, divisible by four.
    """

    def __init__(self, sensor_size: tuple[int, int], dim: int) -> None:
        super().__init__(sensor_size, dim)
        if dim % 4 or min(sensor_size) < 2:
            raise EventZooError(
                f"a parametric embedding needs a dim divisible by 4 and a sensor of 2×2 at least, not {dim} and {sensor_size}"
            )
        self.layers = nn.Sequential(
            nn.Linear(3, dim // 4, bias=False),
            nn.LayerNorm(dim // 4),
            nn.ReLU(),
            nn.Linear(dim // 4, dim // 2, bias=False),
            nn.LayerNorm(dim // 2),
            nn.ReLU(),
            nn.Linear(dim // 2, dim, bias=False),
            nn.LayerNorm(dim),
        )

    def embed(self, x: Tensor, y: Tensor, p: Tensor) -> Tensor:
        """Embed."""
        width, height = self.sensor_size
        scale = torch.tensor([2 / (width - 1), 2 / (height - 1), 2], device=x.device)
        return self.layers(torch.stack([x, y, p], 1) * scale - 1)  # type: ignore[no-any-return]
