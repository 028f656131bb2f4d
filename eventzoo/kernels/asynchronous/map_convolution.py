"""Convolution of a map, dense or sparse, kept up to date cell by cell.

What a cell contributes through a tap of the kernel, its *share*, depends on that cell alone. Shares are kept, so that a changed cell is
multiplied once by the weights of each tap, and the cells that read it add up shares anew: with k × k taps that is up to k² times fewer
products than convolving all of those cells, and as exact, because no sum is corrected by a difference. On a sparse map, only shares that an
active site reads are computed.
"""

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from eventzoo.kernels.asynchronous.map_taps import Taps
from eventzoo.kernels.asynchronous.products import multiply_four, multiply_row
from eventzoo.kernels.asynchronous.sites import ARRIVED, LEFT, Edges, Floats, Indices, Integers, Rows, Sites, copy_row


class MapKernel(NamedTuple):
    """A convolution's weights.

    Attributes:
        weight: float32 `[taps, C_in, C_out]`, or `[1, C_in, taps · C_out]` for `multiply_all_taps`.
        bias: float32 `[C_out]`.
    """

    weight: Floats
    bias: Floats


class TapShares(NamedTuple):
    """What the cells contribute.

    Attributes:
        share: The product of each cell's features with the weights of every tap, float32 `[cells, taps · C_out]`.
        known: Whether there is a site, and a share is that of its features as they are. bool `[cells, taps]`.
        wanted: Cells that are to be multiplied by a tap's weights, int32 `[taps, cells]`.
        counts: How many these are. int64 `[taps]`.
    """

    share: Floats
    known: NDArray[np.bool_]
    wanted: Indices
    counts: Integers


def make_shares(cells: int, taps: int, channels: int, known: bool) -> TapShares:
    """Shares of nothing yet; with `known`, of cells that will all be multiplied by all taps, always."""
    share = np.zeros((cells, taps * channels), np.float32)
    return TapShares(share, np.full((cells, taps), known), np.zeros((taps, cells), np.int32), np.zeros(taps, np.int64))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def has_changed(x: Integers, inputs: Integers, outputs: Integers) -> bool:
    """Whether any share may be stale, by the `counts` of the input's rows and sites, and of the output's sites."""
    return bool(x[0] + inputs[LEFT] + outputs[ARRIVED] > 0)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def multiply_changed(kernel: MapKernel, taps: Taps, shares: TapShares, x: Rows, inputs: Sites, outputs: Sites) -> int:
    """Bring the shares up to date that active sites read: those of cells that changed, and those that new sites are the first to read.

    Args:
        kernel: The weights.
        taps: Which cells the taps read.
        shares: The shares.
        x: Features of the input.
        inputs: Its sites.
        outputs: Sites of the output.

    Returns:
        Number of products of a row with a tap's weights.
    """
    reads, feeds, known, wanted, counts = taps.reads, taps.feeds, shares.known, shares.wanted, shares.counts
    changed, alive, reading, arrived = x.changed, inputs.alive, outputs.alive, outputs.arrived
    width = len(counts)
    for tap in range(width):
        counts[tap] = 0
    for k in range(inputs.counts[LEFT]):
        for tap in range(width):
            known[inputs.left[k], tap] = False
    for k in range(x.counts[0]):
        cell = changed[k]
        for tap in range(width):
            reader = feeds[cell, tap]
            known[cell, tap] = reader >= 0 and alive[cell] and reading[reader]
            if known[cell, tap]:
                wanted[tap, counts[tap]] = cell
                counts[tap] += 1
    for k in range(outputs.counts[ARRIVED]):
        for tap in range(width):
            cell = reads[arrived[k], tap]
            if cell >= 0 and alive[cell] and not known[cell, tap]:
                known[cell, tap] = True
                wanted[tap, counts[tap]] = cell
                counts[tap] += 1
    products = 0
    for tap in range(width):
        _multiply_wanted(kernel.weight[tap], shares.share, wanted[tap], counts[tap], tap * len(kernel.bias), x.rows)
        products += counts[tap]
    return products


@numba.njit(cache=True, nogil=True, error_model="numpy")
def multiply_all_taps(kernel: MapKernel, taps: Taps, shares: TapShares, x: Rows) -> int:
    """Bring all shares of the cells up to date that changed: `multiply_changed` of a dense map of which nearly all shares are read, and at
    few channels sooner.
    """
    _multiply_wanted(kernel.weight[0], shares.share, x.changed, x.counts[0], 0, x.rows)
    products = 0
    for k in range(x.counts[0]):
        for tap in range(taps.feeds.shape[1]):
            products += taps.feeds[x.changed[k], tap] >= 0
    return products


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _multiply_wanted(weight: Floats, share: Floats, wanted: Indices, count: int, first: int, rows: Floats) -> None:
    """Multiply cells by the weights of one tap, four at a time: the weights, which are what takes the time, are read once for them."""
    last, k = first + weight.shape[1], 0
    while k < count:
        if count >= 4 and k + 2 <= count:  # of the last four some may be multiplied for the second time, which gives the same bits
            k = min(k, count - 4)
            a, b, c, d = wanted[k], wanted[k + 1], wanted[k + 2], wanted[k + 3]
            outs = share[a, first:last], share[b, first:last], share[c, first:last], share[d, first:last]
            multiply_four(outs, (rows[a], rows[b], rows[c], rows[d]), weight)
            k += 4
        else:
            multiply_row(share[wanted[k], first:last], rows[wanted[k]], weight)
            k += 1


@numba.njit(cache=True, nogil=True, error_model="numpy")
def add_shares(
    kernel: MapKernel,
    taps: Taps,
    shares: TapShares,
    x: Floats,  # noqa: ARG001  # the shares are made of it
    cell: int,
    edges: Edges,  # noqa: ARG001  # reads tells which cells there are
    count: int,  # noqa: ARG001
    out: Floats,
) -> None:
    """A site's row: the sum of the shares that its taps read, in their order."""
    copy_row(out, kernel.bias)
    channels = len(out)
    for tap in range(taps.reads.shape[1]):
        source = taps.reads[cell, tap]
        if source >= 0 and shares.known[source, tap]:
            share, first = shares.share[source], tap * channels
            for c in range(channels):
                out[c] += share[first + c]
