"""Counters of time that start again from 0."""

from typing import Any

import numba

_WRAP = 1 << 32


@numba.njit(cache=True, nogil=True)
def unwrap(t: Any, last: int, wraps: int) -> int:
    """Add 2**32 for each restart of a counter of 32 bits, in place; the number of restarts so far.

    A fall by more than half of that is a restart; after one, such a rise is a time from before it that came late.

    Args:
        t: Counted times, int64 `[N]`.
        last: The counted time before the first one.
        wraps: Restarts before the first one.
    """
    for i in range(len(t)):
        rise = t[i] - last
        last = t[i]
        if rise < -(_WRAP >> 1):
            wraps += 1
        elif wraps and rise > _WRAP >> 1:
            wraps -= 1
        t[i] += wraps * _WRAP
    return wraps
