"""Each pixel's newest events."""

import torch
from torch import Tensor

from eventzoo.data.representation import ImageRepresentation
from eventzoo.errors import EventZooError
from eventzoo.events import Events
from eventzoo.kernels.pixel_maps import event_queues


class EventQueue(ImageRepresentation):
    """When the newest events of each pixel were, relative to its newest, and their polarities.

    With the times t₀ ≥ t₁ ≥ … of a pixel's newest events, its slots hold (t₀ - tₖ) / (t₀ - tₙ), with n the last filled slot
    (0 where all are of one time); an empty slot holds 1, as old as can be. A pixel without events is 0 throughout, which its
    polarities tell from a pixel whose slots are all of one time. So nothing depends on when the clock began.

    Source: Messikommer et al., "Event-based Asynchronous Sparse Convolutional Networks", ECCV 2020, and there Tulyakov et al.,
    "Learning an Event Sequence Embedding for Dense Event-Based Deep Stereo", ICCV 2019. The published code takes the time of
    an empty slot to be 0, so that it holds t₀, and the others are divided by the absolute time t₀: with
    `absolute_time` so does this, for networks that were trained on it (the published code computes times in single precision).

    Args:
        size: Number of events of a pixel that are kept.
        absolute_time: Whether empty slots have the time 0 of the clock.

    Shapes:
        output: float32 `[2 * size, height, width]`: `size` times, newest first, in [0, 1]; then `size` polarities, ±1, and 0 where
        a slot is empty.

    Raises:
        EventZooError: `size` is less than 1.
    """

    def __init__(self, size: int = 15, absolute_time: bool = False) -> None:
        if size < 1:
            raise EventZooError(f"EventQueue: size >= 1 is needed, not {size}")
        self.size, self.absolute_time = size, absolute_time
        self.channels = 2 * size

    def __call__(self, events: Events) -> Tensor:
        """The queues of one recording."""
        return torch.from_numpy(event_queues(events, self.size, self.absolute_time))
