"""Networks that take frames, event by event: bit by bit what they are offline."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

import eventzoo
from eventzoo import registry
from eventzoo.asynchronous import EngineConverter, Window
from eventzoo.data.transforms import EveryKth
from eventzoo.errors import EventZooError, PluginError
from eventzoo.events import Events
from eventzoo.nn.backbone import Backbone
from eventzoo.nn.stepped import SteppedBackbone
from eventzoo.testing import check_async_converter

SIZE = (18, 13)
STEP = 500
each_form = pytest.mark.parametrize("form", ["counts", "voxels"])


class Leaky(SteppedBackbone):
    """The least stepped backbone: a leaky mean of a convolution's maxima, which has another state and no spikes."""

    def __init__(self):
        super().__init__()
        self.sensor_size, self.out_channels, self.out_size = SIZE, 4, None
        self.conv = nn.Conv2d(1, 4, 3, padding=1)

    def initial_state(self, frame):
        return (frame.new_zeros(len(frame), 4),)

    def step(self, frame, state):
        return (0.7 * state[0] + self.conv(frame).amax((2, 3)),)

    def features(self, state):
        return state[0].tanh()


class Whole(Backbone):
    """Takes frames, but all of them at once."""

    accepts = "frames"

    def __init__(self):
        super().__init__()
        self.sensor_size, self.out_channels, self.out_size = SIZE, 2, None
        self.scale = nn.Parameter(torch.ones(2))

    def forward(self, batch):
        return batch.frames.sum((0, 3, 4)) * self.scale


@pytest.fixture
def made(classifier):
    """Makes a model of frames; its neurons fire as after training."""

    def model(form="counts", step=STEP, backbone=None, transforms=(), **settings):
        torch.manual_seed(0)
        representation = eventzoo.representations.FrameSequence(step, form)
        settings = {"channels": 4, "stages": 2, "hidden": 6, **settings}
        backbone = backbone or eventzoo.backbones.SpikingCNN(SIZE, representation.channels, **settings)
        model = classifier(backbone, representation, transforms=transforms)
        with torch.no_grad():
            for module in model.backbone.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.weight += 2
                    module.running_var *= 0.05
                if isinstance(module, nn.Linear):
                    module.weight *= 5
                    module.bias += 0.5
        return model

    return model


@pytest.fixture
def events(rough):
    """Bursts and silences, some of which are longer than a frame."""
    recorded = rough(120, seed=3, size=SIZE, start=7_777)
    assert len(np.unique((recorded.t - recorded.t[0]) // STEP)) > 5
    assert np.diff((recorded.t - recorded.t[0]) // STEP).max() > 2
    return recorded


@each_form
def test_bit_by_bit_what_it_is_offline_after_every_event(made, events, form):
    model, events = made(form), events[:55]
    outputs = model.asynchronous(strict=True).push_each(events)
    expected = np.stack([model.output(events[: count + 1]) for count in range(len(events))])
    np.testing.assert_array_equal(outputs, expected)
    assert len(np.unique(outputs, axis=0)) > 5


@pytest.mark.parametrize("backbone", [None, Leaky], ids=["SpikingCNN", "Leaky"])
def test_is_what_a_converter_has_to_be(made, events, backbone):
    model = made("voxels", backbone=backbone and backbone())
    check_async_converter(model, events[:60], tolerance=0)


def test_edges_of_frames_and_silences(made):
    model = made()
    t = [100, 100, 100 + STEP - 1, 100 + STEP, 100 + 7 * STEP - 1, 100 + 20 * STEP]
    stream = model.asynchronous()
    events = Events([1, 2, 3, 4, 5, 6], [1] * 6, t, [True, False] * 3, SIZE)
    np.testing.assert_array_equal(stream.push_each(events), [model.output(events[: k + 1]) for k in range(6)])
    assert stream.flops[0].sites == 21
    assert np.array_equal(stream.events.t, events.t)
    assert np.array_equal(stream.synchronous().logits, stream.output().logits)


def test_nothing_is_computed_twice(made, monkeypatch):
    model = made()
    stream = model.asynchronous()
    steps = []
    step = type(model.backbone).step
    monkeypatch.setattr(type(model.backbone), "step", lambda *args: steps.append(1) or step(*args))

    def taken(times, pushed=True):
        steps.clear()
        if pushed:
            stream.push(Events([1] * len(times), [1] * len(times), times, [True] * len(times), SIZE))
        stream.output()
        stream.head_output()
        return len(steps)

    assert taken([], pushed=False) == 0  # before the first event there is no frame
    assert taken([0, 1, 2]) == 1
    assert taken([]) == 0
    assert taken([3]) == 1  # the frame has changed
    assert taken([STEP]) == 1  # the frame before is complete, and has been taken as it is
    assert taken([STEP, 2 * STEP, 2 * STEP + 1]) == 2
    assert taken([6 * STEP]) == 4  # three frames without events, and one
    assert taken([6 * STEP, 7 * STEP, 8 * STEP]) == 3


def test_time_without_events_changes_nothing(made, events):
    model = made()
    stream, undisturbed = model.asynchronous(), model.asynchronous()
    stream.push(events[:50])
    before = stream.head_output()
    now = int(events.t[50])
    assert now - events.t[49] >= 0
    stream.advance(now)
    np.testing.assert_array_equal(stream.head_output(), before)
    stream.push(events[50:])
    undisturbed.push(events)
    np.testing.assert_array_equal(stream.head_output(), undisturbed.head_output())
    stream.advance(10**12)
    np.testing.assert_array_equal(stream.head_output(), model.output(events))
    with pytest.raises(EventZooError, match="time runs backwards"):
        stream.push(events[:1])


def test_an_answer_cannot_be_written_to(made, events):
    stream = made().asynchronous()
    stream.push(events)
    stream.head_output()[:] = 0
    assert stream.head_output().any()


@each_form
def test_saved_in_the_middle_of_a_frame(made, events, tmp_path, form):
    model = made(form)
    stream, restored = model.asynchronous(), model.asynchronous()
    middle = int(np.flatnonzero(np.diff((events.t - events.t[0]) // STEP) == 0)[-1]) + 1  # the next event is of the same frame
    stream.push(events[:middle])
    np.savez(tmp_path / "state.npz", **stream.state_dict())
    restored.push(events[:9])
    with np.load(tmp_path / "state.npz") as saved:
        restored.load_state_dict(saved)
    np.testing.assert_array_equal(restored.push_each(events[middle:]), stream.push_each(events[middle:]))
    np.testing.assert_array_equal(restored.events.t, events.t)
    assert len(restored) == len(events)
    assert restored.flops[0].sites == stream.flops[0].sites


@pytest.mark.parametrize("other", [{"step": STEP + 1}, {"tau": 2.5}, {"neuron": "IF"}], ids=str)
def test_the_state_of_another_model_is_refused(made, events, other):
    model = made(**{"neuron": "LIF", **other})
    stream = made(neuron="LIF").asynchronous()
    stream.push(events)
    with pytest.raises(EventZooError, match="the state is that of another network or window"):
        model.asynchronous().load_state_dict(stream.state_dict())


def test_a_damaged_state_is_refused(made, events):
    stream = made().asynchronous()
    stream.push(events)
    saved = stream.state_dict()
    saved["sums"][0, 0, 0, 0] += 1
    with pytest.raises(EventZooError, match="the state is damaged"):
        stream.load_state_dict(saved)


def test_a_copy_goes_its_own_way(made, events):
    model = made()
    stream = model.asynchronous()
    stream.push(events[:70])
    copied = copy.deepcopy(stream)
    copied.push(events[70:])
    np.testing.assert_array_equal(stream.head_output(), model.output(events[:70]))
    np.testing.assert_array_equal(copied.head_output(), model.output(events))
    stream.push(events[70:])
    np.testing.assert_array_equal(stream.head_output(), model.output(events))


def test_transforms_that_can_be_done_on_a_stream(made, events):
    model = made(transforms=[EveryKth(3)])
    stream = model.asynchronous(strict=True)
    for k in range(0, len(events), 7):
        stream.push(events[k : k + 7])
    assert len(stream) == len(events) // 3
    np.testing.assert_array_equal(stream.output().logits, model.predict(events).logits)


@pytest.mark.parametrize("window", [Window(events=40), Window(microseconds=2_000)], ids=str)
def test_other_windows_are_run_densely(made, events, window):
    model = made()
    stream = model.asynchronous(window)
    (fallback,) = stream.fallbacks
    assert str(fallback) == (
        f"FrameSequence: frames are counted from the first event on, so that only all events can be run frame by frame, not {window}"
    )
    stream.push(events)
    inside = events[-40:] if window.events else events[events.t > events.t[-1] - 2_000]
    np.testing.assert_array_equal(stream.head_output(), model.output(inside))
    with pytest.raises(EventZooError, match=r"FrameSequence: frames are counted .* not .*, features final"):
        model.asynchronous(Window(window.events, window.microseconds, history=True))
    with pytest.raises(EventZooError, match="not all of the model runs event by event: FrameSequence: frames are counted"):
        model.asynchronous(window, strict=True)


def test_a_backbone_that_cannot_be_stepped_is_named(classifier, events):
    stream = classifier(Whole(), eventzoo.representations.FrameSequence(STEP)).asynchronous()
    assert [str(fallback) for fallback in stream.fallbacks] == [
        "FrameSequence: Whole cannot be run frame by frame, as a SteppedBackbone can"
    ]
    stream.push(events)
    np.testing.assert_array_equal(stream.head_output(), stream.model.output(events))


def test_operations_are_those_of_the_steps_that_were_taken(made, events):
    stream = made().asynchronous()
    outputs = stream.push_each(events)
    frames = int(events.t[-1] - events.t[0]) // STEP + 1
    width, height = SIZE
    of_frame = {
        "convolutions.0.0": 2 * 4 * 2 * 9 * width * height,
        "convolutions.1.0": 2 * 4 * 4 * 9 * (width // 2) * (height // 2),
        "linear": 2 * 6 * 4 * (width // 4) * (height // 4),
    }
    assert [layer.name for layer in stream.flops] == [*of_frame, "head.linear"]
    *layers, head = stream.flops
    number = (events.t - events.t[0]) // STEP
    steps = len(events) + int(np.maximum(np.diff(number) - 1, 0).sum())  # one an event, and one a frame without events
    for layer in layers:
        assert layer.synchronous == of_frame[layer.name] * frames
        assert layer.per_event == pytest.approx(of_frame[layer.name] * steps / len(events))
        assert layer.sites == frames
        assert layer.sites_per_event == pytest.approx(steps / len(events))
    assert head.synchronous == 2 * 6 * 3
    assert head.sites == 1
    assert len(outputs) == len(events)


class AsyncTwice(EngineConverter):
    handles = (eventzoo.representations.FrameSequence,)

    def engine(self, model, sensor_size, window):
        raise NotImplementedError


def test_two_converters_of_one_representation(made, monkeypatch):
    model, get = made(), registry.get
    monkeypatch.setattr(registry, "get", lambda group, name: AsyncTwice if name == "AsyncHistogram" else get(group, name))
    with pytest.raises(PluginError, match=r"FrameSequence is handled by two async converters, .*AsyncFrameSequence and .*AsyncTwice"):
        model.asynchronous()
