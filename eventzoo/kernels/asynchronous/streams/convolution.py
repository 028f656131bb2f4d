"""Event convolution, one event at a time."""

from typing import NamedTuple

import numba
import numpy as np

from eventzoo.kernels.asynchronous.exponential import exponential
from eventzoo.kernels.asynchronous.products import add_product
from eventzoo.kernels.asynchronous.sites import Edges, Floats, clear_row, copy_row


class StreamKernel(NamedTuple):
    """An event convolution's weights.

    Attributes:
        weight: float32 `[cells, decays · C_in, C_out]`.
        rate: float32 `[cells, decays]`.
        bias: float32 `[C_out]`.
        sums: Room for what a cell sums up, float32 `[decays · C_in]`.
    """

    weight: Floats
    rate: Floats
    bias: Floats
    sums: Floats


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def convolve(kernel: StreamKernel, x: Floats, slot: int, edges: Edges, count: int, out: Floats) -> int:  # noqa: ARG001  # the edges are its
    """An event's row, from the edges into it; how many cells of the stencil had any."""
    weight, rate, sums, source, offset = kernel.weight, kernel.rate, kernel.sums, edges.source, edges.offset
    copy_row(out, kernel.bias)
    channels, decays, e, products = x.shape[1], rate.shape[1], 0, 0
    while e < count:
        cell = np.int64(offset[e, 1])
        clear_row(sums)
        while e < count and np.int64(offset[e, 1]) == cell:
            row = x[source[e]]
            for k in range(decays):
                fading, first = exponential(-rate[cell, k] * offset[e, 0]), k * channels
                for c in range(channels):
                    sums[first + c] += fading * row[c]
            e += 1
        add_product(out, sums, weight[cell])
        products += 1
    return products
