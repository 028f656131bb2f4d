"""The shape that the sparse and the dense VGG have in common."""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn

from eventzoo.errors import EventZooError
from eventzoo.nn.backbone import Backbone, Kind

_KERNEL, _STRIDE = 3, 2  # of all that halves a map


class VGG(Backbone, ABC):
    """Base of the two: 3×3 convolutions in stages, each begun by max pooling but the first, and a convolution of stride 2 at the end.

    What halves a map, pooling and the last convolution, has windows of 3×3 and no padding, so that a map has to be one of certain sizes:
    (out - 1) · 2 + 3 for each halving.
    """

    accepts: ClassVar[Kind] = "image"

    def __init__(
        self,
        sensor_size: tuple[int, int],
        in_channels: int = 2,
        stages: tuple[tuple[int, ...], ...] = ((16, 16), (32, 32), (64, 64), (128, 128), (256,)),
        out_channels: int = 128,
        map_size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if not stages or any(not stage or min(stage) < 1 for stage in stages) or out_channels < 1:
            raise EventZooError(f"{name}: every stage has at least one convolution of at least 1 channel, not {stages} and {out_channels}")
        self.sensor_size, self.out_channels = sensor_size, out_channels
        self.map_size, self.out_size = _sizes(name, sensor_size, map_size, len(stages))
        width, height = self.map_size
        self.resize = nn.Identity() if self.map_size == tuple(sensor_size) else nn.Upsample(size=(height, width))
        self.entry, self.exit = self._entry(), self._exit()
        self.stages = nn.ModuleList()
        before = in_channels
        for stage in stages:
            layers = [self._pool(_KERNEL, _STRIDE)] if len(self.stages) else []
            for channels in stage:
                layers += [self._conv(before, channels), *self._norm(channels)]
                before = channels
            self.stages.append(nn.Sequential(*layers))
        self.reduce = nn.Sequential(self._strided_conv(before, out_channels, _KERNEL, _STRIDE), *self._norm(out_channels))

    def forward(self, batch: Tensor) -> Tensor:
        """Features of a batch of images `[B, in_channels, height, width]`: `[B, out_channels, …]`."""
        x = self.entry(self.resize(batch))
        for stage in self.stages:
            x = stage(x)
        return self.exit(self.reduce(x))  # type: ignore[no-any-return]

    @abstractmethod
    def _entry(self) -> nn.Module:
        """From an image to what the layers take."""

    @abstractmethod
    def _exit(self) -> nn.Module:
        """From what the layers return to features `[B, C, height, width]`."""

    @abstractmethod
    def _conv(self, in_channels: int, out_channels: int) -> nn.Module:
        """A 3×3 convolution that keeps a map's size."""

    @abstractmethod
    def _strided_conv(self, in_channels: int, out_channels: int, kernel_size: int, stride: int) -> nn.Module:
        """A convolution without padding."""

    @abstractmethod
    def _pool(self, kernel_size: int, stride: int) -> nn.Module:
        """Max pooling without padding."""

    @abstractmethod
    def _norm(self, channels: int) -> list[nn.Module]:
        """Batch normalisation and ReLU."""


def _sizes(
    name: str, sensor_size: tuple[int, int], map_size: tuple[int, int] | None, halvings: int
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Size of the map that a network works on, the nearest to the sensor's if none is given, and that of its features."""
    step = _STRIDE**halvings
    least = 2 * step - 1
    columns, rows = (max((side - least + step // 2) // step, 0) + 1 for side in map_size or sensor_size)  # of two as near, the larger
    nearest = (least + (columns - 1) * step, least + (rows - 1) * step)
    if map_size is not None and tuple(map_size) != nearest:
        raise EventZooError(
            f"{name}: sides of a map that can be halved {halvings} times are {least}, {least + step}, {least + 2 * step}…; "
            f"the nearest to {list(map_size)} is {list(nearest)}"
        )
    return nearest, (columns, rows)
