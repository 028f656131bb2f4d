"""Accounting: operations really done, and time really taken."""

from dataclasses import dataclass

import numpy as np

KEPT = 100_000
"""Pushes whose durations are kept."""


@dataclass(frozen=True)
class LayerFlops:
    """Floating-point operations of a layer, a multiply-add being 2.

    Attributes:
        name: The layer.
        per_event: Operations that were done, divided by the events that were pushed.
        synchronous: Operations of one synchronous forward on the window as it is now.
        sites_per_event: Sites (events, voxels, cells) that were computed, divided by the events that were pushed.
        sites: Sites that a synchronous forward computes.
    """

    name: str
    per_event: float
    synchronous: float
    sites_per_event: float
    sites: int


class Latency:
    """How long pushes took, from the call to the current answer; of the latest 100,000."""

    def __init__(self) -> None:
        self._nanoseconds, self._events = np.zeros(KEPT, np.int64), np.zeros(KEPT, np.int64)
        self.pushes = 0

    def add(self, nanoseconds: int, events: int) -> None:
        """Note a push."""
        at = self.pushes % KEPT
        self._nanoseconds[at], self._events[at] = nanoseconds, events
        self.pushes += 1

    def percentile(self, *shares: float) -> tuple[float, ...]:
        """Percentiles of a push's duration in microseconds; NaN where there was none."""
        if self.pushes == 0:
            return (float("nan"),) * len(shares)
        return tuple((np.percentile(self._nanoseconds[: self.pushes], shares) / 1e3).tolist())

    @property
    def per_event(self) -> float:
        """Microseconds an event, over all that are kept; NaN where there was none."""
        events = int(self._events.sum())
        return float(self._nanoseconds.sum()) / 1e3 / events if events else float("nan")

    def __str__(self) -> str:
        if self.pushes == 0:
            return "no push yet"
        middle, high, highest = self.percentile(50, 99, 100)
        return f"{self.pushes:,} pushes: median {middle:,.1f} µs, 99 % within {high:,.1f} µs, longest {highest:,.1f} µs"
