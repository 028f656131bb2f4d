"""Layers whose windows move over a map, dense or sparse, event by event."""

import math
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from eventzoo.asynchronous import Argument, AsyncConverter, Cost, Domain, Features, Neighbourhood, Plan, Unsupported
from eventzoo.kernels.asynchronous import map_convolution, map_taps
from eventzoo.kernels.asynchronous.map_convolution import MapKernel
from eventzoo.kernels.asynchronous.map_taps import Copies, Pool, Taps
from eventzoo.nn.event_stream import HalvingConv3d
from eventzoo.nn.sparse import SparseConv2d, SparseMaxPool2d, SubmanifoldConv2d, ToDense, ToSparse


class AsyncConv2d(AsyncConverter):
    """Convolutions of dense maps and volumes with any kernel, stride, dilation, and zeros around the map."""

    handles: ClassVar = (nn.Conv2d, nn.Conv3d)

    def convert(self, plan: Plan, layer: nn.Conv2d | nn.Conv3d, *args: Any, **kwargs: Any) -> Features:
        """The convolved map."""
        x = _map(args[0] if args else kwargs["input"])
        if layer.groups != 1 or layer.padding_mode != "zeros":
            raise Unsupported(f"its groups are {layer.groups} and its padding {layer.padding_mode!r}, and must be 1 and 'zeros'")
        kernel_size, stride, dilation = layer.kernel_size, layer.stride, layer.dilation
        if len(kernel_size) != len(_size(x)):
            raise Unsupported("it convolves maps with a kernel for volumes, or the other way round")
        if layer.padding == "same":
            reach = tuple(d * (k - 1) // 2 for d, k in zip(dilation, kernel_size, strict=True))
            taps, size = map_taps.make_taps(_size(x), kernel_size, stride, reach, dilation, out_size=_size(x))
        else:
            padding = None if isinstance(layer.padding, str) else layer.padding
            taps, size = map_taps.make_taps(_size(x), kernel_size, stride, padding, dilation)
        if size == x.size:
            return _convolved(plan, layer, x, taps, size, x.domain)
        return _convolved(plan, layer, x, taps, size, _new_map(plan, size))


class AsyncHalvingConv3d(AsyncConverter):
    """Convolutions of 2×2×2 voxels into one, with zeros at the end of odd sides."""

    handles: ClassVar = (HalvingConv3d,)

    def convert(self, plan: Plan, layer: HalvingConv3d, *args: Any, **kwargs: Any) -> Features:
        """The convolved volume."""
        x = _map(args[0] if args else kwargs["input"])
        out_size = tuple((side + 1) // 2 for side in _size(x))
        taps, size = map_taps.make_taps(_size(x), (2, 2, 2), (2, 2, 2), out_size=out_size)
        return _convolved(plan, layer, x, taps, size, _new_map(plan, size))


class AsyncMapMaximum(AsyncConverter):
    """The maximum over all cells of a map or volume."""

    handles: ClassVar = (nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d)

    def convert(self, plan: Plan, layer: Any, *args: Any, **kwargs: Any) -> Features:
        """The maxima, as a map of one cell."""
        x = _map(args[0] if args else kwargs["input"])
        if len(_size(x)) != (2 if isinstance(layer, nn.AdaptiveMaxPool2d) else 3):
            raise Unsupported("it pools maps as volumes, or the other way round")
        sides = layer.output_size if isinstance(layer.output_size, tuple) else (layer.output_size,)
        if any(side != 1 for side in sides) or layer.return_indices:
            raise Unsupported("it makes a map, or indices, and not one maximum of all cells")
        output = plan.vector(x.channels)
        arguments, news = [x.rows, output.domain.sites, output.rows], [x.rows.array("counts"), output.rows.array("counts")]
        plan.step(map_taps.largest_of_all, arguments, x.domain, Cost(site=x.channels), when=(map_taps.has_changed, news))
        return Features(output.rows, output.domain, (1,) * len(_size(x)))


class AsyncMaxPool2d(AsyncConverter):
    """Max pooling of dense maps."""

    handles: ClassVar = (nn.MaxPool2d,)

    def convert(self, plan: Plan, layer: nn.MaxPool2d, *args: Any, **kwargs: Any) -> Features:
        """The pooled map."""
        x = _map(args[0] if args else kwargs["input"])
        if layer.ceil_mode or layer.return_indices:
            raise Unsupported("windows that reach beyond the map, and indices, are not known")
        sides = (_pair(side) for side in (layer.kernel_size, layer.stride, layer.padding, layer.dilation))
        taps, size = map_taps.make_taps(_plane(x), *sides)
        return _pooled(plan, x, taps, size, _new_map(plan, size), -np.inf)


class AsyncUpsample(AsyncConverter):
    """Maps that are brought to another size by repeating and leaving out cells."""

    handles: ClassVar = (nn.Upsample,)

    def convert(self, plan: Plan, layer: nn.Upsample, *args: Any, **kwargs: Any) -> Features:
        """The map of the other size."""
        x = _map(args[0] if args else kwargs["input"])
        if layer.mode != "nearest":
            raise Unsupported(f"its mode is {layer.mode!r}, and only 'nearest' copies cells")
        width, height = _plane(x)
        cells = torch.arange(width * height, dtype=torch.float64).view(1, 1, height, width)
        sources: Tensor = layer(cells)[0, 0].long()  # torch rounds as it does
        size, source = (sources.shape[1], sources.shape[0]), sources.flatten().numpy()
        order = np.argsort(source, kind="stable")
        first = np.searchsorted(source[order], np.arange(width * height + 1))
        copies = plan.weights(Copies(first.astype(np.int32), order.astype(np.int32)))
        domain = plan.domain(len(source))
        output = plan.features(domain, x.channels, size)
        plan.step(map_taps.copy_cells, [copies, x.rows, domain.sites, output.rows], domain)
        return output


class AsyncToSparse(AsyncConverter):
    """The cells of a dense map where any feature is not zero."""

    handles: ClassVar = (ToSparse,)

    def convert(self, plan: Plan, layer: ToSparse, *args: Any, **kwargs: Any) -> Features:  # noqa: ARG002  # it has no settings
        """The sparse map."""
        x = _map(args[0] if args else kwargs["image"])
        domain = plan.domain(x.domain.capacity)
        output = plan.features(domain, x.channels, x.size, sparse=True)
        plan.step(map_taps.find_active, [x.rows, domain.sites, output.rows], domain)
        return output


class AsyncToDense(AsyncConverter):
    """A sparse map with zeros where there is no site."""

    handles: ClassVar = (ToDense,)

    def convert(self, plan: Plan, layer: ToDense, *args: Any, **kwargs: Any) -> Features:  # noqa: ARG002  # it has no settings
        """The dense map."""
        x = _sparse_map(args[0] if args else kwargs["x"])
        domain = plan.domain(x.domain.capacity)
        output = plan.features(domain, x.channels, x.size)
        plan.step(map_taps.fill_map, [x.rows, x.domain.sites, domain.sites, output.rows], domain)
        return output


class AsyncSubmanifoldConv2d(AsyncConverter):
    """Convolutions whose sites are those of their input."""

    handles: ClassVar = (SubmanifoldConv2d,)

    def convert(self, plan: Plan, layer: SubmanifoldConv2d, *args: Any, **kwargs: Any) -> Features:
        """The convolved map."""
        x = _sparse_map(args[0] if args else kwargs["x"])
        reach = layer.kernel_size // 2
        taps, size = map_taps.make_taps(_size(x), _pair(layer.kernel_size), padding=(reach, reach))
        return _convolved(plan, layer, x, taps, size, x.domain)


class AsyncSparseConv2d(AsyncConverter):
    """Strided convolutions of sparse maps."""

    handles: ClassVar = (SparseConv2d,)

    def convert(self, plan: Plan, layer: SparseConv2d, *args: Any, **kwargs: Any) -> Features:
        """The convolved map."""
        x = _sparse_map(args[0] if args else kwargs["x"])
        taps, size = map_taps.make_taps(_size(x), _pair(layer.kernel_size), _pair(layer.stride))
        return _convolved(plan, layer, x, taps, size, plan.domain(size[0] * size[1]))


class AsyncSparseMaxPool2d(AsyncConverter):
    """Max pooling of sparse maps."""

    handles: ClassVar = (SparseMaxPool2d,)

    def convert(self, plan: Plan, layer: SparseMaxPool2d, *args: Any, **kwargs: Any) -> Features:
        """The pooled map."""
        x = _sparse_map(args[0] if args else kwargs["x"])
        taps, size = map_taps.make_taps(_size(x), _pair(layer.kernel_size), _pair(layer.stride))
        return _pooled(plan, x, taps, size, plan.domain(size[0] * size[1]), 0.0)


def _convolved(plan: Plan, layer: Any, x: Features, taps: Taps, size: tuple[int, ...], domain: Domain) -> Features:
    """The output of a convolution, over a domain that is the input's or has begun its transaction, if it is dense."""
    weight = layer.weight.detach().float().cpu().numpy()
    channels, inputs = weight.shape[:2]
    by_tap = weight.reshape(channels, inputs, -1).transpose(2, 1, 0)
    bias = np.zeros(channels, np.float32) if layer.bias is None else layer.bias.detach().float().cpu().numpy()
    neighbours = _neighbours(plan, x, taps, domain)
    one_by_one = x.sparse or domain is not x.domain
    shares = plan.state(map_convolution.make_shares(x.domain.capacity, len(by_tap), channels, known=not one_by_one))
    # in all, 2 · C_in · C_out for each site that a tap reads, as in a convolution done at once
    product = Cost(edge=(2 * inputs - 1) * channels)
    if one_by_one:
        given: list[Argument] = [plan.weights(MapKernel(by_tap, bias)), neighbours.state, shares]
        news = [x.rows.array("counts"), x.domain.sites.array("counts"), domain.sites.array("counts")]
        when = (map_convolution.has_changed, news)
        plan.step(map_convolution.multiply_changed, [*given, x.rows, x.domain.sites, domain.sites], domain, product, neighbours, when)
    else:
        given = [plan.weights(MapKernel(by_tap.transpose(1, 0, 2).reshape(1, inputs, -1), bias)), neighbours.state, shares]
        plan.step(map_convolution.multiply_all_taps, [*given, x.rows], domain, product, neighbours)
    output = plan.features(domain, channels, size, x.sparse)
    return plan.rows(map_convolution.add_shares, given, x, channels, neighbours, cost=Cost(edge=channels), output=output)


def _pooled(plan: Plan, x: Features, taps: Taps, size: tuple[int, ...], domain: Domain, least: float) -> Features:
    """Maxima over a domain of their own, which has begun its transaction, if it is dense."""
    neighbours = _neighbours(plan, x, taps, domain)
    pool = plan.weights(Pool(np.array([least], np.float32)))
    output = plan.features(domain, x.channels, size, x.sparse)
    given: list[Argument] = [pool, neighbours.state, x.domain.sites.array("alive")]
    return plan.rows(map_taps.largest, given, x, x.channels, neighbours, cost=Cost(edge=x.channels), output=output)


def _neighbours(plan: Plan, x: Features, taps: Taps, domain: Domain) -> Neighbourhood:
    """Whom the sites of a domain read; on a sparse map, this also tells which sites there are."""
    state, edges = plan.weights(taps), plan.edges(domain)
    if x.sparse:
        function = map_taps.count_readers if domain is x.domain else map_taps.follow_sites
        plan.step(function, [state, edges, x.domain.sites, domain.sites], domain)
    else:
        edges.value.degree[:] = (taps.reads >= 0).sum(1)
    return Neighbourhood(domain, state, edges, map_taps.incoming, map_taps.add_readers)


def _map(x: Any) -> Features:
    if not isinstance(x, Features) or x.size is None or x.sparse:
        raise Unsupported("it is not given a map")
    return x


def _sparse_map(x: Any) -> Features:
    if not isinstance(x, Features) or not x.sparse:
        raise Unsupported("it is not given a sparse map")
    return x


def _new_map(plan: Plan, size: tuple[int, ...]) -> Domain:
    """The cells of a dense map, which are all there from the first transaction on."""
    domain = plan.domain(math.prod(size))
    plan.step(map_taps.begin_map, [domain.sites], domain)
    return domain


def _size(x: Features) -> tuple[int, ...]:
    """Width and height of a map, and frames of a volume."""
    assert x.size is not None  # noqa: S101  # _map has seen to it
    return x.size


def _plane(x: Features) -> tuple[int, int]:
    """Width and height of what must be a map."""
    if len(_size(x)) != 2:
        raise Unsupported("it is given a volume, and not a map")
    width, height = _size(x)
    return width, height


def _pair(side: Any) -> tuple[int, int]:
    """Both sides of a window, of which one number may stand for both."""
    return (side, side) if isinstance(side, int) else (side[0], side[1])
