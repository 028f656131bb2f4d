"""Convolution of a map, kept up to date cell by cell.

What a cell contributes to the cells around it, its *shares*, depends on that cell alone. They are kept, so that a cell that changed is
multiplied once by the weights of all taps, and the cells around it add up shares anew: with k × k taps that is k² times fewer products than
convolving all of them, and as exact, because no sum is corrected by a difference.
"""

from typing import NamedTuple

import numba
import numpy as np

from eventzoo.kernels.asynchronous.products import multiply_pair, multiply_row
from eventzoo.kernels.asynchronous.sites import Edges, Floats, Indices, Rows, Sites, add, copy_row


class MapKernel(NamedTuple):
    """A convolution's weights, and which cells its taps read.

    Attributes:
        weight: float32 `[C_in, taps · C_out]`.
        bias: float32 `[C_out]`.
        reads: The cell that each tap of a cell reads, -1 beyond the map's edge; int32 `[cells, taps]`.
    """

    weight: Floats
    bias: Floats
    reads: Indices


class TapShares(NamedTuple):
    """The product of each cell's features with the weights of every tap, float32 `[cells, taps · C_out]`."""

    share: Floats


def taps(size: tuple[int, int], kernel_size: tuple[int, int]) -> Indices:
    """The cell that each tap of each cell reads, -1 beyond the map's edge.

    Args:
        size: `(width, height)` of the map.
        kernel_size: `(height, width)` of the kernel, odd, whose middle lies on the cell.

    Returns:
        int32 `[cells, taps]`, cells and taps row by row.
    """
    width, height = size
    tap_row, tap_column = (offset.ravel() for offset in np.indices(kernel_size))
    row, column = (place.ravel()[:, None] for place in np.indices((height, width)))
    row, column = row + tap_row - kernel_size[0] // 2, column + tap_column - kernel_size[1] // 2
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    return np.where(inside, row * width + column, -1).astype(np.int32)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def multiply_changed(kernel: MapKernel, shares: TapShares, x: Rows) -> int:
    """Bring the shares of the cells up to date whose features changed; how many these are."""
    count = x.counts[0]
    for k in range(0, count - 1, 2):
        one, other = x.changed[k], x.changed[k + 1]
        multiply_pair(shares.share[one], shares.share[other], x.rows[one], x.rows[other], kernel.weight)
    if count % 2 == 1:
        last = x.changed[count - 1]
        multiply_row(shares.share[last], x.rows[last], kernel.weight)
    return int(count)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def add_shares(kernel: MapKernel, shares: TapShares, x: Floats, cell: int, edges: Edges, count: int, out: Floats) -> None:  # noqa: ARG001
    """A cell's row: the sum of the shares that its taps read, in their order."""
    copy_row(out, kernel.bias)
    channels = len(out)
    for tap in range(kernel.reads.shape[1]):
        source = kernel.reads[cell, tap]
        if source >= 0:
            share, first = shares.share[source], tap * channels
            for c in range(channels):
                out[c] += share[first + c]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def incoming(kernel: MapKernel, edges: Edges, cells: Sites, cell: int) -> int:  # noqa: ARG001  # they never change
    """How many cells a cell reads; which they are, `reads` tells."""
    return int(edges.degree[cell])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def add_readers(kernel: MapKernel, cells: Sites, slots: Indices, count: int) -> None:
    """Put the cells on the worklist that read any of these: the same as those that it reads, as the kernel's middle lies on it."""
    for k in range(count):
        for tap in range(kernel.reads.shape[1]):
            reader = kernel.reads[slots[k], tap]
            if reader >= 0:
                add(cells, reader)
