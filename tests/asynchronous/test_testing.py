"""The check that third parties run finds what is wrong, and says where."""

from contextlib import suppress

import numpy as np
import pytest
from torch import nn

from eventzoo.asynchronous import AsyncModel, Window
from eventzoo.errors import EventZooError
from eventzoo.events import Events
from eventzoo.testing import check_async_converter


def found(model, events, windows=None):
    """What the check says."""
    with pytest.raises(AssertionError) as caught:
        check_async_converter(model, events, windows)
    return str(caught.value)


def test_it_passes(aegnn, rough):
    check_async_converter(aegnn(), rough(60))
    check_async_converter(aegnn(), rough(1))
    check_async_converter(aegnn(causal=False), rough(60))


def test_a_layer_that_runs_densely(one_convolution, classifier, head_of, rough):
    model = classifier(one_convolution)
    model.head = head_of(nn.Flatten(), nn.GroupNorm(1, 24), nn.Linear(24, 3))
    with pytest.raises(EventZooError, match=r"not all of the model runs event by event: head\.layers\.1"):
        check_async_converter(model, rough(10, size=(20, 16)))


def test_a_wrong_answer(aegnn, rough, monkeypatch):
    exact = AsyncModel.head_output

    def wrong(self):
        output = exact(self)
        if self.num_events > 100:
            output[0] += 0.01
        return output

    monkeypatch.setattr(AsyncModel, "head_output", wrong)
    said = found(aegnn(), rough(200), [Window(events=40)])
    assert said.startswith("the last 40 events, after event ")
    assert " of 200, in a push of " in said
    assert "by 0.01, where" in said
    assert said.count("[") == 2  # both outputs


def test_another_class(aegnn, rough, monkeypatch):
    """Within the tolerance, but a class that is less probable by more than the tolerance."""
    model = aegnn()
    exact = type(model).output
    order = np.argsort(model.output(rough(50)))
    assert order[-1] != 0
    monkeypatch.setattr(type(model), "output", lambda self, events: exact(self, events)[[1, 0, 2]])
    assert "differs from" in found(model, rough(50), [Window()])


def test_nan(aegnn, rough):
    model = aegnn()
    model.head.linear.bias.data[0] = float("nan")
    assert "nan" in found(model, rough(20), [Window()])


def test_a_reset_that_forgets_nothing(aegnn, rough, monkeypatch):
    monkeypatch.setattr(AsyncModel, "reset", lambda self: None)
    assert "all events, after reset and in a new model" in found(aegnn(), rough(50), [Window()])


def test_an_answer_that_depends_on_the_pushes(aegnn, rough, monkeypatch):
    exact = AsyncModel.push_each
    monkeypatch.setattr(AsyncModel, "push_each", lambda self, events: exact(self, events) + np.float32(1e-6))
    assert "what push_each and push say after event 1: " in found(aegnn(), rough(50), [Window()])


def test_a_state_that_is_not_whole(aegnn, rough, monkeypatch):
    monkeypatch.setattr(AsyncModel, "load_state_dict", lambda self, saved: None)
    assert "a state restored after event 25" in found(aegnn(), rough(50), [Window(events=30)])


def test_a_state_that_is_taken_by_anybody(aegnn, rough, monkeypatch):
    exact = AsyncModel.load_state_dict

    def lenient(self, saved):
        with suppress(EventZooError):
            exact(self, saved)

    monkeypatch.setattr(AsyncModel, "load_state_dict", lenient)
    said = found(aegnn(), rough(50), [Window(microseconds=500)])
    assert said == "the last 500 µs: its state is taken by a model for the last 501 µs"


def test_events_that_left_and_are_still_there(aegnn, rough, monkeypatch):
    monkeypatch.setattr(AsyncModel, "advance", lambda self, now: self.output())
    at_once = Events([5, 6, 5], [5, 5, 6], [7, 7, 7], [1, 0, 1], (34, 34))
    assert "the last 500 µs, after all events left" in found(aegnn(), at_once, [Window(microseconds=500)])
