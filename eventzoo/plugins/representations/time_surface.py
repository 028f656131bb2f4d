"""How long ago each pixel had an event."""

import torch
from torch import Tensor

from eventzoo.data.representation import ImageRepresentation
from eventzoo.errors import EventZooError
from eventzoo.events import Events
from eventzoo.kernels.pixel_maps import time_surfaces
from eventzoo.kernels.time_bins import check_time_bins


class TimeSurface(ImageRepresentation):
    """For each pixel and polarity, how recent its newest event is at the end of each time bin, with an exponential decay.

    S(k, p, y, x) = exp(-(eₖ - t) / tau), where t is the newest of the events of that pixel and polarity before the end eₖ of bin
    k, and 0 where there is none. Without a `duration`, the bins divide the recording: eₖ = t₀ + (k + 1) (tₙ₋₁ - t₀) / bins, and the last
    end is the last event's time, which counts. With a `duration`, bins are duration / bins long and lie on the clock's grid, and
    the last one is that of the newest event. Events before the first bin count, as a surface remembers. On a stream, an event then
    changes the last bin alone until a new bin begins, where without a duration every event moves all bins.

    A value is never less than e⁻⁸⁷, about the smallest that single precision has, so that a pixel that had an event is not 0.

    Source: Lagorce, Orchard, Galluppi, Shi and Benosman, "HOTS: A Hierarchy of Event-Based Time-Surfaces for Pattern
    Recognition", TPAMI 2017, section 2.1, of which this is the whole sensor's surface.

    Args:
        tau: Microseconds in which a surface decays to 1/e.
        bins: Number of surfaces.
        duration: Microseconds of all bins together, divisible by `bins`; null for the recording's.

    Shapes:
        output: float32 `[2 * bins, height, width]`; channel 2 · bin is of OFF events, channel 2 · bin + 1 of ON; the oldest bin first.

    Raises:
        EventZooError: `tau` is not positive, there is no bin, or bins would not be of whole microseconds.
    """

    def __init__(self, tau: int = 50_000, bins: int = 1, duration: int | None = None) -> None:
        check_time_bins("TimeSurface", bins, duration)
        if tau < 1:
            raise EventZooError(f"TimeSurface: tau is in microseconds and must be at least 1, not {tau}")
        self.tau, self.bins, self.duration = tau, bins, duration
        self.channels = 2 * bins

    def __call__(self, events: Events) -> Tensor:
        """The surfaces of one recording."""
        return torch.from_numpy(time_surfaces(events, self.bins, self.duration, self.tau))
