"""What tokens know of time, as they come."""

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from eventzoo.kernels.asynchronous.sites import ARRIVED, Floats, Integers, Rows, Sites, commit
from eventzoo.kernels.asynchronous.tokens.attention import normalise

LINE, SINE, COSINE = range(3)  # kinds of waves


class GapWeights(NamedTuple):
    """Weights of the convolutions over gaps.

    Attributes:
        taps: Of all convolutions, one after the other, for the token before the last, the last and this; float32 `[channels, 3]`.
        norms: Weights and biases of their normalisations, float32 `[channels, 2]`.
        scale: Microseconds that count as 1, epsilon, and whether gaps count by their logarithm; float64 `[3]`.
        widths: Channels of each convolution's input, and of the last one's output; int64 `[convolutions + 1]`.
        wide: Room for a convolution's output, float32 `[C]`.
    """

    taps: Floats
    norms: Floats
    scale: NDArray[np.float64]
    widths: Integers
    wide: Floats


class Gaps(NamedTuple):
    """What the convolutions remember of the tokens before.

    Attributes:
        inputs: Of all convolutions, one after the other, of the token before the last and of the last; float32 `[channels, 2]`.
        last: Microseconds of the last token, and whether there was one; int64 `[2]`.
    """

    inputs: Floats
    last: Integers


class Waves(NamedTuple):
    """Functions of time: of w · s · t + b itself, its sine or its cosine.

    Attributes:
        rate: w, float32 `[C]`.
        phase: b, float32 `[C]`.
        kind: `LINE`, `SINE` or `COSINE`, int64 `[C]`.
        scale: Microseconds that count as 1, and s, float64 `[2]`.
    """

    rate: Floats
    phase: Floats
    kind: Integers
    scale: NDArray[np.float64]


class Origin(NamedTuple):
    """Microseconds of the first token, and whether there was one; int64 `[2]`."""

    first: Integers


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def embed_gaps(weights: GapWeights, gaps: Gaps, t: Integers, sites: Sites, rows: Rows) -> int:
    """Convolutions over the gaps before new tokens; how many these are."""
    rows.counts[0] = 0
    row, wide, inputs, widths = rows.row, weights.wide, gaps.inputs, weights.widths
    for k in range(sites.counts[ARRIVED]):
        gap = np.float32((t[k] - gaps.last[0]) / weights.scale[0]) if gaps.last[1] > 0 else np.float32(0)
        gaps.last[0], gaps.last[1] = t[k], 1
        row[0] = np.log1p(gap) if weights.scale[2] > 0 else gap
        at, to = 0, 0
        for conv in range(len(widths) - 1):
            narrow, width = widths[conv], widths[conv + 1]
            copies = width // narrow
            for c in range(narrow):
                before, last, this = inputs[at + c, 0], inputs[at + c, 1], row[c]
                inputs[at + c, 0], inputs[at + c, 1] = last, this
                for o in range(c * copies, (c + 1) * copies):
                    taps = weights.taps[to + o]
                    wide[o] = before * taps[0] + last * taps[1] + this * taps[2]
            normalise(wide[:width], weights.norms[to : to + width, 0], weights.norms[to : to + width, 1], weights.scale[1], True)
            for o in range(width):
                row[o] = max(wide[o], np.float32(0)) if conv < len(widths) - 2 else wide[o]
            at += narrow
            to += width
        commit(sites, rows, k)
    return int(sites.counts[ARRIVED])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def embed_time(waves: Waves, origin: Integers, t: Integers, sites: Sites, rows: Rows) -> int:
    """Functions of the time of new tokens since the first; how many these are. Operations are in torch's order, as phases may be large."""
    rows.counts[0] = 0
    row = rows.row
    for k in range(sites.counts[ARRIVED]):
        if origin[1] == 0:
            origin[0], origin[1] = t[k], 1
        scaled = np.float32((t[k] - origin[0]) / waves.scale[0]) * np.float32(waves.scale[1])
        for c in range(len(row)):
            phase = scaled * waves.rate[c] + waves.phase[c]
            row[c] = phase if waves.kind[c] == LINE else np.sin(phase) if waves.kind[c] == SINE else np.cos(phase)
        commit(sites, rows, k)
    return int(sites.counts[ARRIVED])
