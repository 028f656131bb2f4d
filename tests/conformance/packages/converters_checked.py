"""A plugin of pytest: of the tests that call `check_async_converter`, what it would convert is noted, and nothing is compiled or pushed."""

import inspect
import json
import os
from pathlib import Path

import eventzoo.testing
from eventzoo import registry
from eventzoo.asynchronous import EngineConverter, Plan, Window
from eventzoo.asynchronous.capture import capture
from eventzoo.asynchronous.converter import converter_of, engine_converters
from eventzoo.asynchronous.window import with_own_window
from eventzoo.data.transforms import sensor_size_after

used = set()


def _noted(cls, name):
    exact = getattr(cls, name)

    def noting(self, *args, **kwargs):
        result = exact(self, *args, **kwargs)
        used.add(cls.__name__)
        return result

    setattr(cls, name, noting)


def convert_only(model, events, windows=None, **settings):
    transforms, window = with_own_window(model.transforms, (windows or [Window()])[0])
    whole = converter_of(model.representation, engine_converters())
    if whole is not None:
        whole.engine(model, model.sensor_size, window)
    else:
        assert not capture(model.eval(), Plan(window, sensor_size_after(transforms, model.sensor_size), 1024)).fallbacks


def pytest_configure():
    for name in registry.entries("async_converters"):
        cls = registry.get("async_converters", name)
        _noted(cls, "engine" if issubclass(cls, EngineConverter) else "convert")
    eventzoo.testing.check_async_converter = convert_only


def pytest_collection_modifyitems(items):
    items[:] = [item for item in items if "check_async_converter(" in inspect.getsource(item.function)]


def pytest_unconfigure():
    Path(os.environ["CONVERTERS_CHECKED"]).write_text(json.dumps(sorted(used)))
