"""Softmax attention among the tokens of a recording and one that stands for all of them."""

import torch
from torch import Tensor, nn

from eventzoo.errors import EventZooError
from eventzoo.nn.tokens.batch import padded


class SoftmaxEncoder(nn.Module):
    """Prepends a learnt class token to each recording, and of what torch's transformer layers make of all tokens, gives that one.

    Layers are normalised after each branch, have biases and no dropout, and begin with weights of their own. A normalisation follows the
    last.

    Source: Fang et al., "Event2Vec: Processing Neuromorphic Events Directly by Representations in Vector Space", 2025, arXiv:2504.15371,
    in its first version.

    Args:
        dim: Features of a token.
        feedforward: Features between a layer's two linear layers.
        heads: Heads of a layer's attention.
        layers: Layers.

    Raises:
        EventZooError: The heads do not divide the features.

    Shapes:
        x: `[N, dim]`; start: where each recording's tokens begin, and where the last one's end, int64 `[B + 1]`.
        output: Each recording's class token `[B, dim]`, and where each recording's tokens begin.
    """

    def __init__(self, dim: int, feedforward: int, heads: int, layers: int) -> None:
        super().__init__()
        if dim % heads:
            raise EventZooError(f"{heads} heads cannot share {dim} features equally")
        self.class_token = nn.Parameter(torch.zeros(dim))
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(dim, heads, feedforward, dropout=0.0, batch_first=True) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
        """Attend."""
        dense, mask = padded(x, start)
        dense = torch.cat([self.class_token.expand(len(dense), 1, -1), dense], 1)
        absent = nn.functional.pad(~mask, (1, 0))
        for layer in self.layers:
            dense = layer(dense, src_key_padding_mask=absent)
        return self.norm(dense[:, 0]), torch.arange(len(start), device=start.device)
