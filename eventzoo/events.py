"""The one container of events."""

from collections.abc import Iterator, Mapping
from dataclasses import InitVar, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from eventzoo.errors import EventZooError

STRUCTURED_DTYPE = np.dtype([("x", np.int16), ("y", np.int16), ("t", np.int64), ("p", np.bool_)])
_DTYPES: Mapping[str, type] = {"x": np.int16, "y": np.int16, "t": np.int64, "p": np.bool_}
_POLARITY_NAMES = ("p", "polarity", "on")


@dataclass(frozen=True, eq=False, repr=False)
class Events:
    """Events of one recording: a struct of four equally long, read-only 1-D arrays.

    Any array-like is accepted and converted without loss; data that would change (3.7 as a pixel, 2 as a polarity,
    40,000 in an int16) is refused. Indexing with a slice gives views, with a mask or index array copies.

    Attributes:
        x: Column of each event, pixels from the left, int16 `[N]`.
        y: Row of each event, pixels from the top, int16 `[N]`.
        t: Time of each event, microseconds, non-decreasing, int64 `[N]`.
        p: Polarity, True where the pixel became brighter, bool `[N]`. Also taken as 0/1 or -1/+1.
        sensor_size: `(width, height)` in pixels.

    Raises:
        EventZooError: Lengths differ, a pixel lies outside the sensor, time runs backwards, or a value is lossy.
    """

    x: NDArray[np.int16]
    y: NDArray[np.int16]
    t: NDArray[np.int64]
    p: NDArray[np.bool_]
    sensor_size: tuple[int, int]
    trusted: InitVar[bool] = field(default=False, kw_only=True)  # True: the arrays are known to be valid, skip the checks

    def __post_init__(self, trusted: bool) -> None:
        width, height = (int(side) for side in self.sensor_size)
        object.__setattr__(self, "sensor_size", (width, height))
        for name, dtype in _DTYPES.items():
            given = np.asarray(getattr(self, name))
            view = (given.astype(dtype, copy=False) if trusted else _converted(name, given, dtype)).view()
            view.flags.writeable = False
            object.__setattr__(self, name, view)
        if not trusted:
            _check(self)

    def __len__(self) -> int:
        return len(self.t)

    def __getitem__(self, index: slice | NDArray[Any] | int) -> "Events":
        """Part of the events, in the given order. An index array that breaks the time order is refused."""
        if isinstance(index, int | np.integer):
            raise EventZooError(f"Events are indexed with a slice, a mask or an index array; for one event use [{index}:{index + 1}]")
        keeps_order = isinstance(index, slice) and (index.step is None or index.step > 0)
        keeps_order = keeps_order or (not isinstance(index, slice) and np.asarray(index).dtype == np.bool_)
        return Events(self.x[index], self.y[index], self.t[index], self.p[index], self.sensor_size, trusted=keeps_order)

    def __iter__(self) -> Iterator["Events"]:
        raise EventZooError("Events are not iterated one by one: use .x, .y, .t and .p, or slice them")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Events):
            return NotImplemented
        return self.sensor_size == other.sensor_size and all(np.array_equal(getattr(self, name), getattr(other, name)) for name in _DTYPES)

    __hash__ = None  # type: ignore[assignment]  # equality is by value of arrays

    def __repr__(self) -> str:
        width, height = self.sensor_size
        span = f", {self.t[0]:,} to {self.t[-1]:,} µs, {self.p.mean():.0%} ON" if len(self) else ""
        return f"Events({len(self):,} at {width}×{height}{span})"

    @property
    def duration(self) -> int:
        """Microseconds from the first event to the last; 0 for fewer than two events."""
        return int(self.t[-1] - self.t[0]) if len(self) else 0

    def between(self, start: int, stop: int) -> "Events":
        """The events with `start <= t < stop` (microseconds), as views."""
        first, last = np.searchsorted(self.t, [start, stop], side="left")
        return self[int(first) : max(int(first), int(last))]

    @classmethod
    def empty(cls, sensor_size: tuple[int, int]) -> "Events":
        """A recording without events."""
        return cls.from_structured(np.empty(0, STRUCTURED_DTYPE), sensor_size)

    @classmethod
    def from_structured(cls, records: NDArray[Any], sensor_size: tuple[int, int]) -> "Events":
        """Events from a structured array with fields `x`, `y`, `t` and `p` (or `polarity`, or `on`), of any width.

        This is what Tonic, Prophesee's tools, expelliarmus and faery hand out.
        """
        names = records.dtype.names or ()
        polarity = next((name for name in _POLARITY_NAMES if name in names), None)
        missing = [name for name in ("x", "y", "t") if name not in names] + ([] if polarity else ["p"])
        if missing or polarity is None:
            raise EventZooError(f"structured events need the fields x, y, t and p; {', '.join(missing)} missing from {names}")
        return cls(records["x"], records["y"], records["t"], records[polarity], sensor_size)

    def to_structured(self, dtype: DTypeLike = STRUCTURED_DTYPE) -> NDArray[Any]:
        """The events as a structured array of `dtype`, which names the fields and their order.

        Raises:
            EventZooError: A field is unknown, or too narrow for the values.
        """
        wanted = np.dtype(dtype)
        records = np.empty(len(self), wanted)
        for name in wanted.names or ():
            source = "p" if name in _POLARITY_NAMES else name
            if source not in _DTYPES:
                raise EventZooError(f"events have no field {name!r}; they have x, y, t and p")
            values = getattr(self, source)
            records[name] = values
            if not np.array_equal(records[name], values):
                raise EventZooError(f"field {name!r} of type {wanted[name]} cannot hold the values of {source} without loss")
        return records


def _converted(name: str, given: NDArray[Any], dtype: type) -> NDArray[Any]:
    """`given` as a 1-D array of `dtype`, refused if a value would change."""
    if given.ndim != 1:
        raise EventZooError(f"{name} must be one-dimensional, not of shape {given.shape}")
    if given.dtype == dtype:
        return given
    if given.dtype.kind not in "biuf":
        raise EventZooError(f"{name} must be numbers, not {given.dtype}")
    if name == "p":
        if not np.isin(given, (-1, 0, 1)).all() or ((given == -1).any() and (given == 0).any()):
            raise EventZooError(f"polarities must be bool, 0/1 or -1/+1, found {np.unique(given)[:5]}")
        return given > 0
    with np.errstate(invalid="ignore"):
        array: NDArray[Any] = given.astype(dtype)
    wrong = array != given
    if wrong.any():
        at = int(wrong.argmax())
        unit = "time in whole microseconds" if name == "t" else "a whole pixel"
        raise EventZooError(f"event {at:,}: {name} = {given[at]} is not {unit} that fits {np.dtype(dtype)}")
    return array


def _check(events: Events) -> None:
    lengths = {name: len(getattr(events, name)) for name in _DTYPES}
    if len(set(lengths.values())) > 1:
        raise EventZooError(f"x, y, t and p must be equally long, not {', '.join(f'{k}: {n:,}' for k, n in lengths.items())}")
    width, height = events.sensor_size
    if not (0 < width <= 32768 and 0 < height <= 32768):
        raise EventZooError(f"sensor_size is (width, height) in pixels, up to 32,768 each, not {events.sensor_size}")
    outside = (events.x < 0) | (events.x >= width) | (events.y < 0) | (events.y >= height)
    if outside.any():
        at = int(outside.argmax())
        raise EventZooError(
            f"event {at:,} at (x, y) = ({events.x[at]}, {events.y[at]}) lies outside the {width}×{height} sensor "
            f"({int(outside.sum()):,} of {len(events):,} do); is sensor_size (width, height) right?"
        )
    backwards = events.t[1:] < events.t[:-1]
    if backwards.any():
        at = int(backwards.argmax()) + 1
        raise EventZooError(
            f"time runs backwards at event {at:,}: {events.t[at]} µs after {events.t[at - 1]} µs "
            f"({int(backwards.sum()):,} times); sort the events by time first"
        )


def concatenate(parts: list[Events]) -> Events:
    """The events of several parts that follow each other in time, as one.

    Raises:
        EventZooError: There is no part, the sensors differ, or a part begins before its predecessor ends.
    """
    if not parts:
        raise EventZooError("there is nothing to concatenate")
    sizes = {part.sensor_size for part in parts}
    if len(sizes) > 1:
        raise EventZooError(f"parts of different sensors cannot be joined: {sorted(sizes)}")
    x, y, t, p = (np.concatenate([getattr(part, name) for part in parts]) for name in _DTYPES)
    return Events(x, y, t, p, parts[0].sensor_size)


__all__ = ["STRUCTURED_DTYPE", "Events", "concatenate"]
