"""Polarities spread over ticks of time."""

import torch
from torch import Tensor

from eventzoo.data.representation import ImageRepresentation
from eventzoo.events import Events
from eventzoo.kernels.pixel_maps import voxel_grid
from eventzoo.kernels.time_bins import check_time_bins


class VoxelGrid(ImageRepresentation):
    """Sums of polarities pᵢ = ±1, each shared by the two nearest ticks of time according to its distance from them.

    V(b, y, x) = Σᵢ pᵢ max(0, 1 - |b - τᵢ|) over the pixel's events. Without a `duration`, the ticks divide the recording:
    of N events, τᵢ = (bins - 1) (tᵢ - t₀) / (tₙ₋₁ - t₀); where all are of one time, they are at the last tick. With a `duration`,
    ticks are length = duration / bins apart, at the clock's multiples of it: τᵢ = tᵢ / length - ⌊tₙ₋₁ / length⌋ + bins - 2, so that
    the last tick is the first one after the newest event, and what lies before the first tick counts nowhere. On a stream, an
    event then changes two ticks alone until a new interval begins, where without a duration every event moves all ticks.

    Source: Zhu, Yuan, Chaney and Daniilidis, "Unsupervised Event-based Learning of Optical Flow, Depth, and Egomotion", CVPR
    2019, section 3.1, for the form without a duration.

    Args:
        bins: Number of ticks, at least 2.
        duration: Microseconds, divisible by `bins`; null for the recording's.

    Shapes:
        output: float32 `[bins, height, width]`, the oldest tick first.

    Raises:
        EventZooError: There are fewer than two bins, or they would not be of whole microseconds.
    """

    def __init__(self, bins: int = 10, duration: int | None = None) -> None:
        check_time_bins("VoxelGrid", bins, duration, least=2)
        self.bins, self.duration = bins, duration
        self.channels = bins

    def __call__(self, events: Events) -> Tensor:
        """The grid of one recording."""
        return torch.from_numpy(voxel_grid(events, self.bins, self.duration))
