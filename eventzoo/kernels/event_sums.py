"""What a convolution of event streams sums: fading features of the events that an output event looks at, cell by cell of its stencil.

A *row* is a pair of an output event and a cell that it sees events in. The rows of a cell follow each other, so that they are multiplied
by its weights together, and cells without events cost nothing.
"""

from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from eventzoo.kernels.asynchronous.exponential import exponential
from eventzoo.kernels.asynchronous.sites import Indices, Integers

Reals = NDArray[np.floating[Any]]
"""float32 or float64, the same for all arrays of a call."""


class Rows(NamedTuple):
    """The rows R of a convolution, by cell, and for each cell by output event.

    Attributes:
        cell_start: Where the rows of each cell begin, and where the last one's end; int64 `[cells + 1]`.
        output: The output event, int32 `[R]`.
        first: Its first edge in this cell, int32 `[R]`.
        end: The edge after the last, int32 `[R]`.
    """

    cell_start: Integers
    output: Indices
    first: Indices
    end: Indices


@numba.njit(cache=True, nogil=True)
def group_rows(start: Integers, cell: NDArray[np.uint8], cells: int) -> Rows:
    """Group edges into rows.

    Args:
        start: Where the edges of each output event begin, and where the last one's end; int64 `[N_out + 1]`.
        cell: The cell of each edge, the edges of one following each other, all less than `cells`; uint8 `[E]`.
        cells: Cells of the stencil.
    """
    cell_start = np.zeros(cells + 1, np.int64)
    for o in range(len(start) - 1):
        for e in range(start[o], start[o + 1]):
            cell_start[cell[e] + 1] += e == start[o] or cell[e - 1] != cell[e]
    cell_start = np.cumsum(cell_start)
    position, count = cell_start[:-1].copy(), cell_start[-1]
    output, first, end = np.empty(count, np.int32), np.empty(count, np.int32), np.empty(count, np.int32)
    for o in range(len(start) - 1):
        row = 0
        for e in range(start[o], start[o + 1]):
            if e == start[o] or cell[e - 1] != cell[e]:
                row = position[cell[e]]
                position[cell[e]] += 1
                output[row], first[row] = o, e
            end[row] = e + 1
    return Rows(cell_start, output, first, end)


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def fade(first: Indices, end: Indices, age: Reals, rate: Reals) -> Reals:
    """What is left of each edge's event, exp(-rate · age), for the edges of some rows of one cell, one after the other: `[edges, K]`.

    Args:
        first: From `group_rows`, as is `end`.
        end: int32 `[rows]`.
        age: Of all edges, `[E]`.
        rate: The cell's, `[K]`.
    """
    fading = np.empty((np.sum(end - first), len(rate)), age.dtype)
    i = 0
    for r in range(len(first)):
        for e in range(first[r], end[r]):
            for k in range(len(rate)):
                fading[i, k] = -rate[k] * age[e]
            i += 1
    decay_all(fading.ravel())
    return fading


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def decay_all(values: Reals) -> None:
    """Replace values, at most 0, by their exponentials; a loop of its own, which is what vector units take."""
    if values.itemsize == 4:
        for i in range(len(values)):
            values[i] = exponential(np.float32(values[i]))
    else:
        for i in range(len(values)):
            values[i] = np.exp(values[i])


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def sum_rows(first: Indices, end: Indices, source: Indices, fading: Reals, x: Reals, out: Reals) -> None:
    """Sums of fading features.

    Args:
        first: From `group_rows`, as is `end`.
        end: int32 `[rows]`.
        source: The input event of each edge, int32 `[E]`.
        fading: From `fade`, `[edges, K]`.
        x: Features, the same ones for all exponentials, `[N_in, 1, C]`, or each one's own, `[N_in, K, C]`.
        out: Is filled, `[rows, K, C]`.
    """
    decays, channels, own = fading.shape[1], x.shape[2], int(x.shape[1] > 1)
    i = 0
    for r in range(len(first)):
        sums = out[r]
        for e in range(first[r], end[r]):
            a, fresh = x[source[e]], e == first[r]
            for k in range(decays):
                w, features, into = fading[i, k], a[k * own], sums[k]
                if fresh:
                    for c in range(channels):
                        into[c] = w * features[c]
                else:
                    for c in range(channels):
                        into[c] += w * features[c]
            i += 1


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def sum_polarities(first: Indices, end: Indices, source: Indices, fading: Reals, polarity: NDArray[np.bool_], out: Reals) -> None:
    """The same for polarities, bool `[N_in]`, each standing for two features of which one is 1; out `[rows, K, 2]`."""
    out[:] = 0
    i = 0
    for r in range(len(first)):
        for e in range(first[r], end[r]):
            c = int(polarity[source[e]])
            for k in range(fading.shape[1]):
                out[r, k, c] += fading[i, k]
            i += 1


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc"})
def spread_rows(
    first: Indices, end: Indices, source: Indices, age: Reals, fading: Reals, x: Reals, grad: Reals, grad_x: Reals, grad_rate: Reals
) -> None:
    """Gradients of `sum_rows`.

    Args:
        first: From `group_rows`, as is `end`.
        end: int32 `[rows]`.
        source: The input event of each edge, int32 `[E]`.
        age: Of all edges, `[E]`.
        fading: From `fade`, `[edges, K]`.
        x: As `sum_rows` was given them.
        grad: Of its sums, `[rows, K, C]`.
        grad_x: Of x, is added to; of no events if it is not wanted.
        grad_rate: Of the cell's rates, is added to; float64 `[K]`.
    """
    decays, channels, own, wanted = fading.shape[1], x.shape[2], int(x.shape[1] > 1), len(grad_x) > 0
    i = 0
    for r in range(len(first)):
        for e in range(first[r], end[r]):
            for k in range(decays):
                w, features, gradient = fading[i, k], x[source[e], k * own], grad[r, k]
                product = age[e] * 0
                for c in range(channels):
                    product += features[c] * gradient[c]
                if wanted:
                    into = grad_x[source[e], k * own]
                    for c in range(channels):
                        into[c] += w * gradient[c]
                grad_rate[k] -= age[e] * w * product
            i += 1


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def spread_polarities(
    first: Indices,
    end: Indices,
    source: Indices,
    age: Reals,
    fading: Reals,
    polarity: NDArray[np.bool_],
    grad: Reals,
    grad_rate: Reals,
) -> None:
    """The same for `sum_polarities`: the gradient of the rates alone."""
    i = 0
    for r in range(len(first)):
        for e in range(first[r], end[r]):
            c = int(polarity[source[e]])
            for k in range(fading.shape[1]):
                grad_rate[k] -= age[e] * fading[i, k] * grad[r, k, c]
            i += 1


@numba.njit(cache=True, nogil=True)
def add_rows(output: Indices, values: Reals, out: Reals) -> None:
    """Add rows `[rows, C]` to those of their output events, `[N_out, C]`."""
    for r in range(len(output)):
        into, row = out[output[r]], values[r]
        for c in range(len(row)):
            into[c] += row[c]
