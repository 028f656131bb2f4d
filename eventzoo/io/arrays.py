"""Recordings that keep x, y, t and p as arrays of numbers: what `.npz`, `.mat` and HDF5 files have in common."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eventzoo.errors import EventFileError
from eventzoo.io.recording import Columns

_LARGEST_PIXEL = int(np.iinfo(np.int16).max)
_LARGEST_TIME = int(np.iinfo(np.int64).max)


class ArraysRecording(ABC):
    """A recording that takes the next events from its file as four arrays of any numeric type.

    Values are accepted if they are whole and fit: 12.0 is a pixel, 12.5 is none.

    Args:
        path: The file, for messages.
        length: Number of events.
    """

    def __init__(self, path: Path, length: int) -> None:
        self._path = path
        self.max_events = self._left = length
        self._has_minus = self._has_zero = False

    @abstractmethod
    def _take(self, count: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
        """The next `count` values of x, y, t and p, `[count]` each, as the file has them."""

    def decode(self, into: Columns) -> int:
        """Decode the next events, as `Recording.decode` says."""
        count = min(len(into.t), self._left)
        if count:
            x, y, t, p = self._take(count)
            into.x[:count] = self._checked("x", x, 0, _LARGEST_PIXEL)
            into.y[:count] = self._checked("y", y, 0, _LARGEST_PIXEL)
            into.t[:count] = self._checked("t", t, -_LARGEST_TIME - 1, _LARGEST_TIME)
            into.p[:count] = self._polarities(p)
            self._left -= count
        return count

    def offset(self, index: int) -> None:  # noqa: ARG002  # an event's values lie apart, and are compressed as a rule
        """No byte belongs to an event."""
        return

    def _checked(self, name: str, values: NDArray[Any], least: int, most: int) -> NDArray[Any]:
        if values.dtype.kind == "f":
            values = values.astype(np.float64, copy=False)  # float16 cannot be compared with 2**63
            wrong = ~((values >= least) & (values < most + 1)) | (values != np.trunc(values))
        elif int(values.min()) < least or int(values.max()) > most:
            wrong = (values < least) | (values > most)
        else:
            return values
        if wrong.any():
            at = int(wrong.argmax())
            event = self.max_events - self._left + at
            raise EventFileError(self._path, f"event {event:,}: {name} = {values[at]} is not a whole number from {least} to {most}")
        return values

    def _polarities(self, values: NDArray[Any]) -> NDArray[np.bool_]:
        self._checked("p", values, -1, 1)
        self._has_minus = self._has_minus or bool((values == -1).any())
        self._has_zero = self._has_zero or bool((values == 0).any())
        if self._has_minus and self._has_zero:
            raise EventFileError(self._path, "p mixes -1 and 0; polarities are 0/1 or -1/+1")
        on: NDArray[np.bool_] = values > 0
        return on


def common_length(path: Path, lengths: dict[str, int]) -> int:
    """The length that all arrays have.

    Raises:
        EventFileError: They differ.
    """
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{name}: {length:,}" for name, length in lengths.items())
        raise EventFileError(path, f"{', '.join(lengths)} must be equally long, not {found}")
    return next(iter(lengths.values()))
