"""Errors do not add up: after many events and after hours, answers are as close as at the beginning."""

import numpy as np
import pytest

from eventzoo.asynchronous import Window
from eventzoo.events import Events
from eventzoo.testing import synchronous_output

CLOSE = 1e-5
"""Largest difference as a share of the largest output; float32 has 7 digits."""


def largest_error(model, stream, events, first, last, times=10):
    """Push events up to `last` one by one; the largest of some errors after `first`."""
    outputs = stream.push_each(events[stream.num_events : last])
    errors = []
    for count in np.linspace(first, last, times, dtype=int).tolist():
        begin = max(0, count - 5_000)  # far more than the window
        expected = synchronous_output(model, events[begin:count], stream.window)
        errors.append(np.abs(outputs[count - 1 - last] - expected).max() / np.abs(expected).max())
    return max(errors)


@pytest.mark.parametrize("count", [6_000, pytest.param(100_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("window", [Window(events=500), Window(events=200), Window(events=500, history=True)], ids=str)
def test_many_events(aegnn, rough, count, window):
    """The window of 200 is that of a symmetric graph, in which an event changes all around it."""
    model, events = aegnn(causal=window.events == 500), rough(count, 1)
    stream = model.asynchronous(window)
    assert largest_error(model, stream, events, 10, 1_000) < CLOSE
    assert largest_error(model, stream, events, count - 1_000, count) < CLOSE


@pytest.mark.parametrize("hours", [1, 100])
@pytest.mark.parametrize("causal", [True, False])
def test_many_hours(aegnn, rough, causal, hours):
    """Events that are seconds apart, long after the first."""
    model, before, after = aegnn(causal), rough(50, 2), rough(300, 3)
    late = Events(after.x, after.y, 40 * after.t + hours * 3_600_000_000, after.p, after.sensor_size)
    for window in (Window(events=150), Window(microseconds=1_000_000), *([Window(events=150, history=True)] * causal)):
        stream = model.asynchronous(window)
        stream.push(before)
        found, expected = stream.push(late).logits, synchronous_output(model, late, window)
        np.testing.assert_allclose(found, expected, rtol=0, atol=CLOSE * np.abs(expected).max())
