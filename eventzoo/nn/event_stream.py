"""Streams of events at several levels, and what is computed on them besides convolutions.

Level 0 is the recording. Each further level is a thinner stream on a grid of half the sides, as leaky integrate-and-fire neurons make it
(`eventzoo.kernels.event_streams`); it has edges from the level below and from itself, along which features are convolved.

Source: Jack, Maire, Denman and Eriksson, "Sparse Convolutions on Continuous Domains for Point Cloud and Event Stream Networks", ACCV 2020.
"""

from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from eventzoo.errors import EventZooError

Memory = Literal["window", "trace"]
"""What an event knows of its past: the latest events of each pixel, or one fading trace of them all."""


class StreamEdges(NamedTuple):
    """Which events of an input stream each event of an output stream looks at; edges of one event follow each other.

    Attributes:
        start: Where the edges of each event begin, and where the last one's end; int64 `[N_out + 1]`.
        source: The input event, int32 `[E]`.
        cell: The cell of the stencil that it is in, in ascending order within an event; uint8 `[E]`.
        age: How long it is past when the output event happens, in decay times; float `[E]`, at least 0.
    """

    start: Tensor
    source: Tensor
    cell: Tensor
    age: Tensor

    def to(self, device: torch.device | str) -> "StreamEdges":
        """The edges on a device."""
        return StreamEdges(*(tensor.to(device) for tensor in self))


class TraceEdges(NamedTuple):
    """The same for networks with traces: an event looks at the last event of each cell, which stands for all before it at its pixel.

    Attributes:
        start: As in `StreamEdges`, as are the next three.
        source: int32 `[E]`, at most one a cell and output event.
        cell: uint8 `[E]`.
        age: float `[E]`.
        previous: The input event before each at the same pixel, -1 for none; int32 `[N_in]`.
        gap: Decay times from that to this, 0 for none; float `[N_in]`.
    """

    start: Tensor
    source: Tensor
    cell: Tensor
    age: Tensor
    previous: Tensor
    gap: Tensor

    def to(self, device: torch.device | str) -> "TraceEdges":
        """The edges on a device."""
        return TraceEdges(*(tensor.to(device) for tensor in self))


class StreamLevel(NamedTuple):
    """One level of a batch of streams, the samples one after the other.

    Attributes:
        t: Microseconds since the sample's first event of level 0, non-decreasing within a sample; int64 `[N]`.
        x: Columns of the level's grid, int16 `[N]`.
        y: Rows, int16 `[N]`.
        sample: The sample that an event belongs to, int64 `[N]`.
        strided: Edges from the level below, by a stencil of 3×3 cells with a stride of two.
        inplace: Edges from the level itself, by a stencil of nine cells, a plus of 5×5.
        pointwise: Edges from the level itself, of an event's own pixel, four times as long.
    """

    t: Tensor
    x: Tensor
    y: Tensor
    sample: Tensor
    strided: StreamEdges | TraceEdges
    inplace: StreamEdges | TraceEdges
    pointwise: StreamEdges | TraceEdges

    def to(self, device: torch.device | str) -> "StreamLevel":
        """The level on a device."""
        parts: list[Any] = [part.to(device) for part in self]
        return StreamLevel(*parts)


class StreamBatch(NamedTuple):
    """A batch of streams.

    Attributes:
        polarity: Whether the events of level 0 are brighter, bool `[N]`.
        levels: Levels 1, 2 and so on.
        duration: Microseconds from the first to the last event of each sample's level 0, int64 `[B]`.
    """

    polarity: Tensor
    levels: tuple[StreamLevel, ...]
    duration: Tensor

    def to(self, device: torch.device | str) -> "StreamBatch":
        """The batch on a device."""
        return StreamBatch(self.polarity.to(device), tuple(level.to(device) for level in self.levels), self.duration.to(device))


class VoxelMean(nn.Module):
    """The mean of a stream's features in each voxel of a grid in time and space; a voxel without events is zero.

    Time is divided into bins of `horizon / frames` microseconds, counted from the sample's first event. The frames are the last
    `frames` bins, of which the last is the one that the newest event of level 0 is in; until there are so many, they are the first. So
    later events never change an earlier bin, and a stream may be endless. Other than in ECN's code, where a recording's last event
    decides how long a bin is.

    Source: Jack et al., ACCV 2020, and the code published with it.

    Args:
        frames: Bins that count, F.
        horizon: Microseconds of all of them together, at least one each.
        size: `(width, height)` of the stream's grid.

    Raises:
        EventZooError: There is no frame, or it has no time.

    Shapes:
        input: Features `[N, C]`, their `StreamLevel`, and `StreamBatch.duration` `[B]`.
        output: `[B, C, F, height, width]`.
    """

    def __init__(self, frames: int, horizon: int, size: tuple[int, int]) -> None:
        super().__init__()
        if frames < 1 or horizon < frames:
            raise EventZooError(f"VoxelMean: frames and microseconds of each are at least 1, not {frames} in {horizon} µs")
        self.frames, self.horizon, self.size = frames, horizon, size

    def forward(self, x: Tensor, level: StreamLevel, duration: Tensor) -> Tensor:
        """Pool a stream."""
        width, height = self.size
        newest = (duration * self.frames // self.horizon).clamp(min=self.frames - 1)
        frame = level.t * self.frames // self.horizon - newest[level.sample] + self.frames - 1
        inside = frame >= 0
        voxel = ((level.sample * self.frames + frame) * height + level.y) * width + level.x
        voxels = len(duration) * self.frames * height * width
        voxel = torch.where(inside, voxel, voxels)  # the others share one more, which is left out
        sums = x.new_zeros(voxels + 1, x.shape[1]).index_add_(0, voxel, x)[:-1]
        count = torch.bincount(voxel, minlength=voxels + 1)[:-1]
        means = sums / count.clamp(min=1).to(x.dtype)[:, None]
        return means.view(len(duration), self.frames, height, width, -1).permute(0, 4, 1, 2, 3)

    def extra_repr(self) -> str:
        """Frames, and what they span."""
        return f"frames={self.frames}, horizon={self.horizon}, size={self.size}"


class HalvingConv3d(nn.Conv3d):
    """Convolution of 2×2×2 voxels into one; where a side is odd, zeros are added at its end.

    Args:
        in_channels: Features of a voxel.
        out_channels: Features that it makes.

    Shapes:
        input: `[B, in_channels, F, height, width]`.
        output: The same with sides of half the length, rounded up.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 2, 2)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # torch's name
        """Convolve."""
        odd: list[Any] = [count for side in reversed(input.shape[2:]) for count in (0, side % 2)]
        return super().forward(pad(input, odd))
