"""Events counted into an image."""

import torch
from torch import Tensor

from eventzoo.data.representation import ImageRepresentation
from eventzoo.events import Events
from eventzoo.kernels.pixel_maps import event_frames


class Histogram(ImageRepresentation):
    """Number of events of each polarity at each pixel, exact up to 2²⁴.

    Source: Maqueda et al., "Event-based Vision meets Deep Learning on Steering Prediction", CVPR 2018, section 3.1.

    Shapes:
        output: float32 `[2, height, width]`; channel 0 counts OFF, channel 1 counts ON.
    """

    channels = 2

    def __call__(self, events: Events) -> Tensor:
        """The counts of one recording."""
        return torch.from_numpy(event_frames(events, 1, None))
