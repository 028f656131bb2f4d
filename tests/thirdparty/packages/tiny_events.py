"""A third party's package: one dataset and one backbone, and no import of eventzoo's plugins."""

from typing import ClassVar

import numpy as np
from torch import Tensor, nn

from eventzoo.data.dataset import EventDataset, Sample, Split
from eventzoo.events import Events
from eventzoo.nn.backbone import Backbone, Kind


class LeftOrRight(EventDataset):
    """Events in the left or the right half of a small sensor.

    Args:
        split: Which split.
        size: Number of recordings.
    """

    sensor_size: ClassVar[tuple[int, int]] = (16, 8)
    classes: ClassVar[tuple[str, ...]] = ("left", "right")

    def __init__(self, split: Split = "train", size: int = 32) -> None:
        self.split, self.size = split, size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Sample:
        rng = np.random.default_rng([("train", "val", "test").index(self.split), index])
        x, y, t = rng.integers(0, 8, 50) + 8 * (index % 2), rng.integers(0, 8, 50), np.sort(rng.integers(0, 1000, 50))
        return Sample(Events(x, y, t, rng.random(50) < 0.5, self.sensor_size), index % 2, f"{self.split}/{index}")

    def verify(self) -> None:
        for index in range(self.size):
            self[index]


class TinyNet(Backbone):
    """Average counts over the rows, then a linear layer.

    Args:
        in_channels: Channels of the image.
        width: Channels of the features.
    """

    accepts: ClassVar[Kind] = "image"

    def __init__(self, in_channels: int = 2, width: int = 4) -> None:
        super().__init__()
        self.sensor_size, self.out_channels, self.out_size = None, width, None
        self.linear = nn.Linear(in_channels * 16, width)

    def forward(self, batch: Tensor) -> Tensor:
        return self.linear(batch.mean(2).flatten(1)).relu()
