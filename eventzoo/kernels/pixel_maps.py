"""Images of events: what happened at each pixel, in one pass over the events."""

import math

import numba
import numpy as np
from numpy.typing import NDArray

from eventzoo.events import Events
from eventzoo.kernels.time_bins import time_bins

Image = NDArray[np.float32]


def event_frames(events: Events, bins: int, duration: int | None) -> Image:
    """Number of events of each time bin and polarity at each pixel.

    Returns:
        float32 `[2 * bins, height, width]`: OFF and ON of the first bin, of the second, and so on.
    """
    image = _zeros(2 * bins, events)
    if len(events):
        _count(events.x, events.y, events.p, time_bins(events.t, bins, duration).first, image)
    return image


def voxel_grid(events: Events, bins: int, duration: int | None) -> Image:
    """Polarities, each shared by the two nearest ticks of time according to its distance from them.

    Returns:
        float32 `[bins, height, width]`.
    """
    image = _zeros(bins, events)
    if len(events):
        on_clock = duration is not None
        between = time_bins(events.t, bins if on_clock else bins - 1, duration)
        _share(events.x, events.y, events.t, events.p, *between, int(on_clock), image)
    return image


def time_surfaces(events: Events, bins: int, duration: int | None, tau: int) -> Image:
    """exp(-(end - t) / tau), with t the time of the newest event of each pixel and polarity before the end of each bin.

    Returns:
        float32 `[2 * bins, height, width]`: OFF and ON of the first bin, of the second, and so on; 0 where there was no event.
    """
    image = _zeros(2 * bins, events)
    if len(events):
        _remember(events.x, events.y, events.t, events.p, *time_bins(events.t, bins, duration), tau, image)
    return image


def event_queues(events: Events, size: int, absolute_time: bool) -> Image:
    """The newest events of each pixel, newest first.

    Returns:
        float32 `[2 * size, height, width]`: times before the newest, as shares of the largest; then polarities ±1.
    """
    image = _zeros(2 * size, events)
    if len(events):
        _enqueue(events.x, events.y, events.t, events.p, absolute_time, image)
    return image


def _zeros(channels: int, events: Events) -> Image:
    width, height = events.sensor_size
    return np.zeros((channels, height, width), np.float32)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _count(x: NDArray[np.int16], y: NDArray[np.int16], p: NDArray[np.bool_], first: NDArray[np.int64], image: Image) -> None:
    for k in range(len(first) - 1):
        for i in range(first[k], first[k + 1]):
            image[2 * k + p[i], y[i], x[i]] += np.float32(1)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _share(
    x: NDArray[np.int16],
    y: NDArray[np.int16],
    t: NDArray[np.int64],
    p: NDArray[np.bool_],
    first: NDArray[np.int64],
    origin: int,
    span: int,
    shift: int,
    image: Image,
) -> None:
    """The tick at the end of interval k is channel k + 1 - shift."""
    intervals = len(first) - 1
    for k in range(intervals):
        for i in range(first[k], first[k + 1]):
            sign = np.float32(1) if p[i] else np.float32(-1)
            late = np.float32(((t[i] - origin) * intervals - k * span) / span) if span else np.float32(1)
            if k >= shift:
                image[k - shift, y[i], x[i]] += sign * (np.float32(1) - late)
            image[k + 1 - shift, y[i], x[i]] += sign * late


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
    image: Image,
) -> None:
    bins = len(first) - 1
    decay = np.float32(math.exp(-span / bins / tau))
    for k in range(bins):
        if k:
            image[2 * k : 2 * k + 2] = image[2 * k - 2 : 2 * k] * decay
        end = (k + 1) * span / bins
        for i in range(first[k] if k else 0, first[k + 1]):
            image[2 * k + p[i], y[i], x[i]] = math.exp(((t[i] - origin) - end) / tau)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _enqueue(
    x: NDArray[np.int16], y: NDArray[np.int16], t: NDArray[np.int64], p: NDArray[np.bool_], absolute_time: bool, image: Image
) -> None:
    channels, height, width = image.shape
    size = channels // 2
    newest = np.full((height, width), -1, np.int32)
    before = np.empty(len(t), np.int32)
    for i in range(len(t)):
        before[i] = newest[y[i], x[i]]
        newest[y[i], x[i]] = i
    ages = np.empty(size)
    for row in range(height):
        for column in range(width):
            event = newest[row, column]
            if event < 0:
                continue
            latest, filled = t[event], 0
            while event >= 0 and filled < size:
                ages[filled] = latest - t[event]
                image[size + filled, row, column] = 1 if p[event] else -1
                event = before[event]
                filled += 1
            largest = ages[filled - 1]
            empty = 1.0
            if absolute_time and filled < size:
                empty = float(latest)
                largest = max(largest, empty)
            scale = 1 / largest if largest else 1.0
            for k in range(filled):
                image[k, row, column] = ages[k] * scale
            for k in range(filled, size):
                image[k, row, column] = empty * scale if absolute_time else 1.0
