"""Bins that cut up time for representations, and which events are in each."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from eventzoo.errors import EventZooError


class TimeBins(NamedTuple):
    """Equal bins of time. Bin k is from `origin + k · span / K` to `origin + (k + 1) · span / K`, its end excluded.

    Attributes:
        first: Number of the first event of each bin, and one past the last event, int64 `[K + 1]`. Earlier events are in none.
        origin: Where the first bin begins, microseconds.
        span: Microseconds of all bins together.
    """

    first: NDArray[np.int64]
    origin: int
    span: int


def time_bins(t: NDArray[np.int64], bins: int, duration: int | None) -> TimeBins:
    """Bins that divide a recording, or bins of a fixed length that lie on the clock's grid.

    Args:
        t: Times in microseconds, non-decreasing, int64 `[N]`, `N >= 1`.
        bins: Number of bins K.
        duration: None: from the first event to the last, which is in the last bin, and so are all where all are of one time.
            Microseconds, divisible by K: an event is in the clock's bin number t // (duration / K), and the K bins are those up to
            the last event's.
    """
    newest = int(t[-1])
    if duration is None:
        origin = int(t[0])
        span = newest - origin
        edges = origin - -span * np.arange(bins) // bins
    else:
        length, span = duration // bins, duration
        origin = (newest // length - bins + 1) * length
        edges = origin + length * np.arange(bins)
    return TimeBins(np.append(np.searchsorted(t, edges), len(t)), origin, span)


def check_time_bins(part: str, bins: int, duration: int | None, least: int = 1) -> None:
    """Refuse what `time_bins` cannot do.

    Args:
        part: Name of the representation.
        bins: Number of bins.
        duration: Microseconds of all bins together, or None.
        least: Fewest bins that the representation can have.

    Raises:
        EventZooError: There are too few bins, or their length would be no whole number of microseconds, at least one.
    """
    if bins < least:
        raise EventZooError(f"{part}: bins >= {least} is needed, not {bins}")
    if duration is not None and (duration < bins or duration % bins):
        raise EventZooError(
            f"{part}: {bins} bins of whole microseconds cannot divide a duration of {duration:,} µs; "
            f"take a multiple of {bins}, such as {max(round(duration / bins), 1) * bins:,}"
        )
