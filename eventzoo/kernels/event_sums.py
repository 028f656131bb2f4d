"""What a convolution of event streams sums: fading features of the events that an output event looks at, cell by cell of its stencil.

A *row* is a pair of an output event and a cell that it sees events in. Output events are taken some at a time, a *block*; its rows of a
cell follow each other, so that they are multiplied by the cell's weights together, and cells without events cost nothing.
"""

from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from eventzoo.kernels.asynchronous.exponential import exponential
from eventzoo.kernels.asynchronous.sites import Indices, Integers

Reals = NDArray[np.floating[Any]]
"""float32 or float64, the same for all arrays of a call."""
Cells = NDArray[np.uint8]


class Rows(NamedTuple):
    """The rows R of a convolution, by block, in it by cell, and in that by output event.

    Attributes:
        begin: Where the rows of each cell begin in each block, and where the block's last one's end; int64 `[blocks, cells + 1]`.
        output: The output event, int32 `[R]`.
        first: Its first edge in this cell, int32 `[R]`.
        end: The edge after the last, int32 `[R]`.
    """

    begin: Integers
    output: Indices
    first: Indices
    end: Indices


@numba.njit(cache=True, nogil=True)
def group_rows(start: Integers, cell: Cells, cells: int, size: int) -> Rows:
    """Group edges into rows.

    Args:
        start: Where the edges of each output event begin, and where the last one's end; int64 `[N_out + 1]`.
        cell: The cell of each edge, the edges of one following each other, all less than `cells`; uint8 `[E]`.
        cells: Cells of the stencil.
        size: Output events of a block.
    """
    outputs = len(start) - 1
    begin = np.zeros(((outputs + size - 1) // size, cells + 1), np.int64)
    for o in range(outputs):
        counts = begin[o // size]
        for e in range(start[o], start[o + 1]):
            counts[cell[e] + 1] += e == start[o] or cell[e - 1] != cell[e]
    count = 0
    for b in range(len(begin)):
        begin[b, 0] = count
        for p in range(cells):
            begin[b, p + 1] += begin[b, p]
        count = begin[b, cells]
    position = begin.copy()
    output, first, end = np.empty(count, np.int32), np.empty(count, np.int32), np.empty(count, np.int32)
    for o in range(outputs):
        row, free = 0, position[o // size]
        for e in range(start[o], start[o + 1]):
            if e == start[o] or cell[e - 1] != cell[e]:
                row = free[cell[e]]
                free[cell[e]] += 1
                output[row], first[row] = o, e
            end[row] = e + 1
    return Rows(begin, output, first, end)


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def fade(first: Indices, end: Indices, cell: Cells, age: Reals, rates: Reals) -> Reals:
    """What is left of each edge's event, exp(-rate · age), for the edges of some rows, one after the other: `[edges, K]`.

    Args:
        first: From `group_rows`, as is `end`.
        end: int32 `[rows]`.
        cell: Of all edges, uint8 `[E]`.
        age: Of all edges, `[E]`.
        rates: `[cells, K]`.
    """
    fading = np.empty((np.sum(end - first), rates.shape[1]), age.dtype)
    i = 0
    for r in range(len(first)):
        for e in range(first[r], end[r]):
            for k in range(rates.shape[1]):
                fading[i, k] = -rates[cell[e], k] * age[e]
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
    out[: len(first)] = 0
    i = 0
    for r in range(len(first)):
        for e in range(first[r], end[r]):
            c = int(polarity[source[e]])
            for k in range(fading.shape[1]):
                out[r, k, c] += fading[i, k]
            i += 1


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc"})
def spread_rows(
    first: Indices,
    end: Indices,
    source: Indices,
    cell: Cells,
    age: Reals,
    fading: Reals,
    x: Reals,
    grad: Reals,
    grad_x: Reals,
    grad_rates: Reals,
) -> None:
    """Gradients of `sum_rows`.

    Args:
        first: From `group_rows`, as is `end`.
        end: int32 `[rows]`.
        source: The input event of each edge, int32 `[E]`.
        cell: Of all edges, uint8 `[E]`.
        age: Of all edges, `[E]`.
        fading: From `fade`, `[edges, K]`.
        x: As `sum_rows` was given them.
        grad: Of its sums, `[rows, K, C]`.
        grad_x: Of x, is added to; of no events if it is not wanted.
        grad_rates: Is added to; float64 `[cells, K]`.
    """
    decays, channels, own, wanted = fading.shape[1], x.shape[2], int(x.shape[1] > 1), len(grad_x) > 0
    fours = decays // 4 * 4 if wanted and not own else 0
    i = 0
    for r in range(len(first)):
        for e in range(first[r], end[r]):
            of_rates, zero = grad_rates[cell[e]], age[e] * 0
            for k in range(0, fours, 4):  # four at a time: what they share is read and written once
                features, into = x[source[e], 0], grad_x[source[e], 0]
                w0, w1, w2, w3 = fading[i, k], fading[i, k + 1], fading[i, k + 2], fading[i, k + 3]
                p0, p1, p2, p3, g0, g1, g2, g3 = zero, zero, zero, zero, grad[r, k], grad[r, k + 1], grad[r, k + 2], grad[r, k + 3]
                for c in range(channels):
                    p0 += features[c] * g0[c]
                    p1 += features[c] * g1[c]
                    p2 += features[c] * g2[c]
                    p3 += features[c] * g3[c]
                    into[c] += w0 * g0[c] + w1 * g1[c] + w2 * g2[c] + w3 * g3[c]
                of_rates[k] -= age[e] * w0 * p0
                of_rates[k + 1] -= age[e] * w1 * p1
                of_rates[k + 2] -= age[e] * w2 * p2
                of_rates[k + 3] -= age[e] * w3 * p3
            for k in range(fours, decays):
                w, features, gradient, product = fading[i, k], x[source[e], k * own], grad[r, k], zero
                if wanted:
                    into = grad_x[source[e], k * own]
                    for c in range(channels):
                        product += features[c] * gradient[c]
                        into[c] += w * gradient[c]
                else:
                    for c in range(channels):
                        product += features[c] * gradient[c]
                of_rates[k] -= age[e] * w * product
            i += 1


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def spread_polarities(
    first: Indices,
    end: Indices,
    source: Indices,
    cell: Cells,
    age: Reals,
    fading: Reals,
    polarity: NDArray[np.bool_],
    grad: Reals,
    grad_rates: Reals,
) -> None:
    """The same for `sum_polarities`: the gradient of the rates alone."""
    i = 0
    for r in range(len(first)):
        for e in range(first[r], end[r]):
            c = int(polarity[source[e]])
            for k in range(fading.shape[1]):
                grad_rates[cell[e], k] -= age[e] * fading[i, k] * grad[r, k, c]
            i += 1


@numba.njit(cache=True, nogil=True)
def add_rows(output: Indices, values: Reals, out: Reals) -> None:
    """Add rows `[rows, C]` to those of their output events, `[N_out, C]`."""
    for r in range(len(output)):
        into, row = out[output[r]], values[r]
        for c in range(len(row)):
            into[c] += row[c]


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def trace(x: Reals, previous: Indices, gap: Reals, rate: Reals) -> Reals:
    """What is left of all events of a pixel when another happens there, itself included: `[N_in, K, C]`.

    Args:
        x: Features, `[N_in, C]`.
        previous: The event before each at the same pixel, less than its own number, or -1; int32 `[N_in]`.
        gap: Decay times from that to this, `[N_in]`.
        rate: `[K]`.
    """
    fading = _fade_gaps(gap, rate)
    traces = np.empty((len(x), len(rate), x.shape[1]), x.dtype)
    for j in range(len(x)):
        features = x[j]
        for k in range(len(rate)):
            own = traces[j, k]
            if previous[j] < 0:
                for c in range(len(features)):
                    own[c] = features[c]
            else:
                w, before = fading[j, k], traces[previous[j], k]
                for c in range(len(features)):
                    own[c] = features[c] + w * before[c]
    return traces


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc"})
def spread_traces(previous: Indices, gap: Reals, rate: Reals, traces: Reals, grad: Reals, grad_rate: Reals) -> Reals:
    """Gradients of `trace`.

    Args:
        previous: As `trace` was given it, as are `gap` and `rate`.
        gap: `[N_in]`.
        rate: `[K]`.
        traces: What it made, `[N_in, K, C]`.
        grad: Of that; each event's is added, faded, to the one's before it.
        grad_rate: Is added to; float64 `[K]`.

    Returns:
        The gradient of the features, `[N_in, C]`.
    """
    fading = _fade_gaps(gap, rate)
    grad_x = np.zeros((len(traces), traces.shape[2]), traces.dtype)
    for j in range(len(traces) - 1, -1, -1):
        into = grad_x[j]
        for k in range(len(rate)):
            gradient = grad[j, k]
            for c in range(len(into)):
                into[c] += gradient[c]
            if previous[j] >= 0:
                w, before, of_before, product = fading[j, k], traces[previous[j], k], grad[previous[j], k], gap[j] * 0
                for c in range(len(into)):
                    product += before[c] * gradient[c]
                    of_before[c] += w * gradient[c]
                grad_rate[k] -= gap[j] * w * product
    return grad_x


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _fade_gaps(gap: Reals, rate: Reals) -> Reals:
    fading = np.empty((len(gap), len(rate)), gap.dtype)
    for j in range(len(gap)):
        for k in range(len(rate)):
            fading[j, k] = -rate[k] * gap[j]
    decay_all(fading.ravel())
    return fading
