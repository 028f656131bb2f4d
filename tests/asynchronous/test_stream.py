"""A stream as its user meets it: what is refused, what is kept, what grows, what stays as it was."""

import copy
import io

import numpy as np
import pytest
import torch

from eventzoo.asynchronous import Window
from eventzoo.data.transforms import EvenSubsample, EveryKth, WindowByCount, WindowByTime
from eventzoo.errors import EventZooError
from eventzoo.events import Events
from eventzoo.testing import synchronous_output

WINDOWS = [Window(), Window(events=30), Window(microseconds=3_000), Window(events=30, history=True)]


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_windows_that_are_none():
    for settings in ({"events": 0}, {"events": -3}, {"microseconds": 0}):
        with pytest.raises(EventZooError, match=r"a window's (events|microseconds) must be at least 1, not (0|-3)"):
            Window(**settings)
    with pytest.raises(EventZooError, match="in events or in microseconds, not both"):
        Window(events=10, microseconds=10)


def test_final_features_need_a_causal_graph(aegnn):
    with pytest.raises(EventZooError, match="only be final in a causal graph; set EventGraph's causal, or leave out the window's history"):
        aegnn(causal=False).asynchronous(Window(events=10, history=True))


def test_a_network_for_a_smaller_sensor_than_the_models(aegnn):
    """Its cells would lie outside the arrays."""
    for size in ((40, 34), (34, 40)):
        with pytest.raises(EventZooError, match=r"pool5 is made for a smaller sensor than the model's, \d+×\d+"):
            aegnn(model_size=size).asynchronous()


@pytest.mark.parametrize("push", ["push", "push_each"])
def test_nothing_is_taken_of_what_is_refused(aegnn, rough, push):
    events = rough(50, 1, start=1_000)
    last = int(events.t[-1])
    stream = aegnn().asynchronous(Window(microseconds=2_000))
    answer, before = stream.push(events).logits, stream.state_dict()
    for given, said in [
        (events, f"time runs backwards: an event at {events.t[0]:,} µs after {last:,} µs; push events in order, or reset"),
        (Events([1], [1], [last - 1], [1], (34, 34)), "time runs backwards"),
        (Events([1], [1], [last], [1], (35, 34)), "made for a 34×34 sensor, the events are of 35×34; crop or scale them first"),
        (Events([1], [1], [last], [1], (34, 35)), "34×35"),
        (np.zeros((3, 4)), "push takes Events, not ndarray"),
        ("recording.dat", r"push takes Events, not str; a file is read with eventzoo.read\(path\)"),
    ]:
        with pytest.raises(EventZooError, match=said):
            getattr(stream, push)(given)
    with pytest.raises(EventZooError, match=f"time runs backwards: {last - 1:,} µs after {last:,} µs"):
        stream.advance(last - 1)
    after = stream.state_dict()
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert stream.num_events == 50
    np.testing.assert_array_equal(stream.output().logits, answer)
    stream.push(Events([1], [1], [last], [1], (34, 34)))  # at the same time is not earlier


def test_time_that_went_by_does_not_come_back(aegnn, rough):
    events = rough(20, 2)
    stream = aegnn().asynchronous(Window(microseconds=100))
    now = int(events.t[-1]) + 50
    stream.advance(now)
    with pytest.raises(EventZooError, match="time runs backwards"):
        stream.push(events)
    stream.reset()
    stream.push(events)


@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_events_in_any_form(aegnn, rough, window):
    """None at all, strided views, another memory layout, a smaller sensor."""
    model, events = aegnn(), rough(60, 3, (20, 18))
    stream = model.asynchronous(window)
    empty = Events.empty((34, 34))
    nothing = stream.output().logits
    np.testing.assert_array_equal(stream.push(empty).logits, nothing)
    assert stream.push_each(empty).shape == (0, 3)
    columns = np.stack([events.x, events.y]).T.copy()
    stream.push(Events(columns[:20, 0], columns[:20, 1], events.t[:20], events.p[:20], (34, 34)))
    stream.push(events[20:40][::2])
    stream.push_each(events[40:][::3])
    taken = np.concatenate([np.arange(20), np.arange(20, 40, 2), np.arange(40, 60, 3)])
    pushed = events[taken]
    widened = Events(pushed.x, pushed.y, pushed.t, pushed.p, (34, 34))
    close(stream.output().logits, synchronous_output(model, widened, window))
    assert stream.num_events == len(taken)


@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_the_window_is_what_the_synchronous_model_gets(aegnn, rough, window):
    model, events = aegnn(), rough(100, 4)
    stream = model.asynchronous(window)
    for first in range(0, 100, 9):
        stream.push(events[first : first + 9])
        inside = events[: first + 9]
        if window.events is not None:
            inside = inside[-window.events :]
        if window.microseconds is not None:
            inside = inside[inside.t > inside.t[-1] - window.microseconds]
        assert stream.events == inside
        if not window.history:
            close(stream.output().logits, stream.synchronous().logits)
            np.testing.assert_array_equal(stream.synchronous().logits, model.output(inside))


@pytest.mark.parametrize(
    ("own", "given", "window"),
    [
        (WindowByTime(3_000), None, Window(microseconds=3_000)),
        (WindowByTime(3_000), Window(microseconds=5_000), Window(microseconds=3_000)),
        (WindowByTime(3_000), Window(microseconds=2_000), Window(microseconds=2_000)),
        (WindowByTime(3_000), Window(history=True), Window(microseconds=3_000, history=True)),
        (WindowByCount(30), None, Window(events=30)),
        (WindowByCount(30), Window(events=40), Window(events=30)),
    ],
)
def test_a_window_of_the_model_is_the_streams(aegnn, rough, own, given, window):
    model, events = aegnn(transforms=[EveryKth(2), own]), rough(150)
    stream = model.asynchronous(given, strict=True)
    assert stream.window == window
    assert model.transforms == [*model.transforms[:1], own]
    for start in range(0, 150, 50):
        stream.push(events[start : start + 50])
        close(stream.output().logits, synchronous_output(model, events[: start + 50], given or Window()))
    if window == Window(microseconds=3_000):
        close(stream.output().logits, model.predict(events[: int(events.t.searchsorted(stream.events.t[-1], "right"))]).logits)


def test_windows_in_different_units_do_not_go_together(aegnn):
    with pytest.raises(EventZooError, match="the model looks at the last 3,000 µs, so its window cannot be the last 10 events"):
        aegnn(transforms=[WindowByTime(3_000)]).asynchronous(Window(events=10))


def test_a_window_that_is_not_last_has_to_be_done_on_all_events(aegnn):
    for transforms in ([WindowByTime(3_000), EveryKth(2)], [WindowByTime(3_000, "start")]):
        (fallback,) = aegnn(transforms=transforms).asynchronous().fallbacks
        assert "WindowByTime cannot be done on a stream" in str(fallback)


def test_answers_stay_as_they_were(aegnn, rough):
    """An answer is not a view of the state."""
    stream, events = aegnn().asynchronous(), rough(40, 5)
    answer = stream.push(events[:20]).logits
    kept, outputs = answer.copy(), stream.push_each(events[20:30])
    kept_outputs = outputs.copy()
    stream.push(events[30:])
    np.testing.assert_array_equal(answer, kept)
    np.testing.assert_array_equal(outputs, kept_outputs)


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_not_changed_and_does_not_change_it(aegnn, rough, training):
    model, events = aegnn(), rough(60, 6)
    expected = model.output(events)
    model.train(training)
    before = copy.deepcopy(model.state_dict())
    stream = model.asynchronous()
    stream.push(events)
    assert all(module.training == training for module in model.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    with torch.no_grad():
        for tensor in (*model.parameters(), *(buffer for buffer in model.buffers() if buffer.is_floating_point())):
            tensor.mul_(3)
    for _ in range(2):
        close(stream.output().logits, expected)
        close(stream.synchronous().logits, expected)
        stream.reset()
        stream.push(events)


@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_a_state_is_kept_in_a_file(aegnn, rough, window):
    model, events = aegnn(), rough(150, 7)
    stream = model.asynchronous(window)
    stream.push(events[:80])
    file = io.BytesIO()
    np.savez(file, **stream.state_dict())
    expected = stream.push_each(events[80:])
    file.seek(0)
    restored = aegnn().asynchronous(window)
    restored.load_state_dict(np.load(file))
    assert restored.num_events == 80
    np.testing.assert_array_equal(restored.push_each(events[80:]), expected)


@pytest.mark.parametrize(
    "other",
    [
        {"causal": False},
        {"max_neighbors": 9},
        {"radius": 2.5},
        {"coarse_positions": "centre"},
        {"coarse_scale": 11.0},
        {"pool_size": (5, 4)},
        {"kernel_size": 3},
        {"sensor_size": (34, 33)},
        {"out_size": (2, 8)},
    ],
    ids=str,
)
def test_the_state_of_another_network_is_refused(aegnn, rough, other):
    stream, restored = aegnn().asynchronous(), aegnn(**other).asynchronous()
    events = rough(60, 8, restored.model.sensor_size)
    stream.push(events)
    before = restored.push(events).logits
    with pytest.raises(EventZooError, match="another network or window"):
        restored.load_state_dict(stream.state_dict())
    np.testing.assert_array_equal(restored.output().logits, before)


def test_what_is_no_state_is_refused(aegnn, rough):
    stream, events = aegnn().asynchronous(), rough(60, 9)
    stream.push(events)
    saved = stream.state_dict()
    changed = {name: array.copy() for name, array in saved.items()}
    longest = max((name for name in changed if changed[name].dtype == np.float32), key=lambda name: changed[name].size)
    changed[longest].flat[0] += 1
    with pytest.raises(EventZooError, match="damaged"):
        stream.load_state_dict(changed)
    for missing in saved:
        with pytest.raises(EventZooError):
            stream.load_state_dict({name: array for name, array in saved.items() if name != missing})
    with pytest.raises(EventZooError):
        stream.load_state_dict({})
    np.testing.assert_array_equal(stream.output().logits, aegnn().asynchronous().push(events).logits)


def test_the_state_of_a_dense_model_is_refused_elsewhere(aegnn, rough):
    stream = aegnn(transforms=[EvenSubsample(20)]).asynchronous(Window(events=30))
    events = rough(60, 10)
    stream.push(events)
    saved = stream.state_dict()
    same = aegnn(transforms=[EvenSubsample(20)]).asynchronous(Window(events=30))
    same.load_state_dict(saved)
    np.testing.assert_array_equal(same.push(events[:0]).logits, stream.output().logits)
    for other in (
        aegnn(transforms=[EvenSubsample(20)]).asynchronous(Window(events=31)),
        aegnn(transforms=[EvenSubsample(20)], bias=False).asynchronous(Window(events=30)),
    ):
        with pytest.raises(EventZooError, match="another network or window"):
            other.load_state_dict(saved)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("pushes", [1, 5])
def test_more_events_than_there_was_room_for(aegnn, rough, causal, pushes):
    model, events = aegnn(causal), rough(2_600, 11)
    stream = model.asynchronous()
    for part in np.array_split(np.arange(len(events)), pushes):
        found = stream.push(events[part]).logits
        close(found, model.output(events[: part[-1] + 1]))


@pytest.mark.parametrize("window", [Window(), Window(events=300), Window(microseconds=300), Window(events=300, history=True)], ids=str)
@pytest.mark.parametrize("pushes", [1, 3])
def test_more_edges_than_there_was_room_for(aegnn, window, pushes):
    """Every event of a hot pixel is joined to hundreds of others."""
    model = aegnn(True, max_neighbors=None)
    count = 420
    hot = Events(np.arange(count) % 2 + 5, np.full(count, 7), np.arange(count), np.arange(count) % 3 == 0, (34, 34))
    stream = model.asynchronous(window)
    for part in np.array_split(np.arange(count), pushes):
        found = stream.push(hot[part]).logits
        close(found, synchronous_output(model, hot[: part[-1] + 1], window))


def test_a_copy_goes_on_by_itself(aegnn, rough):
    """The compiled function is given addresses: a copy's must be its own."""
    events = rough(300)
    stream = aegnn().asynchronous(Window(events=100))
    stream.push(events[:200])
    before = stream.output().logits
    twin = copy.deepcopy(stream)
    after = twin.push(events[200:]).logits
    np.testing.assert_array_equal(stream.output().logits, before)
    np.testing.assert_array_equal(stream.push(events[200:]).logits, after)
    assert not np.array_equal(before, after)
