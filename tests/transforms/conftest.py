# ruff: noqa: NPY002  # Tonic draws from numpy's global generator
import sys
import types

import numpy as np
import pytest


class RefractoryPeriod:
    """Stands for one of Tonic's deterministic transforms."""

    def __init__(self, delta: int) -> None:
        if type(delta) is not int:
            raise TypeError("delta must be an integer")
        self.delta = delta

    def __call__(self, events):
        last, kept = {}, []
        for i, event in enumerate(events):
            pixel = int(event["x"]), int(event["y"])
            if event["t"] - last.get(pixel, -(10**9)) >= self.delta:
                kept.append(i)
                last[pixel] = event["t"]
        return events[kept]


class SpatialJitter:
    """Stands for those that draw from numpy's global generator, change their input, and leave sensor and time order."""

    def __init__(self, sensor_size: tuple[int, int, int], reach: tuple[int, int] = (1, 1)) -> None:
        assert type(reach) is tuple, "reach must be a tuple"
        self.sensor_size, self.reach = sensor_size, reach

    def __call__(self, events):
        assert self.sensor_size[2] == 2
        events["x"] += np.random.randint(-self.reach[0], self.reach[0] + 1, len(events))
        events["y"] += np.random.randint(-self.reach[1], self.reach[1] + 1, len(events))
        events["t"] += np.random.randint(0, 50, len(events))
        return events


class ToFrame:
    """Stands for those that yield frames."""

    def __init__(self, sensor_size: tuple[int, int, int]) -> None:
        self.sensor_size = sensor_size

    def __call__(self, events):
        return np.zeros(self.sensor_size)


class Fails:
    def __call__(self, events):
        raise RuntimeError("out of luck")


@pytest.fixture
def tonic(monkeypatch):
    """A module that stands for Tonic, which is not needed to run the tests."""
    module = types.ModuleType("tonic.transforms")
    for cls in (RefractoryPeriod, SpatialJitter, ToFrame, Fails):
        monkeypatch.setattr(cls, "__module__", "tonic.transforms")
        setattr(module, cls.__name__, cls)
    module.np, module.Path = np, type(sys)  # what else a module's namespace holds
    package = types.ModuleType("tonic")
    package.transforms = module
    monkeypatch.setitem(sys.modules, "tonic", package)
    monkeypatch.setitem(sys.modules, "tonic.transforms", module)
    return module
