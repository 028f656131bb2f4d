"""Event2Vec of the published sizes event by event, on real recordings and long streams."""

import numpy as np
import pytest

import eventzoo

pytestmark = pytest.mark.slow
PUBLISHED = {"dim": 64, "feedforward": 128, "inner": None, "layers": (2,), "gaps": "log"}


def test_real_digits(event2vec, after_each, close, realdata):
    """Three recordings of N-MNIST, after every event."""
    model = event2vec(sensor_size=(34, 34), **PUBLISHED)
    paths = sorted((realdata / "N-MNIST").glob("Train/*/*.bin"))[::7][:3]
    assert len(paths) == 3
    stream = model.asynchronous(strict=True)
    for path in paths:
        events = eventzoo.read(path, sensor_size=(34, 34))
        expected = after_each(model, events)
        close(stream.push_each(events), expected)
        close(model.output(events), expected[-1])
        stream.reset()


def test_a_real_object(event2vec, after_each, close, realdata):
    """The first 20,000 events of a recording of N-Caltech101."""
    path = next(iter(sorted((realdata / "N-Caltech101").rglob("*.bin"))))
    events = eventzoo.read(path, sensor_size=(240, 180))[:20_000]
    model = event2vec(sensor_size=(240, 180), **PUBLISHED)
    found = model.asynchronous(strict=True).push_each(events)
    close(found, after_each(model, events))
    for count in (1, 2, 1_000):
        close(found[count - 1], model.output(events[:count]))


def test_a_long_stream(event2vec, after_each, close, rough):
    """20,000 events at ASL-DVS's size, after each; pushed in pieces, to the same bits."""
    model, events = event2vec(sensor_size=(240, 180), **PUBLISHED), rough(20_000, size=(240, 180), start=-(10**12))
    stream = model.asynchronous(strict=True)
    found = stream.push_each(events)
    close(found, after_each(model, events))
    close(found[-1], model.output(events))
    stream.reset()
    for first in range(0, len(events), 1_777):
        stream.push(events[first : first + 1_777])
        np.testing.assert_array_equal(stream.head_output(), found[min(first + 1_777, len(events)) - 1])
    assert stream.events == events
