"""Events counted into an image."""

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from eventzoo.data.representation import Representation
from eventzoo.events import Events
from eventzoo.nn.backbone import Kind


class Histogram(Representation[Tensor]):
    """Number of events of each polarity at each pixel.

    Source: Maqueda et al., "Event-based Vision meets Deep Learning on Steering Prediction", CVPR 2018, section 3.1.

    Shapes:
        output: float32 `[2, height, width]`; channel 0 counts OFF, channel 1 counts ON.
    """

    kind: ClassVar[Kind] = "image"
    channels = 2

    def __call__(self, events: Events) -> Tensor:
        """The counts of one recording."""
        width, height = events.sensor_size
        bins = (events.p * np.int64(height) + events.y) * width + events.x
        counts = np.bincount(bins, minlength=2 * height * width).astype(np.float32)
        return torch.from_numpy(counts.reshape(2, height, width))

    def collate(self, samples: list[Tensor]) -> Tensor:
        """`[B, 2, height, width]`."""
        return torch.stack(samples)
