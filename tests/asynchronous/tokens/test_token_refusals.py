"""What of Event2Vec cannot be run event by event: run densely with the same answer, or refused, in words."""

import numpy as np
import pytest

from eventzoo.asynchronous import Window
from eventzoo.data.transforms import RandomSubsample
from eventzoo.errors import EventZooError
from eventzoo.model import EventModel

HISTORY = Window(events=50, history=True)
FINAL = "so that its events' features cannot be final"
REFUSED = {  # settings of a network, and what a window with history says of it
    "in both directions": ({"causal": False}, f"temporal: it sees later tokens, unlike that of a causal network, {FINAL}"),
    "no clock": ({"causal": False, "time_scale": None}, f"temporal: it sees later tokens, unlike that of a causal network, {FINAL}"),
    "waves without a clock": (
        {"causal": False, "time_scale": None, "temporal": "time2vec"},
        f"temporal: it measures time by the recording's end, unlike one with a time_scale, {FINAL}",
    ),
    "both directions of waves": (
        {"causal": False, "temporal": "sinusoidal"},
        r"stages.0.layers.0.attention: tokens see what comes after them, unlike those of a causal network",
    ),
    "halved in both directions": (
        {"causal": False, "temporal": "time", "halving": "before"},
        "stages.0.before: the last token of an odd number may change, which a causal network leaves out",
    ),
    "forgetting": (
        {"causal": False, "temporal": "time", "attention": "forgetting", "inner": None},
        "stages.0.layers.0.attention",
    ),
    "softmax": (
        {"causal": False, "time_scale": None, "temporal": "time", "attention": "softmax", "inner": None, "spatial": "tables"},
        "temporal: it measures time by the recording's end",
    ),
    "softmax with a clock": (  # torch cannot look into it, and gives up at it
        {"causal": False, "temporal": "time2vec", "attention": "softmax", "inner": None},
        "stages.0: there is no async converter for it",
    ),
}


@pytest.mark.parametrize(("settings", "reason"), REFUSED.values(), ids=REFUSED)
def test_networks_that_see_what_is_yet_to_come(event2vec, rough, settings, reason):
    model, events = event2vec(**settings), rough(60, size=(13, 10))
    with pytest.raises(EventZooError, match=reason):
        model.asynchronous(HISTORY)
    first = reason.removesuffix(f", {FINAL}")
    with pytest.raises(
        EventZooError, match=rf"not all of the model runs event by event: EventTokens: {first}.*, and what .* has been forgotten"
    ):
        model.asynchronous(strict=True)
    for window in (Window(), Window(events=25), Window(microseconds=700)):
        stream = model.asynchronous(window)
        assert [fallback.name for fallback in stream.fallbacks] == ["EventTokens"]
        for first in range(0, 60, 20):
            stream.push(events[first : first + 20])
            np.testing.assert_array_equal(stream.head_output(), model.output(stream.events))
        assert len(stream) == {Window(): 60, Window(events=25): 25}.get(window, np.count_nonzero(events.t > events.t[-1] - 700))
        assert stream.flops == []


@pytest.mark.parametrize("window", [Window(events=25), Window(microseconds=700)], ids=str)
def test_windows_whose_tokens_would_have_to_be_taken_back(event2vec, rough, window):
    model, events = event2vec(halving="after"), rough(60, size=(13, 10))
    said = "what a token sees depends on all tokens before it, so that none can be taken back; a window with history, of final features"
    (fallback,) = model.asynchronous(window).fallbacks
    assert fallback.name == "EventTokens"
    assert said in fallback.reason
    with pytest.raises(EventZooError, match=f"not all of the model runs event by event: EventTokens: {said}"):
        model.asynchronous(window, strict=True)
    stream = model.asynchronous(window)
    for first in range(0, 60, 7):
        stream.push(events[first : first + 7])
        np.testing.assert_array_equal(stream.head_output(), model.output(stream.events))
    stream.advance(int(events.t[-1]) + 10**6)
    assert len(stream) == (0 if window.microseconds else 25)


@pytest.mark.parametrize(("size", "said"), [((12, 10), "12×10"), ((20, 20), "20×20")])
def test_a_sensor_of_another_size(event2vec, size, said):
    model = event2vec()
    other = EventModel(model.representation, model.backbone, model.head, list("abcde"), size)
    with pytest.raises(
        EventZooError, match=rf"spatial is made for a 13×10 sensor, the events that reach it are of {said}; make the network"
    ):
        other.asynchronous()


def test_events_of_a_larger_sensor_or_an_earlier_time(event2vec, rough):
    stream, events = event2vec(causal=False).asynchronous(), rough(10, size=(13, 10), start=100)
    stream.push(events)
    with pytest.raises(EventZooError, match="the model is made for a 13×10 sensor, the events are of 14×10"):
        stream.push(rough(1, size=(14, 10)))
    with pytest.raises(EventZooError, match="time runs backwards"):
        stream.push(rough(1, size=(13, 10)))
    assert len(stream) == 10


def test_transforms_that_need_the_whole_recording(event2vec):
    model = event2vec(transforms=[RandomSubsample(10)])
    (fallback,) = model.asynchronous().fallbacks
    assert fallback.reason == "the model's RandomSubsample cannot be done on a stream; EveryKth thins out a stream"
