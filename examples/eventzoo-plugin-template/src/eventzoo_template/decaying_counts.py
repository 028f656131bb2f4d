"""Counts of events that fade."""

import numpy as np
import torch
from torch import Tensor

from eventzoo.data.representation import ImageRepresentation
from eventzoo.errors import EventZooError
from eventzoo.events import Events

OLDEST = 16  # ticks, after which an event counts for nothing


class DecayingCounts(ImageRepresentation):
    """Number of events of each polarity at each pixel, an event counting half as much with every tick of the clock since it happened.

    An event k ticks before that of the newest event counts 2⁻ᵏ, for k < 16. Ticks are those of the clock, not of the recording: so an event
    changes no pixel but its own until a new tick begins, which makes the image cheap to keep up to date on a stream.

    Args:
        tick: Microseconds.

    Raises:
        EventZooError: A tick is shorter than a microsecond.

    Shapes:
        output: float32 `[2, height, width]`; channel 0 counts OFF, channel 1 counts ON.
    """

    channels = 2

    def __init__(self, tick: int = 8_000) -> None:
        if tick < 1:
            raise EventZooError(f"DecayingCounts: a tick is at least 1 microsecond, not {tick}")
        self.tick = tick

    def __call__(self, events: Events) -> Tensor:
        """The counts of one recording."""
        width, height = events.sensor_size
        image = np.zeros((2, height, width))
        ticks = events.t // self.tick
        age = ticks[-1:] - ticks
        np.add.at(image, (events.p.astype(int), events.y, events.x), np.where(age < OLDEST, 0.5**age, 0))
        return torch.from_numpy(image.astype(np.float32))
