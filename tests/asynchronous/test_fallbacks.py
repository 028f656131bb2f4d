"""Layers without a converter: run densely, with the same answer, and reported by name."""

import numpy as np
import pytest
from torch import nn

import eventzoo
from eventzoo.asynchronous import Window
from eventzoo.data.transforms import CentreCrop, EvenSubsample, EveryKth
from eventzoo.errors import EventZooError
from eventzoo.nn.backbone import Backbone
from eventzoo.tasks.heads import YOLOXHead
from eventzoo.testing import check_async_converter, synchronous_output

WINDOWS = [Window(), Window(events=30), Window(microseconds=3_000)]
SIZE = (20, 16)


class Gate(nn.Module):
    """Depends on its input's values, which torch.fx cannot record."""

    def forward(self, x):
        return 2 * x if x.sum() > 0 else x


class MaskedLinear(nn.Linear):
    """A linear layer with a forward of its own."""

    def forward(self, x):
        return super().forward(x) * (x > 0)


class Presence(eventzoo.representations.Histogram):
    """Whether there is an event: not what its base computes."""

    def __call__(self, events):
        return super().__call__(events).clamp(max=1)


class Filter(Backbone):
    """Of images."""

    accepts, sensor_size, out_channels, out_size = "image", SIZE, 4, SIZE

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, padding=1)

    def forward(self, batch):
        return self.conv(batch).relu()


@pytest.fixture(scope="session")
def between(one_convolution):
    """Makes the least backbone with something between its convolution and its pool."""

    class Between(one_convolution):
        def __init__(self, function, **layers):
            super().__init__()
            self.function = function
            for name, layer in layers.items():
                self.add_module(name, layer)

        def between(self, x, batch):
            return self.function(self, x, batch)

    return Between


def agree(model, events, window):
    """The answers are the synchronous network's, singly, all at once, and one by one; returns what was run densely."""
    stream = model.asynchronous(window)
    names = [fallback.name for fallback in stream.fallbacks]
    for first in range(0, len(events), 7):
        found = stream.push(events[first : first + 7])
        np.testing.assert_allclose(found.logits, stream.synchronous().logits, rtol=1e-4, atol=1e-6)
    stream.advance(int(events.t[-1]) + 100_000)
    np.testing.assert_allclose(stream.output().logits, stream.synchronous().logits, rtol=1e-4, atol=1e-6)
    stream.reset()
    outputs = stream.push_each(events)
    assert outputs.shape == (len(events), 3)
    np.testing.assert_array_equal(outputs[-1], found.logits)
    assert stream.push_each(events[:0]).shape == (0, 3)
    return names


def refused(model, window=None):
    """What is said where nothing may be run densely."""
    with pytest.raises(EventZooError) as caught:
        model.asynchronous(window, strict=True)
    return str(caught.value)


@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_a_layer_without_a_converter(between, classifier, rough, window):
    model = classifier(between(lambda self, x, _: self.norm(x), norm=nn.GroupNorm(1, 4)))
    assert agree(model, rough(60, 1, SIZE), window)[:2] == ["norm", "pool"]
    said = refused(model, window)
    assert "norm: there is no async converter for it; pool: it comes after norm" in said
    assert "Leave out `strict`" in said


def test_a_layer_with_a_forward_of_its_own(between, classifier, rough):
    model = classifier(between(lambda self, x, _: self.linear(x), linear=MaskedLinear(4, 4)))
    names = agree(model, rough(60, 2, SIZE), WINDOWS[1])
    assert names[0] == "linear"
    assert "linear: there is no async converter for it" in refused(model)


def test_a_layer_that_cannot_be_traced(between, classifier, rough):
    model = classifier(between(lambda self, x, _: self.gate(x), gate=Gate()))
    assert agree(model, rough(60, 3, SIZE), WINDOWS[1])[0] == "gate"
    assert "gate: there is no async converter for it" in refused(model)


@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_a_backbone_that_cannot_be_traced(between, classifier, rough, window):
    model = classifier(between(lambda _, x, batch: x * (1 + len(batch.edge_index[0]) / 100)))
    assert agree(model, rough(60, 4, SIZE), window)[0] == "backbone"
    assert "backbone: there is no async converter for it" in refused(model)


@pytest.mark.parametrize(
    "function",
    [lambda _, x, batch: x * batch.num_nodes, lambda _, x, batch: x * batch.ptr[-1], lambda _, x, batch: x if batch.num_nodes > 5 else -x],
    ids=["num_nodes", "ptr", "not traced"],
)
def test_parts_of_the_batch_that_a_stream_does_not_have(between, classifier, rough, function):
    agree(classifier(between(function)), rough(40, 9, SIZE), WINDOWS[1])


def test_what_cannot_be_known_while_features_are_final(between, classifier):
    """A layer of unknown kind may look at all events, and those that left are gone."""
    for backbone in (between(lambda self, x, _: self.gate(x), gate=Gate()), between(lambda _, x, batch: x / len(batch.x))):
        with pytest.raises(EventZooError, match=r"(gate|backbone): .*features cannot be final; leave out the window's history"):
            classifier(backbone).asynchronous(Window(events=30, history=True))


def test_a_layer_behind_the_pools_while_features_are_final(one_convolution, classifier, head_of, rough):
    model = classifier(one_convolution)
    model.head = head_of(nn.Flatten(), nn.GroupNorm(1, 24), nn.Linear(24, 3))
    stream = model.asynchronous(Window(events=30, history=True))
    assert stream.fallbacks[0].name == "head.layers.1"
    events = rough(100, 5, SIZE)
    np.testing.assert_allclose(stream.push(events).logits, synchronous_output(model, events, stream.window), rtol=1e-4, atol=1e-6)


def test_a_detection_head_that_is_not_converted(one_convolution, classifier, rough):
    """Zeros are not what its convolution puts around the map."""
    model, events = classifier(one_convolution), rough(60, 8, SIZE)
    model.head = YOLOXHead(channels=5, depth=1, score_threshold=0.0).connect(model.backbone, 3).eval()
    model.head.stem[0].padding_mode = "replicate"
    stream = model.asynchronous()
    assert stream.fallbacks[0].name == "head.stem.0"
    assert "its padding 'replicate'" in stream.fallbacks[0].reason
    for first in range(0, 60, 20):
        found, expected = stream.push(events[first : first + 20]), model.predict(events[: first + 20])
        np.testing.assert_allclose(found.boxes, expected.boxes, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-4)
    assert stream.push_each(events[:0]).shape == (0, 8, 2, 3)


@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_a_representation_without_a_converter(classifier, rough, window):
    model = classifier(Filter, Presence())
    assert agree(model, rough(60, 6, SIZE), window) == ["Presence"]
    assert "Presence: there is no async converter for it" in refused(model)
    with pytest.raises(EventZooError, match="Presence"):
        model.asynchronous(Window(events=30, history=True))


@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_a_transform_of_the_whole_recording(aegnn, rough, window):
    model = aegnn(transforms=[EveryKth(2), EvenSubsample(20)])
    assert agree(model, rough(60, 7), window) == ["EventGraph"]
    assert "EvenSubsample cannot be done on a stream; EveryKth thins out a stream" in refused(model)


def test_transforms_that_stream(aegnn, rough):
    model = aegnn(transforms=[CentreCrop((34, 34)), EveryKth(3)], model_size=(50, 40))
    events = rough(400, 8, (50, 40))
    check_async_converter(model, events)
    stream = model.asynchronous(Window(events=10))
    for first in range(0, 400, 7):
        stream.push(events[first : first + 7])
    cropped = CentreCrop((34, 34)).on_stream(events, 0)
    assert stream.events == cropped[::3][-10:]
    assert stream.num_events == 400
