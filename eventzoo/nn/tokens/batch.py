"""Tokens: events of several recordings, one recording after the other, without padding."""

from typing import NamedTuple

import torch
from torch import Tensor, nn


class TokenBatch(NamedTuple):
    """A batch of B recordings of N events in all.

    Attributes:
        x: Columns, int16 `[N]`.
        y: Rows, int16 `[N]`.
        p: Whether the events are brighter, bool `[N]`.
        t: Microseconds since the recording's first event, int64 `[N]`.
        start: Where the events of each recording begin, and where the last one's end; int64 `[B + 1]`.
    """

    x: Tensor
    y: Tensor
    p: Tensor
    t: Tensor
    start: Tensor

    def to(self, device: torch.device | str) -> "TokenBatch":
        """The batch on a device."""
        return TokenBatch(*(tensor.to(device) for tensor in self))


def sample_of(start: Tensor) -> Tensor:
    """The recording that each token belongs to, int64 `[N]`, of where the recordings begin, int64 `[B + 1]`."""
    return torch.repeat_interleave(start.diff())


def reversal(start: Tensor) -> Tensor:
    """The permutation that puts the tokens of every recording in the opposite order, int64 `[N]`; it is its own inverse."""
    sample = sample_of(start)
    return start[sample] + start[sample + 1] - 1 - torch.arange(len(sample), device=start.device)


def padded(values: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens of each recording on their own, with zeros after those of the shorter ones.

    Shapes:
        values: `[N, ...]`; start: int64 `[B + 1]`.
        output: `[B, L, ...]` with L the length of the longest, and where there are tokens, bool `[B, L]`.
    """
    lengths = start.diff()
    longest = int(lengths.max()) if len(lengths) else 0
    mask = torch.arange(longest, device=start.device) < lengths[:, None]
    dense = values.new_zeros(*mask.shape, *values.shape[1:])
    dense[mask] = values
    return dense, mask


class HalveTokens(nn.Module):
    """Means of two tokens each, which follow each other in a recording.

    Args:
        causal: Whether the last token of an odd number is left out, as on a stream whose next one is yet to come; else it stays by itself.

    Shapes:
        x: `[N, C]`; start: int64 `[B + 1]`.
        output: The means, and where each recording's begin.
    """

    def __init__(self, causal: bool) -> None:
        super().__init__()
        self.causal = causal

    def forward(self, x: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
        """Pool."""
        lengths = start.diff()
        halved = (lengths if self.causal else lengths + 1) // 2
        begin = torch.cat([start.new_zeros(1), halved.cumsum(0)])
        sample = sample_of(begin)
        first = start[sample] + 2 * (torch.arange(len(sample), device=start.device) - begin[sample])
        second = torch.minimum(first + 1, start[sample + 1] - 1)
        return (x[first] + x[second]) / 2, begin


class TokenMean(nn.Module):
    """The mean of each recording's tokens; zeros for one without any.

    Shapes:
        x: `[N, C]`; start: int64 `[B + 1]`.
        output: `[B, C]`.
    """

    def forward(self, x: Tensor, start: Tensor) -> Tensor:
        """Pool."""
        sums = x.new_zeros(len(start) - 1, x.shape[1]).index_add(0, sample_of(start), x)
        return sums / start.diff().clamp(min=1)[:, None]
