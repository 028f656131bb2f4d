"""Convolution of event streams: learned exponentials in time for each cell of a stencil in space."""

import math
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot, softplus

from eventzoo.errors import EventZooError
from eventzoo.nn.event_stream import StreamEdges, TraceEdges

Positive = Literal["projection", "softplus"]
"""How decays are kept from being negative: set to zero where a step of the optimiser made them so, or the softplus of what is learned."""


class EventConv(nn.Module):
    r"""Convolution of an event stream with truncated exponentials.

    .. math::
        y_o = b + \\sum_p \\sum_k \\Big( \\sum_{j \\in E(o, p)} e^{-\\lambda_{pk} d_{oj}} x_j \\Big) W_{pk}

    with the stencil's cells p, K exponentials k for each, and the events j that o looks at in a cell, d decay times ago.

    Source: Jack et al., "Sparse Convolutions on Continuous Domains for Point Cloud and Event Stream Networks", ACCV 2020.

    Args:
        in_channels: Features of an incoming event; 2 if they are polarities.
        out_channels: Features of an outgoing event.
        cells: Cells of the stencil.
        decays: Exponentials K of a cell.
        binary: Whether the incoming features are polarities, bool `[N_in]`, each taken as two features, one for each polarity.
        positive: How decays are kept from being negative.

    Raises:
        EventZooError: A setting is out of its range.

    Shapes:
        weight: `[cells, decays, in_channels, out_channels]`; decay: `[cells, decays]`; bias: `[out_channels]`.
        input: `[N_in, in_channels]`, or bool `[N_in]`, and the `StreamEdges`.
        output: `[N_out, out_channels]`.
    """

    def __init__(
        self, in_channels: int, out_channels: int, cells: int, decays: int = 4, binary: bool = False, positive: Positive = "projection"
    ) -> None:
        super().__init__()
        if min(in_channels, out_channels, cells, decays) < 1 or (binary and in_channels != 2) or positive not in get_args(Positive):
            raise EventZooError("EventConv: …")
        self.in_channels, self.out_channels, self.cells, self.decays = in_channels, out_channels, cells, decays
        self.binary, self.positive = binary, positive
        self.weight = nn.Parameter(torch.empty(cells, decays, in_channels, out_channels))
        self.decay = nn.Parameter(torch.empty(cells, decays))
        self.bias = nn.Parameter(torch.empty(out_channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """As ECN's code does: Glorot's uniform weights, all decays one, bias zero."""
        fan_in = self.cells * self.decays * self.in_channels
        fan_out = self.cells * self.out_channels * (1 if self.binary else self.decays)
        bound = math.sqrt(6 / (fan_in + fan_out))
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.constant_(self.decay, 1.0 if self.positive == "projection" else math.log(math.expm1(1.0)))
        nn.init.zeros_(self.bias)

    def rates(self) -> Tensor:
        """The decays λ as they are used, at least 0: `[cells, decays]`."""
        return softplus(self.decay) if self.positive == "softplus" else self.decay.clamp(min=0)

    def forward(self, x: Tensor, edges: StreamEdges) -> Tensor:
        """Convolve the features of a stream."""
        if self.training and self.positive == "projection":
            with torch.no_grad():
                self.decay.clamp_(min=0)
        if self.binary:
            x = one_hot(x.long(), 2).to(self.weight.dtype)
        count = len(edges.start) - 1
        cell = edges.cell.long()
        row = torch.repeat_interleave(torch.arange(count), edges.start.diff()) * self.cells + cell
        fading = torch.exp(-self.rates()[cell] * edges.age[:, None].to(x.dtype))
        sums = x.new_zeros(count * self.cells, self.decays, x.shape[1]).index_add_(0, row, fading[:, :, None] * x[edges.source.long(), None])
        return sums.view(count, -1) @ self.weight.flatten(0, 2) + self.bias


class TraceConv(nn.Module):
    """Placeholder until it is written."""

    def __init__(self, in_channels: int, out_channels: int, cells: int, decays: int = 4, binary: bool = False) -> None:
        super().__init__()

    def forward(self, x: Tensor, edges: TraceEdges) -> Tensor:
        raise NotImplementedError
