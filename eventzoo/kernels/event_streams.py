"""Thinner and thinner streams of events, and which events of a stream another event looks at.

Pixels are numbered column by column, x · height + y, and the cells of a stencil in the same way, so that what happens at once is in the
order of the code published with the source. All times are whole microseconds, from 0 to 2⁶².

Source: Jack, Maire, Denman and Eriksson, "Sparse Convolutions on Continuous Domains for Point Cloud and Event Stream Networks", ACCV 2020.
"""

import math
from typing import Final, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.int64]
Pixels = NDArray[np.int16]
Indices = NDArray[np.int32]
Offsets = NDArray[np.int64]

FOREVER: Final = 1 << 62
"""A window that reaches as far back as there are events."""


class Stream(NamedTuple):
    """Events without polarities, in arrays without gaps.

    Attributes:
        t: Microseconds, non-decreasing, int64 `[N]`.
        x: Columns, int16 `[N]`.
        y: Rows, int16 `[N]`.
    """

    t: Times
    x: Pixels
    y: Pixels


class Stencil(NamedTuple):
    """The cells around an output event: the output of pixel q looks at the input pixels q · stride + offset.

    Attributes:
        stride: Pixels of the input's grid for each of the output's.
        dx: Column offset of each cell, int64.
        dy: Row offset of each cell, int64.
    """

    stride: int
    dx: Offsets
    dy: Offsets


class Neighborhoods(NamedTuple):
    """Edges from input to output events: in the order of the outputs, then of the stencil's cells, then of the inputs.

    Attributes:
        start: Where the edges of each output begin, and where the last one's end, int64 `[N_out + 1]`.
        source: The input event of each edge, int32 `[E]`.
        cell: The cell of the stencil that it is in, uint8 `[E]`.
        previous: The input event before each input at the same pixel, -1 for none, int32 `[N_in]`.
    """

    start: Offsets
    source: Indices
    cell: NDArray[np.uint8]
    previous: Indices


def _stencil(stride: int, cells: list[tuple[int, int]]) -> Stencil:
    dx, dy = np.array(cells, np.int64).T.copy()
    return Stencil(stride, dx, dy)


STRIDED: Final = _stencil(2, [(dx, dy) for dx in range(-1, 2) for dy in range(-1, 2)])
"""The 3×3 pixels around one, for an output grid of half the sides."""
PLUS: Final = _stencil(1, [(dx, dy) for dx in range(-2, 3) for dy in range(-2, 3) if dx == 0 or dy == 0])
"""The row and the column of five pixels around one."""
POINT: Final = _stencil(1, [(0, 0)])
"""One pixel."""


def halved(size: tuple[int, int]) -> tuple[int, int]:
    """`(width, height)` of the next level's grid: half the sides, rounded up."""
    return (size[0] + 1) // 2, (size[1] + 1) // 2


def spatial_lif(
    stream: Stream, size: tuple[int, int], decay_time: int, threshold: float, reset_potential: float
) -> tuple[Stream, NDArray[np.int64]]:
    """A thinner stream on a grid of half the sides: the outputs of leaky integrate-and-fire neurons, one a pixel of that grid.

    A neuron takes the events of the 3×3 pixels around its own, at a stride of two, and an event's charge of one is shared equally by
    the one, two or four neurons that take it. A potential v becomes v · exp(-Δt / decay_time) + charge, in double precision; where that is
    above the threshold, an event is put out with the input's time, and v becomes `reset_potential`. It is kept in single precision.
    One input can put out up to four events.

    Args:
        stream: The input.
        size: `(width, height)` of its grid; no event is outside.
        decay_time: Microseconds in which a potential falls to 1/e.
        threshold: Of the potential, exclusive.
        reset_potential: Of a neuron that has fired.

    Returns:
        The output; and for each of its events the number of the input that made it, int64 `[N_out]`.
    """
    width, height = halved(size)
    trigger, columns, rows = _fire(*stream, width, height, float(decay_time), float(threshold), float(reset_potential))
    return Stream(stream.t[trigger], columns, rows), trigger


def neighborhoods(
    inputs: Stream, size: tuple[int, int], outputs: Stream, visible: Offsets, stencil: Stencil, window: int, capacity: int
) -> Neighborhoods:
    """The input events that each output event looks at.

    In each cell of the stencil, these are the `capacity` latest of the events visible to the output, less those from more than `window`
    before it.

    Args:
        inputs: Input stream.
        size: `(width, height)` of its grid; no input is outside. Cells outside are empty.
        outputs: Output stream, in any place and at any times.
        visible: How many inputs each output can see, the first ones; non-decreasing, int64 `[N_out]`.
        stencil: The cells.
        window: Microseconds, inclusive; `FOREVER` for no limit.
        capacity: Latest events of a pixel that count, at least 1.
    """
    (width, height), (stride, dx, dy) = size, stencil
    window, capacity = min(window, FOREVER), min(capacity, len(inputs.t) + 1)  # so that no sum with them overflows
    found = _gather(*inputs, width, height, *outputs, visible, stride, dx, dy, window, capacity)
    return Neighborhoods(*found)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def join_edges(
    starts: Offsets, source: Indices, t_out: Times, begins_out: Offsets, t_in: Times, begins_in: Offsets, decay_time: float
) -> tuple[Offsets, NDArray[np.float32]]:
    """Edges of one neighbourhood in B samples, laid one after the other, as edges of one stream; and their ages.

    Args:
        starts: Where the edges of each output begin and those of a sample's last one end, counted anew in each, int64 `[N_out + B]`.
        source: Input of each edge `[E]`, counted anew in each sample; counted through all of them afterwards.
        t_out: Times of the outputs `[N_out]`.
        begins_out: First output of each sample, and one past the last one's end, int64 `[B + 1]`.
        t_in: Times of the inputs `[N_in]`.
        begins_in: The same for the inputs, int64 `[B + 1]`.
        decay_time: Microseconds.

    Returns:
        Where the edges of each output begin, and where the last one's end, int64 `[N_out + 1]`; and how long the input of each edge is past
        when its output happens, in decay times, float32 `[E]`.
    """
    start = np.zeros(len(t_out) + 1, np.int64)
    age = np.empty(len(source), np.float32)
    e = 0
    for sample in range(len(begins_out) - 1):
        for o in range(begins_out[sample], begins_out[sample + 1]):
            for _ in range(starts[o + sample], starts[o + sample + 1]):
                source[e] += begins_in[sample]
                age[e] = np.float32((t_out[o] - t_in[source[e]]) / decay_time)
                e += 1
            start[o + 1] = e
    return start, age


@numba.njit(cache=True, nogil=True, error_model="numpy")
def join_previous(previous: Indices, t: Times, begins: Offsets, decay_time: float) -> NDArray[np.float32]:
    """Decay times since the event before each at the same pixel, in B samples, laid one after the other; 0 for none; float32 `[N]`.

    Args:
        previous: That event, -1 for none `[N]`, counted anew in each sample; counted through all of them afterwards.
        t: Times `[N]`.
        begins: First event of each sample, and one past the last one's end, int64 `[B + 1]`.
        decay_time: Microseconds.
    """
    gap = np.zeros(len(t), np.float32)
    for sample in range(len(begins) - 1):
        for j in range(begins[sample], begins[sample + 1]):
            if previous[j] >= 0:
                previous[j] += begins[sample]
                gap[j] = np.float32((t[j] - t[previous[j]]) / decay_time)
    return gap


@numba.njit(cache=True, nogil=True)
def charged(potential: np.float32, elapsed: int, decay_time: float, charge: float) -> float:
    """The potential of a neuron after an event, before it fires."""
    return np.float64(potential) * math.exp(-elapsed / decay_time) + charge


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _fire(
    t: Times, x: Pixels, y: Pixels, width: int, height: int, decay_time: float, threshold: float, reset_potential: float
) -> tuple[Offsets, Pixels, Pixels]:
    potential = np.zeros(width * height, np.float32)
    last = np.zeros(width * height, np.int64)
    trigger = np.empty(len(t) // 4 + 4, np.int64)
    columns, rows = np.empty(len(trigger), np.int16), np.empty(len(trigger), np.int16)
    count = 0
    for i in range(len(t)):
        if count + 4 > len(trigger):
            trigger = np.concatenate((trigger, np.empty_like(trigger)))
            columns, rows = np.concatenate((columns, np.empty_like(columns))), np.concatenate((rows, np.empty_like(rows)))
        left, top = int(x[i]) // 2, int(y[i]) // 2
        right, bottom = min((int(x[i]) + 1) // 2, width - 1), min((int(y[i]) + 1) // 2, height - 1)
        charge = 1.0 / ((right - left + 1) * (bottom - top + 1))
        for column in range(left, right + 1):
            for row in range(top, bottom + 1):
                neuron = column * height + row
                value = charged(potential[neuron], t[i] - last[neuron], decay_time, charge)
                if value > threshold:
                    trigger[count], columns[count], rows[count] = i, column, row
                    count += 1
                    value = reset_potential
                potential[neuron], last[neuron] = value, t[i]
    return trigger[:count].copy(), columns[:count].copy(), rows[:count].copy()


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _gather(
    t_in: Times,
    x_in: Pixels,
    y_in: Pixels,
    width: int,
    height: int,
    t_out: Times,
    x_out: Pixels,
    y_out: Pixels,
    visible: Offsets,
    stride: int,
    dx: Offsets,
    dy: Offsets,
    window: int,
    capacity: int,
) -> tuple[Offsets, Indices, NDArray[np.uint8], Indices]:
    """Chains of each pixel's inputs, newest first, with what is not yet visible taken off their heads.

    From the last output to the first, and its cells likewise, so that edges are found in the opposite of their order, and fill `source`
    and `cell` from the end.
    """
    never = np.iinfo(np.int64).min
    newest = np.full(width * height, -1, np.int32)
    latest = np.full(width * height, never)  # their times
    previous = np.empty(len(t_in), np.int32)
    for j in range(len(t_in)):
        pixel = int(x_in[j]) * height + int(y_in[j])
        previous[j] = newest[pixel]
        newest[pixel], latest[pixel] = j, t_in[j]
    start = np.zeros(len(t_out) + 1, np.int64)  # before the end
    source = np.empty(len(dx) * len(t_out), np.int32)
    cell = np.empty(len(source), np.uint8)
    seen, free = len(t_in), len(source)
    for o in range(len(t_out) - 1, -1, -1):
        while seen > visible[o]:
            seen -= 1
            pixel, before = int(x_in[seen]) * height + int(y_in[seen]), previous[seen]
            newest[pixel], latest[pixel] = before, t_in[before] if before >= 0 else never
        if free < min(len(dx) * capacity, seen):  # an output has at most so many edges
            more = max(len(source), seen)
            source, cell = np.concatenate((np.empty(more, np.int32), source)), np.concatenate((np.empty(more, np.uint8), cell))
            free += more
        oldest = t_out[o] - window
        for k in range(len(dx) - 1, -1, -1):
            column, row = int(x_out[o]) * stride + dx[k], int(y_out[o]) * stride + dy[k]
            if not (0 <= column < width and 0 <= row < height) or latest[column * height + row] < oldest:
                continue
            j, full = newest[column * height + row], free - capacity
            while True:
                free -= 1
                source[free], cell[free] = j, k
                j = previous[j]
                if j < 0 or free == full or t_in[j] < oldest:
                    break
        start[o] = free - len(source)
    return start + (len(source) - free), source[free:].copy(), cell[free:].copy(), previous
