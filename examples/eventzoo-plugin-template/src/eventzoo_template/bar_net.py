"""A small network of convolutions, with a layer that eventzoo does not know."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from eventzoo.nn.backbone import Backbone, Kind


class Saturate(nn.Module):
    """y = g x / (1 + g |x|), with a gain g = exp(a) that is learnt for each channel.

    Args:
        channels: Channels of the image.

    Shapes:
        input: `[B, channels, height, width]`; output: the same, between -1 and 1.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.log_gain = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """The saturated features."""
        x = self.log_gain.exp()[:, None, None] * x
        return x / (1 + x.abs())


class BarNet(Backbone):
    """`Saturate`, and two convolutions, each of which halves the sides.

    Args:
        sensor_size: `(width, height)` in pixels.
        in_channels: Channels of the image. The command line sets it from the representation.
        channels: Output channels of the first convolution; the second has twice as many.

    Shapes:
        input: `[B, in_channels, height, width]`.
        output: `[B, 2 * channels, out_size height, out_size width]`.
    """

    accepts: ClassVar[Kind] = "image"

    def __init__(self, sensor_size: tuple[int, int], in_channels: int = 2, channels: int = 8) -> None:
        super().__init__()
        width, height = sensor_size
        self.sensor_size, self.out_channels, self.out_size = sensor_size, 2 * channels, (-(-width // 4), -(-height // 4))
        self.saturate = Saturate(in_channels)
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1)

    def forward(self, batch: Tensor) -> Tensor:
        """Features of a batch of images."""
        x = self.conv1(self.saturate(batch)).relu()
        return self.conv2(x).relu()
