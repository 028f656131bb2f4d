"""Convolution of a map, event by event."""

from typing import Any, ClassVar

import numpy as np
from torch import nn

from eventzoo.asynchronous import AsyncConverter, Cost, Features, Neighbourhood, Plan, Unsupported
from eventzoo.kernels.asynchronous import map_convolution
from eventzoo.kernels.asynchronous.map_convolution import MapKernel, TapShares


class AsyncConv2d(AsyncConverter):
    """Convolutions that leave a map its size: odd kernels, stride 1, and as many zeros around the map as the kernel reaches."""

    handles: ClassVar = (nn.Conv2d,)

    def convert(self, plan: Plan, layer: nn.Conv2d, *args: Any, **kwargs: Any) -> Features:
        """The convolved map."""
        x = args[0] if args else kwargs["input"]
        if not isinstance(x, Features) or x.size is None:
            raise Unsupported("it is not given a map")
        _check(layer)
        height, width = layer.kernel_size
        channels, count = layer.out_channels, height * width
        weight = layer.weight.detach().float().cpu().numpy().transpose(1, 2, 3, 0).reshape(x.channels, count * channels)
        bias = np.zeros(channels, np.float32) if layer.bias is None else layer.bias.detach().float().cpu().numpy()
        reads = map_convolution.taps(x.size, (height, width))
        kernel = plan.weights(MapKernel(weight, bias, reads))
        cells = x.domain.capacity
        shares = plan.state(TapShares(np.zeros((cells, count * channels), np.float32)))
        # in all, 2 · C_in · C_out a tap that lies on the map, as in a convolution done at once
        product = Cost(site=(2 * x.channels - 1) * channels * count)
        plan.step(map_convolution.multiply_changed, [kernel, shares, x.rows], x.domain, product)
        edges = plan.edges(x.domain)
        edges.value.degree[:] = (reads >= 0).sum(1)
        neighbours = Neighbourhood(x.domain, kernel, edges, map_convolution.incoming, map_convolution.add_readers)
        return plan.rows(map_convolution.add_shares, [kernel, shares], x, channels, neighbours, cost=Cost(edge=channels))


def _check(layer: nn.Conv2d) -> None:
    """Refuse what is not such a convolution, and say why."""
    reach = tuple(side // 2 for side in layer.kernel_size)
    if any(side % 2 == 0 for side in layer.kernel_size):
        raise Unsupported(f"its kernel of {'×'.join(map(str, layer.kernel_size))} has no middle")
    if layer.stride != (1, 1) or layer.dilation != (1, 1) or layer.groups != 1:
        raise Unsupported(f"its stride is {layer.stride}, its dilation {layer.dilation} and its groups {layer.groups}, and all must be 1")
    if layer.padding_mode != "zeros" or (layer.padding != "same" and layer.padding != reach):
        raise Unsupported(f"it pads the map by {layer.padding} ({layer.padding_mode}), and not by {reach} zeros, which keep the map's size")
