"""Event convolution with traces, event by event.

A pixel's past is one trace: the sum of its events' features, each faded by its age. Features of the newest microsecond may still change, so
a pixel that has events of it has two, with and without them; no trace is ever corrected.
"""

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from eventzoo.kernels.asynchronous.exponential import exponential
from eventzoo.kernels.asynchronous.products import add_product
from eventzoo.kernels.asynchronous.sites import ARRIVED, TOUCHED, Floats, Integers, Rows, Sites, commit, copy_row
from eventzoo.kernels.asynchronous.streams.convolution import StreamKernel
from eventzoo.kernels.asynchronous.streams.levels import ALL, CLOCK, LAST, NEVER, TO_TRIGGER, Sight, Track


class Traces(NamedTuple):
    """The traces of a level's pixels, of each K · C numbers.

    Attributes:
        settled: Without the events of the newest microsecond, float32 `[pixels, K · C]`.
        settled_at: When its last event was, microseconds, `NEVER` if there was none. int64 `[pixels]`.
        current: With them, where there are any. float32 `[pixels, K · C]`.
        current_at: When its last event was, if that is not settled; else `NEVER`. int64 `[pixels]`.
        open: Number of the pixels that have a current trace, and which these are. int64 `[1 + pixels]`.
        at: Number of the first event that is not settled, and of the first that is in no trace. int64 `[2]`.
    """

    settled: Floats
    settled_at: Integers
    current: Floats
    current_at: Integers
    open: Integers
    at: Integers


SETTLED, ADDED = range(2)  # positions in Traces.at


def make_traces(pixels: int, width: int) -> Traces:
    """Traces of no events, of this many numbers each."""
    times: tuple[NDArray[np.int64], ...] = tuple(np.full(pixels, NEVER, np.int64) for _ in range(2))
    traces = tuple(np.zeros((pixels, width), np.float32) for _ in range(2))
    return Traces(traces[0], times[0], traces[1], times[1], np.zeros(1 + pixels, np.int64), np.zeros(2, np.int64))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def has_news(at: Integers, inputs: Integers, sites: Integers, y: Integers) -> bool:
    """Whether there is anything to do: events came, are to be computed again, or are not settled.

    Args:
        at: Of the traces.
        inputs: `at` of the track of the level looked at.
        sites: `counts` of the events' own sites.
        y: `counts` of their rows; no row has changed so far.
    """
    y[0] = 0
    return bool(sites[ARRIVED] + sites[TOUCHED] > 0 or inputs[LAST] > at[SETTLED])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def convolve_traces(
    kernel: StreamKernel, traces: Traces, sight: Sight, recording: Integers, inputs: Track, outputs: Track, x: Rows, sites: Sites, y: Rows
) -> int:
    """Bring the traces up to date, and the rows of the events that came, each with the traces as they were when it did.

    Args:
        kernel: Weights; rates are `[1, K]`.
        traces: Those of the level looked at.
        sight: What an event sees of it.
        recording: Track.at of the recording.
        inputs: The level looked at.
        outputs: The events' own level.
        x: Features of the former.
        sites: Sites of the latter.
        y: Their rows.

    Returns:
        How many traces were read.
    """
    for k in range(traces.open[0]):
        traces.current_at[traces.open[1 + k]] = NEVER
    traces.open[0] = 0
    traces.at[ADDED] = traces.at[SETTLED]
    now, order, read = recording[CLOCK], sight.order[0], 0
    touched = sites.counts[TOUCHED]
    for k in range(touched + sites.counts[ARRIVED]):
        slot = sites.touched[k] if k < touched else sites.arrived[k - touched]
        seen = inputs.at[LAST]
        if order != ALL:
            seen = (outputs.trigger[slot] if order == TO_TRIGGER else sites.id[slot]) + 1
        _add_events(kernel, traces, sight, inputs, x.rows, seen, outputs.t[slot], now)
        read += _read(kernel, traces, sight, outputs, slot, y.row)
        commit(sites, y, slot)
    _add_events(kernel, traces, sight, inputs, x.rows, inputs.at[LAST], now, now)
    return read


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _add_events(kernel: StreamKernel, traces: Traces, sight: Sight, inputs: Track, x: Floats, end: int, until: int, now: int) -> None:
    """Add the events before the number `end` and not after the time `until` to the traces of their pixels."""
    at, mask, rate, channels = traces.at, len(inputs.t) - 1, kernel.rate, x.shape[1]
    while at[ADDED] < end and inputs.t[at[ADDED] & mask] <= until:
        slot = at[ADDED] & mask
        pixel, t, row = inputs.pixel[slot], inputs.t[slot], x[slot]
        at[ADDED] += 1
        trace, last = traces.settled[pixel], traces.settled_at[pixel]
        if t < now:
            at[SETTLED] = at[ADDED]
            traces.settled_at[pixel] = t
        else:
            if traces.current_at[pixel] == NEVER:
                traces.open[0] += 1
                traces.open[traces.open[0]] = pixel
                copy_row(traces.current[pixel], trace)
            else:
                last = traces.current_at[pixel]
            trace = traces.current[pixel]
            traces.current_at[pixel] = t
        gap = np.float32(0)
        if last != NEVER:
            gap = np.float32((t - last) / sight.decay[0])
        for k in range(rate.shape[1]):
            fading, first = exponential(-rate[0, k] * gap), k * channels
            for c in range(channels):
                trace[first + c] = row[c] + fading * trace[first + c]


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _read(kernel: StreamKernel, traces: Traces, sight: Sight, outputs: Track, slot: int, out: Floats) -> int:
    """An event's row, from the traces as they are; how many there were."""
    copy_row(out, kernel.bias)
    width, height, own_height, stride = sight.grid
    x, y = outputs.pixel[slot] // own_height * stride, outputs.pixel[slot] % own_height * stride
    rate, sums, read = kernel.rate, kernel.sums, 0
    channels = len(sums) // rate.shape[1]
    for cell in range(len(sight.dx)):
        column, row = x + sight.dx[cell], y + sight.dy[cell]
        if column < 0 or row < 0 or column >= width or row >= height:
            continue
        pixel = column * height + row
        trace, last = traces.settled[pixel], traces.settled_at[pixel]
        if traces.current_at[pixel] != NEVER:
            trace, last = traces.current[pixel], traces.current_at[pixel]
        if last == NEVER:
            continue
        age = np.float32((outputs.t[slot] - last) / sight.decay[0])
        for k in range(rate.shape[1]):
            fading, first = exponential(-rate[0, k] * age), k * channels
            for c in range(channels):
                sums[first + c] = fading * trace[first + c]
        add_product(out, sums, kernel.weight[cell])
        read += 1
    return read
