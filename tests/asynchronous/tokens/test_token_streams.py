"""Event2Vec event by event: after every event, what the synchronous network says of the events so far."""

import copy
import dataclasses

import numpy as np
import pytest

from eventzoo.asynchronous import Window
from eventzoo.events import Events
from eventzoo.testing import check_async_converter, synchronous_output

slow = pytest.mark.slow
EACH = Window(events=90, history=True)
TIMED = Window(microseconds=2_500, history=True)
HALVED = {"halving": "after", "gaps": "log"}  # with a window of history, what is compiled for the fast suite
WAVES = {"halving": "after", "sensor_size": (34, 34)}
STAGES = {"layers": (1, 1), "halving": "before", "norm": "rms", "spatial": "table", "grid": (7, 5), "neighbours": 1}
VARIANTS = {  # settings of a network, and a window; of those of one letter one structure is compiled
    "A, halved": (HALVED, EACH),
    "A, halved, timed": ({**HALVED, "inner": 12, "heads": 4, "dim": 24}, TIMED),
    "A, tables": ({"halving": "after", "spatial": "tables", "norm": "rms"}, TIMED),
    "A, one wide head": ({"halving": "after", "dim": 20, "heads": 1, "inner": 20, "feedforward": 7}, EACH),
    "B, all": ({"layers": (2,), "gaps": "log"}, Window()),
    "B, slow clock": ({"layers": (2,), "time_scale": 1_000_000, "dim": 12, "heads": 3, "inner": 9}, Window()),
    "C, stages": (STAGES, EACH),
    "C, stages, timed": ({**STAGES, "norm": "layer", "gaps": "log"}, TIMED),
    "D, time2vec": ({**WAVES, "temporal": "time2vec", "time_scale": 1_000}, Window()),
    "D, sinusoidal": ({**WAVES, "temporal": "sinusoidal", "time_scale": 20_000, "norm": "rms"}, Window()),
    "D, time": ({**WAVES, "temporal": "time", "time_scale": 10_000}, Window()),
    "E, not halved": ({"layers": (2,)}, EACH),
    "E, not halved, timed": ({"layers": (2,), "gaps": "log", "norm": "rms"}, TIMED),
}
VARIED = pytest.mark.parametrize(
    ("settings", "window"),
    [pytest.param(*variant, id=name, marks=() if name == "A, halved" else slow) for name, variant in VARIANTS.items()],
)


@VARIED
def test_the_conformance_kit_finds_nothing(event2vec, rough, settings, window):
    model = event2vec(**settings)
    check_async_converter(model, rough(330, size=model.sensor_size), [window], tolerance=1e-5)


@VARIED
def test_after_every_event(event2vec, rough, after_each, close, settings, window):
    """Of a stream as bad as real ones; the reference is compared with true prefixes of it."""
    model = event2vec(seed=1, **settings)
    events = rough(3_000, seed=1, size=model.sensor_size, start=10**15)
    expected = after_each(model, events, window)
    for count in (1, 2, 3, 500, 2_999, 3_000):
        close(synchronous_output(model, events[:count], window), expected[count - 1])
    found = model.asynchronous(window, strict=True).push_each(events)
    close(found, expected)
    assert np.abs(np.diff(found, axis=0)).max() > 1e-3


@pytest.mark.parametrize("bias", [-200, -8, 3, 8, 10, 20])
def test_gates_of_all_strengths(event2vec, rough, after_each, close, bias):
    """From those that keep nothing to those that keep all, for whose sake shares must be exact: they are applied thousands of times."""
    model, events = event2vec(decay_bias=bias, **HALVED), rough(20_000, seed=2, size=(13, 10))
    for name, tensor in model.backbone.named_parameters():
        if "decay.0" in name:
            tensor.data *= 0  # the same for all tokens, so that what is lost by rounding is lost each time
        elif name.endswith("attention.output.weight"):
            tensor.data *= 5
    close(model.asynchronous(EACH).push_each(events), after_each(model, events, EACH))


@pytest.mark.parametrize("pushed", [1, 3, 4, 5, 1023, 1024, 1025, 3000])
def test_pushes_of_any_size(event2vec, rough, pushed):
    model, events = event2vec(**HALVED), rough(3_100, seed=3, size=(13, 10))
    for window in (EACH, TIMED):
        stream, other = model.asynchronous(window), model.asynchronous(window)
        outputs = stream.push_each(events)
        for first in range(0, len(events), pushed):
            if first % 17 == 0:
                other.push(events[:0])
            other.push(events[first : first + pushed])
            end = min(first + pushed, len(events))
            np.testing.assert_array_equal(other.head_output(), outputs[end - 1])


@pytest.mark.parametrize(
    "window",
    [
        *(Window(events=events, history=True) for events in (1, 2, 5_000, 10**9)),
        *(Window(microseconds=microseconds, history=True) for microseconds in (1, 10**12)),
    ],
    ids=str,
)
def test_windows_of_any_size(event2vec, rough, after_each, close, window):
    """Also such as need more slots for events than there are to begin with."""
    model, events = event2vec(**HALVED), rough(5_300, seed=4, size=(13, 10))
    expected = after_each(model, events, window)
    stream = model.asynchronous(window)
    close(stream.push_each(events), expected)
    size = 1 if window.microseconds == 1 else min(window.events or len(events), len(events))
    assert len(stream) == size or window.microseconds == 1
    assert stream.events == events[len(events) - len(stream) :]
    stream.reset()
    for first, end in ((0, 1_000), (1_000, 4_999), (4_999, 5_300)):
        stream.push(events[first:end])
        close(stream.head_output(), expected[end - 1])


def test_silence_and_what_comes_after_it(event2vec, rough, joined, after_each, close):
    """What is left of nothing is the head's bias; a token of an event before the silence and one after it is a token none the less."""
    model, window = event2vec(**HALVED), TIMED
    parts = rough(501, seed=5, size=(13, 10)), rough(1, size=(13, 10), start=10**7), rough(2_300, seed=6, size=(13, 10), start=2 * 10**7)
    events = joined(*parts)
    expected, stream, done = after_each(model, events, window), model.asynchronous(window), 0
    (bias,) = (tensor.detach().numpy() for name, tensor in model.head.named_parameters() if name.endswith("bias"))
    close(stream.head_output(), bias, 0)
    for part in parts:
        stream.push(part)
        done += len(part)
        close(stream.head_output(), expected[done - 1])
        last = int(part.t[-1])
        for now in (last, last + 2_499, last + 2_500, last + 10**6):
            stream.advance(now)
            close(stream.head_output(), synchronous_output(model, events[:done], window, now))
        assert len(stream) == len(stream.events) == 0
        close(stream.head_output(), bias, 0)


def test_a_burst_at_one_time(event2vec, rough, joined, after_each, close):
    """Larger than a window in events, and than a transaction; in a window of time all of it is there, and leaves at once."""
    model, before, after = event2vec(**HALVED), rough(301, size=(13, 10)), rough(200, seed=8, size=(13, 10), start=10**8)
    burst = rough(2_500, seed=7, size=(13, 10))
    burst = Events(burst.x, burst.y, np.full(len(burst), 10**7), burst.p, burst.sensor_size)
    events = joined(before, burst, after)
    for window in (EACH, TIMED):
        stream, expected, done = model.asynchronous(window), after_each(model, events, window), 0
        for part in (before, burst, after):
            stream.push(part)
            done += len(part)
            close(stream.head_output(), expected[done - 1])
            assert window.microseconds is None or part is not burst or len(stream) == 2_500


@pytest.mark.parametrize("middle", [1, 90, 1_501, 2_000])
def test_a_state_in_the_middle_of_a_pair(event2vec, rough, middle):
    model, events = event2vec(**HALVED), rough(2_600, seed=9, size=(13, 10))
    for window in (EACH, Window(events=1_900, history=True)):
        stream, restored = model.asynchronous(window), model.asynchronous(window)
        stream.push(events[:middle])
        restored.push(events[: middle + 50])
        saved = stream.state_dict()
        restored.load_state_dict(saved)
        copied = copy.deepcopy(stream)
        outputs = stream.push_each(events[middle:])
        np.testing.assert_array_equal(restored.push_each(events[middle:]), outputs)
        np.testing.assert_array_equal(copied.push_each(events[middle:]), outputs)
        for one in (stream, copied):
            one.load_state_dict(saved)  # it is as it was, whatever became of its owner
            np.testing.assert_array_equal(one.push_each(events[middle:]), outputs)
        stream.reset()
        stream.push(events[:middle])
        np.testing.assert_array_equal(stream.push_each(events[middle:]), outputs)


def test_a_window_takes_no_more_memory_for_a_long_stream(event2vec, rough):
    stream, sizes = event2vec(**HALVED).asynchronous(EACH), set()
    for part in range(20):
        stream.push(rough(1_000, seed=part, size=(13, 10), start=part * 10**9))
        sizes.add(sum(array.nbytes for array in stream.state_dict().values()))
    assert len(sizes) == 1
    assert len(stream) == 90


def test_operations_are_counted(event2vec, rough):
    """By hand, of one layer of 16 features, 24 between, 2 heads of 4 and a mean over two tokens each."""
    stream = event2vec(**HALVED).asynchronous(EACH)
    stream.push(rough(1_000, size=(13, 10)))
    found = {layer.name: dataclasses.astuple(layer) for layer in stream.flops}
    attention = 2 * (16 * (4 * 8 + 16) + 16 * 8 + 8 * 16) + 5 * 2 * 4 * 4
    layer = "stages.0.layers.0."
    for name, operations in ((f"{layer}attention", attention), (f"{layer}widen", 2 * 16 * 24), (f"{layer}narrow", 2 * 16 * 24)):
        assert found[name][1:] == (operations, 1_000 * operations, 1, 1_000), name
    for name in ("spatial", "temporal", f"{layer}norm1", f"{layer}norm2", "stages.0.norm"):
        assert found[name][4] == 1_000, name
    assert found["stages.0.after"][1:] == (16, 500 * 32, 0.5, 500)
    assert found["mean"][4] == 500
    assert found["head.linear"][2] <= 2 * 16 * 5 + 5
