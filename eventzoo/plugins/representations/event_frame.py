"""Events counted into one image for each bin of time."""

import torch
from torch import Tensor

from eventzoo.data.representation import ImageRepresentation
from eventzoo.events import Events
from eventzoo.kernels.pixel_maps import event_frames
from eventzoo.kernels.time_bins import check_time_bins


class EventFrame(ImageRepresentation):
    """Number of events of each time bin and polarity at each pixel.

    Without a `duration`, the bins divide the recording: of N events, event i is in bin ⌊(tᵢ - t₀) · bins / (tₙ₋₁ - t₀)⌋, the last
    one in the last bin. With a `duration`, bins are duration / bins long and lie on the clock's grid, so that t // length
    numbers them; the last one is that of the newest event, and events before the first count nowhere. On a stream, an event then
    changes its own bin alone until a new bin begins, where without a duration every event moves all bins.

    Tonic's `ToFrame(n_time_bins=...)` is the same without a duration where the recording's duration is divisible by the
    bins, but for the last event's time, which it leaves out; else it rounds the length of a bin down to whole microseconds.

    Args:
        bins: Number of bins.
        duration: Microseconds of all bins together, divisible by `bins`; null for the recording's.

    Shapes:
        output: float32 `[2 * bins, height, width]`; channel 2 · bin counts OFF, channel 2 · bin + 1 counts ON; the oldest bin first.

    Raises:
        EventZooError: There is no bin, or bins would not be of whole microseconds.
    """

    def __init__(self, bins: int = 10, duration: int | None = None) -> None:
        check_time_bins("EventFrame", bins, duration)
        self.bins, self.duration = bins, duration
        self.channels = 2 * bins

    def __call__(self, events: Events) -> Tensor:
        """The counts of one recording."""
        return torch.from_numpy(event_frames(events, self.bins, self.duration))
