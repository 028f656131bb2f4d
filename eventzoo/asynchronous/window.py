"""Windows: which events of a stream an asynchronous network answers for."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from eventzoo.data.transforms import EventTransform, WindowByCount, WindowByTime
from eventzoo.errors import EventZooError


@dataclass(frozen=True)
class Window:
    """The events that count: all so far, the last so many, or those of the last so many microseconds.

    What leaves the window leaves the network exactly. There are two meanings of that:

    - by default the answer is that of the synchronous network on just the events in the window, so that a departure changes
      what is left: its neighbours, their neighbours, and so on;
    - with `history`, for causal graphs and streams, an event looks at the events that were in the window when it came, and its
      features are final; when it leaves, it only leaves what is pooled. The answer is that of the synchronous network on the
      whole stream, where edges join events that were in the window together, and the pools see the window's nodes and the edges
      between them. A full window then costs no more than a growing one.

    Args:
        events: The last so many events, at least 1.
        microseconds: The events later than this long before the newest event, or before the time that `advance` was told.
        history: Whether features are final.
    """

    events: int | None = None
    microseconds: int | None = None
    history: bool = False

    def __post_init__(self) -> None:
        if self.events is not None and self.microseconds is not None:
            raise EventZooError("a window is counted in events or in microseconds, not both")
        for name, value in (("events", self.events), ("microseconds", self.microseconds)):
            if value is not None and value < 1:
                raise EventZooError(f"a window's {name} must be at least 1, not {value}")

    def __str__(self) -> str:
        if self.events is not None:
            span = f"the last {self.events:,} events"
        elif self.microseconds is not None:
            span = f"the last {self.microseconds:,} µs"
        else:
            span = "all events"
        return f"{span}, features final" if self.history else span


def with_own_window(transforms: Sequence[EventTransform], window: Window) -> tuple[list[EventTransform], Window]:
    """A model's transforms without the window that they end with, and that window, or the given one if it is smaller.

    Raises:
        EventZooError: One is counted in events, the other in microseconds.
    """
    last = transforms[-1] if transforms else None
    if isinstance(last, WindowByTime) and last.position == "end":
        own = Window(microseconds=last.duration)
    elif isinstance(last, WindowByCount) and last.position == "end":
        own = Window(events=last.count)
    else:
        return list(transforms), window
    if (window.events, window.microseconds) != (None, None):
        if (window.events is None) != (own.events is None):
            raise EventZooError(f"the model looks at {own}, so its window cannot be {window}: count both in the same unit, or give none")
        own = min(own, window, key=lambda one: one.events or one.microseconds or 0)
    return list(transforms[:-1]), replace(own, history=window.history)
