"""Both parts of ours that eventzoo does not know, event by event. All other layers of `BarNet` have converters already.

Compiled functions stand at the level of a module, where numba keeps them on disk.
"""

from typing import Any, ClassVar, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from eventzoo.asynchronous import AsyncConverter, Cost, Features, Plan, Unsupported, pixel_map
from eventzoo.kernels.asynchronous.pixel_stream import FIRST, TICK, TICK_LENGTH, PixelStream
from eventzoo_template.bar_net import Saturate
from eventzoo_template.decaying_counts import OLDEST, DecayingCounts

Floats = NDArray[np.float32]


class Gain(NamedTuple):
    """Weights are handed to compiled functions as a NamedTuple of arrays."""

    gain: Floats  # [channels]


class AsyncDecayingCounts(AsyncConverter):
    """An event changes the counts of its pixel; all pixels with events change when a tick begins."""

    handles: ClassVar = (DecayingCounts,)

    def convert(self, plan: Plan, layer: DecayingCounts, *args: Any, **kwargs: Any) -> Features:
        """The image."""
        return pixel_map(plan, decaying_counts_row, [], layer.channels, layer.tick)


class AsyncSaturate(AsyncConverter):
    """A pixel's features are changed in their place."""

    handles: ClassVar = (Saturate,)

    def convert(self, plan: Plan, layer: Saturate, *args: Any, **kwargs: Any) -> Features:
        """The saturated features."""
        x = args[0] if args else kwargs["x"]
        if not isinstance(x, Features):
            raise Unsupported("it is not given features")  # then it is run densely, and users are told so
        weights = plan.weights(Gain(layer.log_gain.detach().exp().numpy()))
        return plan.refine(saturate_row, [weights], x, cost=Cost(site=4 * x.channels))  # operations, for the accounting


@numba.njit(cache=True, nogil=True, error_model="numpy")
def decaying_counts_row(stream: PixelStream, noted: Floats, pixel: int, out: Floats) -> None:
    """The counts of one pixel, from its events of each polarity, newest first."""
    first, mask = stream.at[FIRST], len(stream.t) - 1
    for polarity in range(2):
        number, total = stream.newest[2 * pixel + polarity], 0.0
        while number >= first:
            age = stream.at[TICK] - stream.t[number & mask] // stream.limits[TICK_LENGTH]
            if age >= OLDEST:
                break
            total += 0.5**age
            number = stream.before[number & mask]
        out[polarity] = total


@numba.njit(cache=True, nogil=True, error_model="numpy")
def saturate_row(weights: Gain, row: Floats) -> None:
    """One pixel's features."""
    for c in range(len(row)):
        row[c] *= weights.gain[c]
        row[c] /= np.float32(1) + abs(row[c])
