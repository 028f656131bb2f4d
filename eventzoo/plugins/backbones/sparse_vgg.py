"""asynet's sparse VGG."""

from torch import nn

from eventzoo.nn.sparse import SparseBatchNorm, SparseConv2d, SparseMaxPool2d, SparseReLU, SubmanifoldConv2d, ToDense, ToSparse
from eventzoo.nn.vgg import VGG


class SparseVGG(VGG):
    """VGG of submanifold sparse convolutions: it computes the pixels where something happened, and so do all its layers.

    Each convolution is followed by batch normalisation over the active sites and ReLU. The image is brought to the size of the
    network's map by repeating and leaving out pixels (nearest neighbour); a pixel is active if any of its channels is not zero.

    Source: Messikommer, Gehrig, Loquercio and Scaramuzza, "Event-based Asynchronous Sparse Convolutional Networks", ECCV 2020. The
    published sizes are

    * VGG12, for N-Cars: the default, whose map of a 120×100 sensor is 127×95;
    * VGG13, for N-Caltech101: `stages=((16, 16), (32, 32), (64, 64), (128, 128), (256, 256), (512,)), out_channels=256`, whose map of a
      240×180 sensor is 255×191;
    * of its detectors: `stages=((16, 16), (32, 32), (64, 64), (128, 128), (256, 256)), out_channels=256`, for Gen1 with
      `map_size=(287, 223)`.

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
        return ToSparse()

    def _exit(self) -> nn.Module:
        return ToDense()

    def _conv(self, in_channels: int, out_channels: int) -> nn.Module:
        return SubmanifoldConv2d(in_channels, out_channels)

    def _strided_conv(self, in_channels: int, out_channels: int, kernel_size: int, stride: int) -> nn.Module:
        return SparseConv2d(in_channels, out_channels, kernel_size, stride)

    def _pool(self, kernel_size: int, stride: int) -> nn.Module:
        return SparseMaxPool2d(kernel_size, stride)

    def _norm(self, channels: int) -> list[nn.Module]:
        return [SparseBatchNorm(channels), SparseReLU()]
