"""What four ways to process events would cost a network of sparse layers, by the formulas that asynet was published with.

Two of them are asynchronous: of a window that differs from the last one by some events they compute the sites that changed. The others
compute all of it anew. Two are sparse: they compute active sites alone, as the network's layers do. The others are those of the dense
network of the same shape, in which whatever is within reach of a change changes, so that the region blurs from layer to layer.

Source: Messikommer, Gehrig, Loquercio and Scaramuzza, "Event-based Asynchronous Sparse Convolutional Networks", ECCV 2020, section 4, and
the formulas by which the code published with it counts. A multiply-add is 2 operations.

| layer | sparse | dense |
|---|---|---|
| submanifold convolution | R · 2 C_in C_out + R · C_in | n_out (2 · k² · C_in - 1) C_out |
| batch normalisation and ReLU | n · C | n · C |
| max pooling | k² · n_out · C | the same |
| strided convolution | n_out (2 · k² · C_in - 1) C_out, of all sites of its map | the same |
| linear | 2 · in · out | the same |

R are the rules, pairs of an input and an output site that the kernel joins; the n are sites that are computed. Behind a strided
convolution all sites are. Resizing, activations of their own and biases are free.
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, max_pool2d

from eventzoo.errors import EventZooError
from eventzoo.nn.sparse import SparseBatchNorm, SparseConv2d, SparseMap, SparseMaxPool2d, SubmanifoldConv2d, ToSparse

Mode = Literal["asynchronous sparse", "asynchronous dense", "sparse", "dense"]
MODES: tuple[Mode, ...] = get_args(Mode)

_COUNTED = (SubmanifoldConv2d, SparseMaxPool2d, SparseConv2d, SparseBatchNorm, nn.Conv2d, nn.BatchNorm2d, nn.Linear)


@dataclass(frozen=True)
class Region:
    """What of a map is computed when a window gives way to the next one. All are bool `[1, 1, height, width]`.

    Attributes:
        before: The sites that were active.
        after: The sites that are active.
        changed: The sites that are computed. All that became active or ceased to be are among them.
    """

    before: Tensor
    after: Tensor
    changed: Tensor

    @property
    def sites(self) -> int:
        """How many sites are computed."""
        return int(self.changed.sum())

    def rules(self, kernel_size: int) -> int:
        """Rules that a submanifold convolution of stride 1 applies: from every site that is computed to every active one in reach.

        A site that became active has no sum that differences could be added to: it is reached from all active sites around it.
        """
        new = self.after & ~self.before
        return _pairs(self.changed, self.after & ~new, kernel_size) + _pairs(self.changed | self.after, new, kernel_size)

    def convolved(self, kernel_size: int) -> "Region":
        """What is computed behind such a convolution: active sites in its reach too."""
        reached = max_pool2d(self.changed.float(), kernel_size, 1, kernel_size // 2) > 0
        return Region(self.before, self.after, self.changed | (reached & self.after))

    def pooled(self, kernel_size: int, stride: int) -> "Region":
        """What is computed behind max pooling: every output that has such a site in its window, whether its value changes or not."""
        return Region(*(max_pool2d(sites.float(), kernel_size, stride) > 0 for sites in (self.before, self.after, self.changed)))


def regions(before: Tensor, after: Tensor) -> dict[Mode, Region]:
    """What each mode computes of the map that a network begins with.

    Args:
        before: The map for the last window, `[1, C, height, width]`.
        after: The map for this one.
    """
    was, is_active = ((image != 0).any(1, keepdim=True) for image in (before, after))
    changed = (before != after).any(1, keepdim=True)
    nowhere, everywhere = torch.zeros_like(changed), torch.ones_like(changed)
    return {
        "asynchronous sparse": Region(was, is_active, changed),
        "asynchronous dense": Region(everywhere, everywhere, changed),
        "sparse": Region(nowhere, is_active, is_active),
        "dense": Region(everywhere, everywhere, everywhere),
    }


@dataclass(frozen=True)
class LayerWork:
    """What a layer does.

    Attributes:
        name: The layer, as its network calls it.
        flops: Operations in each mode.
        sites: Sites of its output that are computed in each mode.
    """

    name: str
    flops: dict[Mode, int]
    sites: dict[Mode, int]


@torch.inference_mode()
def by_formulas(network: nn.Module, before: Tensor, after: Tensor) -> list[LayerWork]:
    """Count the operations that a window costs which follows another one.

    The network is run on both, as a batch of two, which shows what its maps are.

    Args:
        network: Layers of `eventzoo.nn.sparse` in sequence, begun by a `ToSparse`, and the dense layers behind them. In evaluation.
        before: What it is given for the window before, `[1, C, height, width]`.
        after: The same for the window that is counted.

    Returns:
        The layers that there are formulas for, in the order in which they are run.

    Raises:
        EventZooError: The network has no sparse layers, has weights in layers that there is no formula for, or its sparse layers are
            not in sequence.
    """
    _check_layers(network)
    walk = _Walk()
    hooks = [
        module.register_forward_hook(partial(walk.take, name))
        for name, module in network.named_modules()
        if isinstance(module, (*_COUNTED, ToSparse))
    ]
    try:
        network(torch.cat([before, after]))
    finally:
        for hook in hooks:
            hook.remove()
    if not walk.regions:
        raise EventZooError(f"{type(network).__name__} has no ToSparse, so nothing of it is sparse")
    return walk.layers


class _Walk:
    """Follows the layers of a network that is run on a batch of two windows' images."""

    def __init__(self) -> None:
        self.layers: list[LayerWork] = []
        self.regions: dict[Mode, Region] = {}
        self._sparse = True  # until a strided convolution

    def take(self, name: str, layer: nn.Module, given: tuple[Any], made: Any) -> None:
        """Count a layer that has just been run."""
        match layer:
            case ToSparse():
                self.regions = regions(*given[0].split(1))
            case nn.Linear():
                rows = made[0].numel() // layer.out_features
                self._add(name, rows, 2 * layer.in_features * layer.out_features)
            case nn.BatchNorm2d():
                self._add(name, made[0, 0].numel(), layer.num_features)
            case nn.Conv2d():
                self._add(name, made[0, 0].numel(), _dense(layer.in_channels // layer.groups, layer.out_channels, *layer.kernel_size))
            case _:
                self._take_sparse(name, layer, made)

    def _take_sparse(self, name: str, layer: nn.Module, made: SparseMap) -> None:
        if not self.regions:
            raise EventZooError(f"{name or 'the network'} comes before a ToSparse, so that there is no telling which sites changed")
        match layer:
            case SubmanifoldConv2d():
                self._convolve(name, layer)
            case SparseMaxPool2d():
                self.regions = {mode: region.pooled(layer.kernel_size, layer.stride) for mode, region in self.regions.items()}
                self._add_regions(name, layer.kernel_size**2 * made.features.shape[1])
            case SparseBatchNorm():
                self._add_regions(name, layer.module.num_features)
            case SparseConv2d():
                self._sparse = False
                everywhere = torch.ones_like(made.active[:1])
                self.regions = dict.fromkeys(MODES, Region(everywhere, everywhere, everywhere))
                self._add_regions(name, _dense(layer.in_channels, layer.out_channels, layer.kernel_size, layer.kernel_size))
        if self._sparse and not torch.equal(self.regions["sparse"].after, made.active[1:]):
            raise EventZooError(f"{name} is not given what the sparse layer before it made; only layers in sequence can be counted")

    def _convolve(self, name: str, layer: SubmanifoldConv2d) -> None:
        of_rule = 2 * layer.in_channels * layer.out_channels + layer.in_channels
        of_site = _dense(layer.in_channels, layer.out_channels, layer.kernel_size, layer.kernel_size)
        rules = {mode: region.rules(layer.kernel_size) for mode, region in self.regions.items() if not mode.endswith("dense")}
        self.regions = {mode: region.convolved(layer.kernel_size) for mode, region in self.regions.items()}
        sites = {mode: region.sites for mode, region in self.regions.items()}
        flops = {mode: rules[mode] * of_rule if mode in rules else sites[mode] * of_site for mode in MODES}
        self.layers.append(LayerWork(name, flops, sites))

    def _add_regions(self, name: str, of_site: int) -> None:
        """A layer that computes the sites of each mode's region."""
        sites = {mode: region.sites for mode, region in self.regions.items()}
        self.layers.append(LayerWork(name, {mode: sites[mode] * of_site for mode in MODES}, sites))

    def _add(self, name: str, sites: int, of_site: int) -> None:
        """A layer that does the same in all modes."""
        self.layers.append(LayerWork(name, dict.fromkeys(MODES, sites * of_site), dict.fromkeys(MODES, sites)))


def _dense(in_channels: int, out_channels: int, *kernel_size: int) -> int:
    """Operations of a site that is convolved densely: products of all taps, and the sums of these."""
    return (2 * math.prod(kernel_size) * in_channels - 1) * out_channels


def _pairs(sources: Tensor, targets: Tensor, kernel_size: int) -> int:
    """How many pairs of a source and a target one kernel covers whose middle is on the target."""
    ones = torch.ones(1, 1, kernel_size, kernel_size, dtype=torch.float64, device=sources.device)
    return int(conv2d(sources.double(), ones, padding=kernel_size // 2)[targets].sum())


def _check_layers(network: nn.Module) -> None:
    """Refuse weights that no formula would count."""
    counted = {part for module in network.modules() if isinstance(module, _COUNTED) for part in module.modules()}
    for name, module in network.named_modules():
        if module not in counted and next(module.parameters(recurse=False), None) is not None:
            known = ", ".join(layer.__name__ for layer in _COUNTED)
            raise EventZooError(f"{name} is a {type(module).__name__}, which the formulas do not know; they know {known}")
