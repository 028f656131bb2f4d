"""Tonic's transforms, used as they are."""

import importlib
import inspect
import threading
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from eventzoo.data.dataset import Sample
from eventzoo.data.transforms.base import EventTransform, in_time_order
from eventzoo.errors import EventZooError
from eventzoo.events import Events

TonicArgument = bool | int | float | str | list[int | float | list[int]] | None

_DTYPE = np.dtype([("x", np.int64), ("y", np.int64), ("t", np.int64), ("p", np.int64)])  # wide: Tonic computes in place
_GLOBAL_STATE = threading.Lock()


class TonicTransform(EventTransform):
    """A transform of Tonic (tonic.readthedocs.io) that yields events, as it is.

    It is given structured events with the fields x, y, t and p (polarity 0 or 1). What comes back is rounded down to whole
    microseconds and pixels, sorted by time (equal times keep their order), and rid of events outside the sensor, whose size stays
    what it is: to change it, use `Resize` or `CentreCrop`. Tonic draws from numpy's global generator; it is seeded from ours for the
    call and put back as it was.

    Args:
        name: Name of the class in `tonic.transforms`: `RefractoryPeriod`.
        arguments: Its arguments by name; lists stand for tuples. A `sensor_size` that it needs is filled in.
        random: Whether it draws random numbers. Say False for those that do not (`Denoise`): they can then be prepared once.

    Raises:
        EventZooError: Tonic is not installed, has no such transform, or refuses the arguments; when called, the sample has
            boxes, which Tonic does not know of, or the transform yields something else than events.
    """

    def __init__(self, name: str, arguments: dict[str, TonicArgument] | None = None, random: bool = True) -> None:
        self.name, self.random = name, random
        self.arguments = {key: _with_tuples(value) for key, value in (arguments or {}).items()}
        self._transform((1, 1))

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The sample with the events that Tonic's transform yields."""
        if sample.boxes is not None:
            raise EventZooError(f"sample {sample.key} has boxes, which Tonic's {self.name} would not move: use eventzoo's own transforms")
        if not len(sample.events):
            return sample  # which several of Tonic's cannot stand
        seed = int(rng.integers(2**32)) if self.random else 0
        transform = self._transform(sample.events.sensor_size)
        with _GLOBAL_STATE:
            state = np.random.get_state()  # noqa: NPY002  # what Tonic draws from
            np.random.seed(seed)  # noqa: NPY002
            try:
                result = transform(sample.events.to_structured(_DTYPE))
            except Exception as error:  # whatever a stranger's code raises
                raise EventZooError(f"Tonic's {self.name} fails on sample {sample.key}: {error!r}") from error
            finally:
                np.random.set_state(state)  # noqa: NPY002
        return replace(sample, events=self._events(result, sample.events.sensor_size))

    def _transform(self, sensor_size: tuple[int, int]) -> Callable[[NDArray[np.void]], object]:
        """Tonic's transform for a sensor."""
        found = getattr(_tonic_transforms(), self.name, None)
        if not (isinstance(found, type) and found.__module__.split(".")[0] == "tonic"):
            raise EventZooError(f"tonic.transforms has no transform {self.name!r}")
        needed = inspect.signature(found).parameters.get("sensor_size")
        filled = {"sensor_size": (*sensor_size, 2)} if needed is not None and needed.default is inspect.Parameter.empty else {}
        try:
            made: Callable[[NDArray[np.void]], object] = found(**{**filled, **self.arguments})
        except (TypeError, ValueError, AssertionError) as error:
            raise EventZooError(f"Tonic's {self.name} refuses its arguments: {error or 'an assertion failed'}") from error
        return made

    def _events(self, result: object, sensor_size: tuple[int, int]) -> Events:
        """Structured events as ours."""
        names = result.dtype.names if isinstance(result, np.ndarray) else None
        if not isinstance(result, np.ndarray) or names is None or not {"x", "y", "t", "p"} <= set(names):
            raise EventZooError(
                f"Tonic's {self.name} does not yield events; frames and voxels are made by a representation, not by a transform"
            )
        x, y, t = (np.floor(result[name]).astype(np.int64) for name in "xyt")
        width, height = sensor_size
        kept = np.flatnonzero((x >= 0) & (x < width) & (y >= 0) & (y < height))
        return in_time_order(x[kept], y[kept], t[kept], result["p"][kept] > 0, sensor_size)


def _with_tuples(value: object) -> object:
    return tuple(_with_tuples(item) for item in value) if isinstance(value, list | tuple) else value


def _tonic_transforms() -> ModuleType:
    try:
        return importlib.import_module("tonic.transforms")
    except ImportError as error:
        raise EventZooError(f"TonicTransform needs Tonic, which cannot be imported here ({error}): pip install tonic") from error
