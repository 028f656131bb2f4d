"""How a recording goes through a model: what is counted and timed on the way, and whether the model keeps up."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from eventzoo.commands.streaming import answers
from eventzoo.events import Events

if TYPE_CHECKING:
    from eventzoo.asynchronous import AsyncModel

_NAP = 0.1  # seconds: waiting is done in steps of so long, for the display's sake
_LATE, _LATE_SHARE = 0.05, 0.01  # seconds, or a share of the time: who ends no later than that has kept up with real time


class Tally:
    """Pushes events to a model, keeps the clock, and says whether the model keeps up.

    Args:
        stream: The model.
        speed: How many seconds of the recording are to pass in a second; None to go as fast as possible.

    Attributes:
        events: Events that were pushed.
        recorded: Seconds of the recording from the first of them to the last.
        result: The current answer.
        pushing: Seconds that pushes took.
        lag: Real time only: seconds from when the last event of a push was due until it was answered.
        largest_lag: The largest of these.
    """

    def __init__(self, stream: "AsyncModel", speed: float | None) -> None:
        self.stream, self.real_time, self._speed = stream, speed is not None, speed or 1.0
        self.events, self.recorded, self.pushing = 0, 0.0, 0.0
        self.result = stream.output()
        self.lag = self.largest_lag = 0.0
        self._first = 0  # time of the first event in the recording, microseconds
        self._start = time.perf_counter()
        self._stop: float | None = None
        self._spared = 0.0  # seconds of waiting and showing

    def begin(self, first: int) -> None:
        """Start the clock, at the time of the first event in the recording, microseconds."""
        self._start, self._first = time.perf_counter(), first

    def end(self) -> None:
        """Stop the clock."""
        self._stop = time.perf_counter()

    @property
    def elapsed(self) -> float:
        """Seconds on the clock."""
        return (time.perf_counter() if self._stop is None else self._stop) - self._start

    @property
    def work(self) -> float:
        """Seconds of reading, pushing and writing: all but waiting and showing."""
        return self.elapsed - self._spared

    @property
    def given(self) -> float:
        """Seconds that the model has for the events so far."""
        return self.recorded / self._speed

    def push(self, events: Events) -> float:
        """Push events to the model; the seconds that it took."""
        start = time.perf_counter()
        self.result = self.stream.push(events)
        took = time.perf_counter() - start
        self.pushing += took
        self.events += len(events)
        self.recorded = (int(events.t[-1]) - self._first) / 1e6
        if self.real_time:
            self.lag = self.elapsed - self.given
            self.largest_lag = max(self.lag, self.largest_lag)
        return took

    def due(self) -> int:
        """The time that it is in the recording, microseconds: events up to then are due."""
        return self._first + int(self.elapsed * self._speed * 1e6)

    def wait(self, until: int) -> None:
        """Wait for this time in the recording, microseconds, or only a while if it is far off."""
        with self.aside():
            seconds = (until - self._first) / self._speed / 1e6 - self.elapsed
            if seconds > _NAP and self.stream.window.microseconds is not None:
                self.result = self.stream.advance(self.due())  # nothing comes, but events become too old
            time.sleep(max(0.0, min(_NAP, seconds)))

    @contextmanager
    def aside(self) -> Iterator[None]:
        """What is done inside is no work."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._spared += time.perf_counter() - start

    @property
    def pace(self) -> float:
        """Seconds of the recording in a second of the clock."""
        return self.recorded / self.elapsed if self.elapsed else 0.0

    def pushes(self) -> str:
        """How long pushes took, in words."""
        middle, high, higher, highest = self.stream.latency.percentile(50, 90, 99, 100)
        return f"median {middle:,.0f} µs, 90 % within {high:,.0f} µs, 99 % within {higher:,.0f} µs, longest {highest:,.0f} µs"

    def lags(self) -> str:
        """How far answers are behind the events, in words."""
        return f"{self.lag * 1e3:,.1f} ms behind, at most {self.largest_lag * 1e3:,.1f} ms"

    def summary(self) -> list[str]:
        """What there is to say at the end, a line each; not if there was no event."""
        lines = [
            f"events    {self.events:,} in {self.recorded:,.6g} s of the recording",
            f"work      {self.work:,.4g} s, {self.events / self.work:,.0f} events/s; in the network {self.pushing:,.4g} s",
            f"pushes    {self.stream.latency.pushes:,}, {self.pushes()}",
            *([f"lag       {self.lags()}"] if self.real_time else []),
            f"window    {len(self.stream):,} of {self.events:,} events",
            f"answer    {answers.in_words(self.result)}",
        ]
        return [*lines, self._verdict()] if self.recorded else lines

    def _verdict(self) -> str:
        pace = "real time" if self._speed == 1 else f"{self._speed:g} times real time"
        if self.real_time:  # the pushes take what has come meanwhile: they may fill all the time and still keep up
            behind, allowed = self.lag, max(_LATE, _LATE_SHARE * self.given)
            kept = f"kept up with {pace}: at work {min(self.work / self.given, 1):.0%} of the time"
        else:
            behind, allowed = self.work - self.given, 0.0
            kept = f"kept up: {self.given / self.work:,.3g} times faster than {pace}"
        if behind <= allowed:
            return kept
        needs, manages = self.events / self.given, self.events / self.work
        return f"did not keep up with {pace}: fell behind by {behind:,.3g} s (needs {needs:,.0f} events/s, manages {manages:,.0f})"
