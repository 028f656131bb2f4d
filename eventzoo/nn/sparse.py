"""Sparse convolutions: networks over the pixels where something happened, as masked dense operations.

Which sites are active is carried from layer to layer beside the features, never read off them: a site whose features a ReLU has all
put to zero is as active as before.

Source: Graham, Engelcke and van der Maaten, "3D Semantic Segmentation with Submanifold Sparse Convolutional Networks", CVPR 2018, whose
library SparseConvNet defines the layers; for events Messikommer et al., "Event-based Asynchronous Sparse Convolutional Networks",
ECCV 2020.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, conv2d, max_pool2d

from eventzoo.errors import EventZooError


@dataclass(frozen=True)
class SparseMap:
    """Features of the active sites of a map.

    Attributes:
        features: `[B, C, height, width]`, zero where there is no active site.
        active: bool `[B, 1, height, width]`.
    """

    features: Tensor
    active: Tensor


class ToSparse(nn.Module):
    """A dense map as a sparse one, whose active sites are those where any channel is not zero.

    Shapes:
        input: `[B, C, height, width]`.
        output: A `SparseMap`.
    """

    def forward(self, image: Tensor) -> SparseMap:
        """The sparse map."""
        return SparseMap(image, (image != 0).any(1, keepdim=True))


class ToDense(nn.Module):
    """A sparse map as a dense one, zero where there is no active site: `[B, C, height, width]`."""

    def forward(self, x: SparseMap) -> Tensor:
        """The dense map."""
        return x.features


class SubmanifoldConv2d(nn.Module):
    """Convolution of stride 1 whose active sites are those of its input, so that they do not spread.

    Source: Graham et al., CVPR 2018, section 3.1.

    Args:
        in_channels: Features of a site.
        out_channels: Features of a site that it makes.
        kernel_size: Side of the kernel, odd; its middle lies on the site.
        bias: Whether active sites are given a summand.

    Raises:
        EventZooError: The kernel has no middle.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3, bias: bool = False) -> None:
        super().__init__()
        if kernel_size % 2 == 0:
            raise EventZooError(f"SubmanifoldConv2d: the kernel needs a middle, so its side is odd, not {kernel_size}")
        self.in_channels, self.out_channels, self.kernel_size = in_channels, out_channels, kernel_size
        self.weight = nn.Parameter(_initial(in_channels, out_channels, kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None

    def forward(self, x: SparseMap) -> SparseMap:
        """The convolved map."""
        return SparseMap(conv2d(x.features, self.weight, self.bias, padding=self.kernel_size // 2) * x.active, x.active)

    def extra_repr(self) -> str:
        """Channels and kernel."""
        return f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, bias={self.bias is not None}"


class SparseConv2d(nn.Module):
    """Strided convolution without padding; a site of its output is active if any site that its kernel covers is.

    Args:
        in_channels: Features of a site.
        out_channels: Features of a site that it makes.
        kernel_size: Side of the kernel.
        stride: Sites from one place of the kernel to the next.
        bias: Whether active sites are given a summand.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3, stride: int = 2, bias: bool = False) -> None:
        super().__init__()
        self.in_channels, self.out_channels, self.kernel_size, self.stride = in_channels, out_channels, kernel_size, stride
        self.weight = nn.Parameter(_initial(in_channels, out_channels, kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None

    def forward(self, x: SparseMap) -> SparseMap:
        """The convolved map."""
        active = _covered(x.active, self.kernel_size, self.stride)
        return SparseMap(conv2d(x.features, self.weight, self.bias, self.stride) * active, active)

    def extra_repr(self) -> str:
        """Channels, kernel and stride."""
        kernel = f"kernel_size={self.kernel_size}, stride={self.stride}"
        return f"{self.in_channels}, {self.out_channels}, {kernel}, bias={self.bias is not None}"


class SparseMaxPool2d(nn.Module):
    """Maximum over the active sites that a window covers, and zero: a site of its output is active if any of them is.

    Without padding. The zero is SparseConvNet's, and makes no difference behind a ReLU.

    Args:
        kernel_size: Side of the window.
        stride: Sites from one window to the next.
    """

    def __init__(self, kernel_size: int = 3, stride: int = 2) -> None:
        super().__init__()
        self.kernel_size, self.stride = kernel_size, stride

    def forward(self, x: SparseMap) -> SparseMap:
        """The pooled map."""
        pooled = max_pool2d(x.features, self.kernel_size, self.stride).clamp(min=0)
        return SparseMap(pooled, _covered(x.active, self.kernel_size, self.stride))

    def extra_repr(self) -> str:
        """Window and stride."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}"


class SparseBatchNorm(nn.Module):
    """Batch normalisation over the active sites of a batch; all others stay zero.

    A batch with fewer than two active sites is normalised by the running statistics.

    Args:
        channels: Features of a site.
        eps: Added to the variance. Default: SparseConvNet's.
        momentum: Share of a batch in the running statistics. Default: SparseConvNet's 0.99, which is 0.01 in torch's words.
    """

    def __init__(self, channels: int, eps: float = 1e-4, momentum: float = 0.01) -> None:
        super().__init__()
        self.module = nn.BatchNorm1d(channels, eps, momentum)

    def forward(self, x: SparseMap) -> SparseMap:
        """The normalised map."""
        norm = self.module
        if not self.training:
            normalised = batch_norm(x.features, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
            return SparseMap(normalised * x.active, x.active)
        by_site, inside = x.features.permute(0, 2, 3, 1), x.active[:, 0]
        rows = by_site[inside]
        if len(rows) < 2 and not isinstance(norm, nn.SyncBatchNorm):  # that one counts the sites of all processes
            rows = batch_norm(rows, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
        else:
            rows = norm(rows)
        features = rows.new_zeros(by_site.shape).index_put((inside,), rows)
        return SparseMap(features.permute(0, 3, 1, 2), x.active)


class SparseReLU(nn.Module):
    """ReLU of a sparse map."""

    def forward(self, x: SparseMap) -> SparseMap:
        """The map without what is negative."""
        return SparseMap(x.features.relu(), x.active)


def _initial(in_channels: int, out_channels: int, kernel_size: int) -> Tensor:
    """SparseConvNet's first weights: normal, of variance 2 / (taps · in_channels); `[out, in, kernel, kernel]`."""
    shape = (out_channels, in_channels, kernel_size, kernel_size)
    return torch.randn(shape) * math.sqrt(2 / (kernel_size**2 * in_channels))


def _covered(active: Tensor, kernel_size: int, stride: int) -> Tensor:
    """Which windows of that size cover an active site."""
    return max_pool2d(active.float(), kernel_size, stride) > 0
