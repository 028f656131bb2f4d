"""What images of events hold at one pixel, from the events in the window at that pixel."""

import numba
import numpy as np

from eventzoo.kernels.asynchronous.pixel_stream import PixelStream
from eventzoo.kernels.asynchronous.sites import Floats


@numba.njit(cache=True, nogil=True, error_model="numpy")
def histogram_row(stream: PixelStream, noted: Floats, pixel: int, out: Floats) -> None:  # noqa: ARG001  # rows of nothing
    """Numbers of events of each polarity."""
    out[0], out[1] = np.float32(stream.size[2 * pixel]), np.float32(stream.size[2 * pixel + 1])
