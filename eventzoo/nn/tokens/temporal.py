"""What a token knows of when its event was."""

import itertools
from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from eventzoo.errors import EventZooError
from eventzoo.nn.tokens.batch import TokenBatch, sample_of

Gaps = Literal["linear", "log"]
"""Whether a gap g between events, in units of the time scale, counts as g or as log(1 + g)."""


class TemporalEmbedding(nn.Module, ABC):
    """Base of embeddings of time.

    Args:
        dim: Features of a token.
        time_scale: Microseconds that count as 1; None for the duration of each recording, which a stream cannot know.

    Shapes:
        input: A `TokenBatch` of N events.
        output: float32 `[N, dim]`.
    """

    def __init__(self, dim: int, time_scale: int | None = None) -> None:
        super().__init__()
        if time_scale is not None and time_scale < 1:
            raise EventZooError(f"time_scale is in whole microseconds, at least 1, or null, not {time_scale}")
        self.dim, self.time_scale = dim, time_scale

    @abstractmethod
    def forward(self, batch: TokenBatch) -> Tensor:
        """Embed."""

    def scaled(self, microseconds: Tensor, batch: TokenBatch) -> Tensor:
        """Times or differences of times, int64 `[N]`, in units of the time scale, float32 `[N]`."""
        if self.time_scale is not None:
            return (microseconds.double() / self.time_scale).float()
        sample = sample_of(batch.start)
        last = batch.t[batch.start[sample + 1] - 1]  # of recordings that have tokens
        return (microseconds.double() / last.clamp(min=1)).float()


class ScaledTime(TemporalEmbedding):
    """The time since the recording's first event, the same for all features; nothing is learnt.

    Source: `add` of Event2Vec's first version (Fang et al., 2025, arXiv:2504.15371).
    """

    def forward(self, batch: TokenBatch) -> Tensor:
        """Embed."""
        return self.scaled(batch.t, batch)[:, None].expand(-1, self.dim)


class Time2Vec(TemporalEmbedding):
    """One linear function of the time since the recording's first event, and sines of others.

    Source: Kazemi et al., "Time2Vec: Learning a Vector Representation of Time", 2019, arXiv:1907.05321.
    """

    def __init__(self, dim: int, time_scale: int | None = None) -> None:
        super().__init__(dim, time_scale)
        self.linear = nn.Linear(1, dim)

    def forward(self, batch: TokenBatch) -> Tensor:
        """Embed."""
        phase = self.linear(self.scaled(batch.t, batch)[:, None])
        return torch.cat([phase[:, :1], phase[:, 1:].sin()], 1)


class SinusoidalTime(TemporalEmbedding):
    """Sines and cosines of the time t since the recording's first event, times a scale s that is learnt and begins as 1000.

    Feature 2j is sin(s t / 10000^(2j / dim)), feature 2j + 1 the cosine of the same.

    Source: Vaswani et al., "Attention Is All You Need", NeurIPS 2017, of times in place of positions, as Event2Vec's third version has it.

    Args:
        dim: Features of a token, even.
        time_scale: As in `TemporalEmbedding`.
    """

    def __init__(self, dim: int, time_scale: int | None = None) -> None:
        super().__init__(dim, time_scale)
        if dim % 2:
            raise EventZooError(f"sines and cosines of time need an even dim, not {dim}")
        self.scale = nn.Parameter(torch.tensor(1000.0))
        self.register_buffer("frequencies", 10000 ** -(torch.arange(0, dim, 2) / dim), persistent=False)

    def forward(self, batch: TokenBatch) -> Tensor:
        """Embed."""
        phase = self.scaled(batch.t, batch)[:, None] * self.scale * self.get_buffer("frequencies")
        return torch.stack([phase.sin(), phase.cos()], 2).flatten(1)


class GapConv(TemporalEmbedding):
    """Three convolutions over the gaps between successive tokens.

    The gap of a recording's first token is 0; that of any other is the time since the token before it, whatever was left out between them.
    A token sees three gaps to either side of its own or, if causal, six before it. Beyond the ends of a recording, every layer sees zeros.

    Source: as `ParametricEmbedding`, with these knowing differences. There, the gap across an event that was masked was 0, and what the
    normalisations add went into tokens from beyond the end of a shorter recording of a batch.

    Args:
        dim: Features of a token, divisible by four.
        time_scale: As in `TemporalEmbedding`.
        gaps: How gaps count.
        causal: Whether a token sees earlier gaps alone.
    """

    def __init__(self, dim: int, time_scale: int | None = None, gaps: Gaps = "linear", causal: bool = False) -> None:
        super().__init__(dim, time_scale)
        if dim % 4:
            raise EventZooError(f"the embedding of gaps needs a dim divisible by 4, not {dim}")
        self.gaps, self.causal = gaps, causal
        widths = (1, dim // 4, dim // 2, dim)
        self.convs = nn.ModuleList(DepthwiseConv(a, b, causal) for a, b in itertools.pairwise(widths))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for width in widths[1:])

    def forward(self, batch: TokenBatch) -> Tensor:
        """Embed."""
        first = torch.zeros(len(batch.t), dtype=torch.bool, device=batch.t.device)
        first[batch.start[:-1][batch.start.diff() > 0]] = True
        gap = self.scaled(batch.t.diff(prepend=batch.t[:1]).masked_fill(first, 0), batch)
        x = (gap.log1p() if self.gaps == "log" else gap)[:, None]
        for number, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            x = norm(conv(x if number == 0 else relu(x), batch.start))
        return x


class DepthwiseConv(nn.Module):
    """A convolution of three successive tokens in which each output reads one input, output o input o · C_in // C_out; no bias.

    Args:
        in_channels: C_in.
        out_channels: C_out, a multiple of it.
        causal: Whether the three are the token and the two before it, not its neighbours.

    Shapes:
        x: `[N, C_in]`; start: int64 `[B + 1]`.
        output: `[N, C_out]`.
    """

    def __init__(self, in_channels: int, out_channels: int, causal: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_channels, 1, 3))
        self.copies, self.causal = out_channels // in_channels, causal
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)  # torch's for convolutions

    def forward(self, x: Tensor, start: Tensor) -> Tensor:
        """Convolve."""
        sample = sample_of(start)
        at = torch.arange(len(x), device=x.device)
        wide = x.repeat_interleave(self.copies, 1)
        total = wide.new_zeros(())
        for tap, weight in zip(range(-2, 1) if self.causal else range(-1, 2), self.weight.squeeze(1).unbind(1), strict=True):
            seen = at + tap
            inside = ((seen >= start[sample]) & (seen < start[sample + 1]))[:, None]
            total = total + torch.where(inside, wide.roll(-tap, 0), 0) * weight if tap else total + wide * weight
        return total
