"""The dense counterpart of asynet's sparse VGG."""

from torch import nn

from eventzoo.nn.vgg import VGG


class DenseVGG(VGG):
    """VGG of ordinary convolutions over all pixels: what `SparseVGG` is compared with.

    Each convolution is followed by batch normalisation and ReLU. The image is brought to the size of the network's map by repeating and
    leaving out pixels (nearest neighbour).

    Source: Messikommer, Gehrig, Loquercio and Scaramuzza, "Event-based Asynchronous Sparse Convolutional Networks", ECCV 2020. The
    published sizes are those of `SparseVGG`, but that the detectors' `out_channels` are 512.

    Args:
        sensor_size: `(width, height)` in pixels.
        in_channels: Features of a pixel. The command line sets it from the representation.
        stages: Output channels of the convolutions of each stage; between stages the map is halved.
        out_channels: Output channels of the convolution of stride 2 at the end.
        map_size: `(width, height)` that the image is brought to. Default: of the sizes that can be halved so often, the sensor's nearest.

    Raises:
        EventZooError: A stage is empty, or the map cannot be halved so often without a rest.

    Shapes:
        input: `[B, in_channels, height, width]`.
        output: `[B, out_channels, out_size height, out_size width]`.
    """

    def _entry(self) -> nn.Module:
        return nn.Identity()

    def _exit(self) -> nn.Module:
        return nn.Identity()

    def _conv(self, in_channels: int, out_channels: int) -> nn.Module:
        return nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)

    def _strided_conv(self, in_channels: int, out_channels: int, kernel_size: int, stride: int) -> nn.Module:
        return nn.Conv2d(in_channels, out_channels, kernel_size, stride, bias=False)

    def _pool(self, kernel_size: int, stride: int) -> nn.Module:
        return nn.MaxPool2d(kernel_size, stride)

    def _norm(self, channels: int) -> list[nn.Module]:
        return [nn.BatchNorm2d(channels), nn.ReLU()]
