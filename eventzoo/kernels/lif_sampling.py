"""Thinning of events by leaky integrate-and-fire neurons, after the LIF sampler of Event2Vec (Fang and Panda, 2025).

Each pixel has a neuron for either polarity. An event at (x, y, t) charges its neuron, whose potential v becomes

    v · exp(-λx |x - x'| / (W - 1) - λy |y - y'| / (H - 1) - λt (t - t') / T) + 1,    λ = -ln(h) / h

where (x', y', t') is the event that fired last, at any pixel (before the first, nothing leaks), and T the recording's
duration: at a distance of h, a potential falls to h of itself. Where v reaches the threshold, the event fires, and v falls
by the threshold.
"""

import math

import numba
import numpy as np
from numpy.typing import NDArray

from eventzoo.events import Events

_TOLERANCE = 1e-5  # of the threshold


def lif_sampling(events: Events, count: int, h: tuple[float, float, float]) -> NDArray[np.bool_]:
    """Which events fire, at the highest threshold found at which at least `count` of them do.

    The threshold is bisected until exactly `count` fire, or to a precision of 0.00001; more fire only in the latter case.

    Args:
        events: At least `count` events.
        count: Number of events that are to fire, at least 1.
        h: Decays in x, y and t, in (0, 1] each.

    Returns:
        bool `[N]`.
    """
    width, height = events.sensor_size
    extents = (max(width - 1, 1), max(height - 1, 1), max(events.duration, 1))
    leaks = np.array([-math.log(value) / value / extent for value, extent in zip(h, extents, strict=True)])
    fired: NDArray[np.bool_] = _search(events.x, events.y, events.t, events.p, width, height, leaks, count)
    return fired


@numba.njit(cache=True, nogil=True)
def _search(
    x: NDArray[np.int16],
    y: NDArray[np.int16],
    t: NDArray[np.int64],
    p: NDArray[np.bool_],
    width: int,
    height: int,
    leaks: NDArray[np.float64],
    count: int,
) -> NDArray[np.bool_]:
    """Bisect the threshold. At 0 every event fires; above N / count fewer than `count` do, as a potential is not more than was put in."""
    potentials = np.empty((2, height, width))
    fired, best = np.empty(len(t), np.bool_), np.ones(len(t), np.bool_)
    low, high = 0.0, len(t) / count + _TOLERANCE
    while high - low > _TOLERANCE:
        threshold = (low + high) / 2
        potentials[:] = 0.0
        number = _fire(x, y, t, p, leaks, threshold, potentials, fired)
        if number < count:
            high = threshold
            continue
        low = threshold
        best[:] = fired
        if number == count:
            break
    return best


@numba.njit(cache=True, nogil=True)
def _fire(
    x: NDArray[np.int16],
    y: NDArray[np.int16],
    t: NDArray[np.int64],
    p: NDArray[np.bool_],
    leaks: NDArray[np.float64],
    threshold: float,
    potentials: NDArray[np.float64],
    fired: NDArray[np.bool_],
) -> int:
    """Run the neurons once; marks in `fired` the events that fire, and returns their number."""
    number, last = 0, -1
    for i in range(len(t)):
        polarity = 1 if p[i] else 0
        potential = potentials[polarity, y[i], x[i]]
        if last >= 0 and potential > 0.0:
            leak = leaks[0] * abs(x[i] - x[last]) + leaks[1] * abs(y[i] - y[last]) + leaks[2] * (t[i] - t[last])
            potential *= math.exp(-leak)
        potential += 1.0
        fired[i] = potential >= threshold
        if fired[i]:
            potential -= threshold
            number += 1
            last = i
        potentials[polarity, y[i], x[i]] = potential
    return number
