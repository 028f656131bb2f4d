"""Events counted into an image."""

from typing import ClassVar

import torch
from torch import Tensor

from eventzoo.data.representation import Representation
from eventzoo.events import Events
from eventzoo.kernels.pixel_maps import event_frames
from eventzoo.nn.backbone import Kind


class Histogram(Representation[Tensor]):
    """Number of events of each polarity at each pixel, exact up to 2²⁴.

    Source: Maqueda et al., "Event-based Vision meets Deep Learning on Steering Prediction", CVPR 2018, section 3.1.

    Shapes:
        output: float32 `[2, height, width]`; channel 0 counts OFF, channel 1 counts ON.
    """

    kind: ClassVar[Kind] = "image"
    channels = 2

    def __call__(self, events: Events) -> Tensor:
        """The counts of one recording."""
        return torch.from_numpy(event_frames(events, 1, None))

    def collate(self, samples: list[Tensor]) -> Tensor:
        """`[B, 2, height, width]`."""
        return torch.stack(samples)
