"""Images of events: what happened at each pixel, in one pass over the events.

The events of each bin of time are a slice, as they are in order; so no event is asked for its bin. Slices are also what keeps the loops
free of tests for indices that count from the end.
"""

import math
from typing import TypeVar

import numba
import numpy as np
from numpy.typing import NDArray

from eventzoo.events import Events
from eventzoo.kernels.asynchronous.exponential import exponential
from eventzoo.kernels.time_bins import time_bins

Value = TypeVar("Value", bound=np.generic)
Image = NDArray[np.float32]
Columns = tuple[NDArray[np.int16], NDArray[np.int16], NDArray[np.int64], NDArray[np.bool_]]

FAINTEST = np.float32(math.exp(-87))
"""Least value of a time surface where there was an event, a little above the smallest normal number."""


def event_frames(events: Events, bins: int, duration: int | None) -> Image:
    """Number of events of each time bin and polarity at each pixel.

    Returns:
        float32 `[2 * bins, height, width]`: OFF and ON of the first bin, of the second, and so on.
    """
    image = np.zeros((2 * bins, *events.sensor_size[::-1]), np.float32)
    if len(events):
        x, y, t, p = _columns(events)
        _count(x, y, p, time_bins(t, bins, duration).first, events.sensor_size[0], image.reshape(bins, -1))
    return image


def voxel_grid(events: Events, bins: int, duration: int | None) -> Image:
    """Polarities, each shared by the two nearest ticks of time according to its distance from them.

    Returns:
        float32 `[bins, height, width]`.
    """
    if not len(events):
        return np.zeros((bins, *events.sensor_size[::-1]), np.float32)
    image = np.empty((bins, *events.sensor_size[::-1]), np.float32)
    x, y, t, p = _columns(events)
    intervals = bins - 1 if duration is None else bins  # on the clock, the tick before the first interval is no channel
    first, origin, span = time_bins(t, intervals, duration)
    if span == 0:  # then as if the clock had ticked just before, and all events are at the last tick
        origin, span = origin - 1, 1
    _share(x, y, t, p, first, origin, span, events.sensor_size[0], image.reshape(bins, -1))
    return image


def time_surfaces(events: Events, bins: int, duration: int | None, tau: int) -> Image:
    """exp(-(end - t) / tau), with t the time of the newest event of each pixel and polarity before the end of each bin.

    Returns:
        float32 `[2 * bins, height, width]`: OFF and ON of the first bin, of the second, and so on; at least `FAINTEST`, or 0 where
        there was no event.
    """
    if not len(events):
        return np.zeros((2 * bins, *events.sensor_size[::-1]), np.float32)
    image = np.empty((2 * bins, *events.sensor_size[::-1]), np.float32)
    x, y, t, p = _columns(events)
    first, origin, span = time_bins(t, bins, duration)
    first[0] = 0  # a surface remembers what was before the bins
    _remember(x, y, t, p, first, origin, span, float(tau), events.sensor_size[0], image.reshape(bins, -1))
    return image


def event_queues(events: Events, size: int, absolute_time: bool) -> Image:
    """The newest events of each pixel, newest first.

    Returns:
        float32 `[2 * size, height, width]`: times before the newest, as shares of the largest; then polarities ±1.
    """
    image = np.zeros((2, size, *events.sensor_size[::-1]), np.float32)
    if len(events):
        _enqueue(*_columns(events), absolute_time, events.sensor_size[0], *image.reshape(2, size, -1))
    return image.reshape(2 * size, *events.sensor_size[::-1])


def _columns(events: Events) -> Columns:
    """The events' arrays, copied where they have gaps, so that one compiled form serves for all."""
    return _column(events.x), _column(events.y), _column(events.t), _column(events.p)


def _column(values: NDArray[Value]) -> NDArray[Value]:
    column = np.ascontiguousarray(values)
    column.flags.writeable = False  # as in Events, and part of the type that numba compiles for
    return column


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _count(x: NDArray[np.int16], y: NDArray[np.int16], p: NDArray[np.bool_], first: NDArray[np.int64], width: int, image: Image) -> None:
    for k in range(len(image)):
        _count_bin(x[first[k] : first[k + 1]], y[first[k] : first[k + 1]], p[first[k] : first[k + 1]], width, image[k])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _count_bin(x: NDArray[np.int16], y: NDArray[np.int16], p: NDArray[np.bool_], width: int, image: Image) -> None:
    pixels = len(image) // 2
    for i in range(len(x)):
        image[p[i] * pixels + y[i] * width + x[i]] += np.float32(1)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _share(
    x: NDArray[np.int16],
    y: NDArray[np.int16],
    t: NDArray[np.int64],
    p: NDArray[np.bool_],
    first: NDArray[np.int64],
    origin: int,
    span: int,
    width: int,
    image: Image,
) -> None:
    """The ticks are as many as the channels, and the last interval ends at the last."""
    intervals = len(first) - 1
    sums = np.zeros((2, image.shape[1]))  # at the ticks before and after an interval; whole numbers, so that no order of events matters
    for k in range(intervals):
        a, b = first[k], first[k + 1]
        before, after = sums[k % 2], sums[1 - k % 2]
        _share_interval(x[a:b], y[a:b], t[a:b], p[a:b], origin, intervals, k * span, span, width, before, after)
        channel = k + len(image) - 1 - intervals
        if channel >= 0:
            _scale(before, 1 / span, image[channel])
        before[:] = 0.0
    _scale(sums[intervals % 2], 1 / span, image[-1])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _share_interval(
    x: NDArray[np.int16],
    y: NDArray[np.int16],
    t: NDArray[np.int64],
    p: NDArray[np.bool_],
    origin: int,
    intervals: int,
    start: int,
    span: int,
    width: int,
    before: NDArray[np.float64],
    after: NDArray[np.float64],
) -> None:
    """Add the shares of an interval's events, in parts of `span`; `start` is the tick before it, in time times intervals."""
    for i in range(len(x)):
        pixel = y[i] * width + x[i]
        late = (t[i] - origin) * intervals - start
        early = span - late
        before[pixel] += early if p[i] else -early
        after[pixel] += late if p[i] else -late


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _scale(sums: NDArray[np.float64], scale: float, image: Image) -> None:
    for j in range(len(image)):
        image[j] = np.float32(sums[j] * scale)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _remember(
    x: NDArray[np.int16],
    y: NDArray[np.int16],
    t: NDArray[np.int64],
    p: NDArray[np.bool_],
    first: NDArray[np.int64],
    origin: int,
    span: int,
    tau: float,
    width: int,
    image: Image,
) -> None:
    bins = len(image)
    decay = math.exp(-span / bins / tau)
    surface = np.zeros(image.shape[1])  # double, as errors of a decay add up over the bins
    for k in range(bins):
        a, b = first[k], first[k + 1]
        _remember_bin(x[a:b], y[a:b], t[a:b], p[a:b], origin, (k + 1) * span / bins, tau, width, surface)
        _decay(surface, decay, image[k])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _remember_bin(
    x: NDArray[np.int16],
    y: NDArray[np.int16],
    t: NDArray[np.int64],
    p: NDArray[np.bool_],
    origin: int,
    end: float,
    tau: float,
    width: int,
    surface: NDArray[np.float64],
) -> None:
    pixels = len(surface) // 2
    values = np.empty(len(t), np.float32)
    for i in range(len(t)):  # a loop of its own, for vector units
        values[i] = max(exponential(np.float32((t[i] - origin - end) / tau)), FAINTEST)
    for i in range(len(t)):
        surface[p[i] * pixels + y[i] * width + x[i]] = values[i]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _decay(surface: NDArray[np.float64], decay: float, image: Image) -> None:
    """Write a surface to an image, and put it forward by a bin."""
    for j in range(len(image)):
        value = surface[j]
        image[j] = np.float32(value)
        surface[j] = max(value * decay, np.float64(FAINTEST)) if value > 0 else 0.0


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _enqueue(
    x: NDArray[np.int16],
    y: NDArray[np.int16],
    t: NDArray[np.int64],
    p: NDArray[np.bool_],
    absolute_time: bool,
    width: int,
    times: Image,
    polarities: Image,
) -> None:
    size, pixels = times.shape
    filled = np.zeros(pixels, np.int64)
    newest = np.zeros(pixels, np.int64)
    for i in range(1, len(t) + 1):
        event = len(t) - i
        pixel = y[event] * width + x[event]
        slot = filled[pixel]
        if slot == 0:
            newest[pixel] = t[event]
        if slot < size:
            times[slot, pixel] = newest[pixel] - t[event]
            polarities[slot, pixel] = np.float32(1) if p[event] else np.float32(-1)
            filled[pixel] = slot + 1
    largest, empty = np.ones(pixels, np.float32), np.zeros(pixels, np.float32)
    for pixel in range(pixels):
        if filled[pixel] > 0:
            oldest = times[filled[pixel] - 1, pixel]
            if absolute_time and filled[pixel] < size:
                empty[pixel] = newest[pixel]
                oldest = max(oldest, empty[pixel])
            largest[pixel] = oldest if oldest > 0 else np.float32(1)
            empty[pixel] = empty[pixel] / largest[pixel] if absolute_time else np.float32(1)
    for slot in range(size):
        for pixel in range(pixels):
            share = times[slot, pixel] / largest[pixel]
            times[slot, pixel] = share if slot < filled[pixel] else empty[pixel]
