"""Images of events, brought up to date where events came and went."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from eventzoo import representations
from eventzoo.asynchronous import Plan, Unsupported, Window
from eventzoo.asynchronous.converter import converter_of, converters
from eventzoo.errors import EventZooError
from eventzoo.events import Events
from eventzoo.kernels.asynchronous import pixel_stream, sites
from eventzoo.nn.backbone import Backbone
from eventzoo.testing import check_async_converter

CAPACITY = 256
IMAGES = {
    "Histogram": lambda: representations.Histogram(),
    "EventFrame": lambda: representations.EventFrame(bins=3, duration=30),
    "EventFrame of one bin": lambda: representations.EventFrame(bins=1, duration=7),
    "VoxelGrid": lambda: representations.VoxelGrid(bins=3, duration=30),
    "TimeSurface": lambda: representations.TimeSurface(tau=25, bins=3, duration=30),
    "TimeSurface of one bin": lambda: representations.TimeSurface(tau=25, bins=1, duration=8),
    "EventQueue": lambda: representations.EventQueue(size=3),
    "EventQueue of absolute times": lambda: representations.EventQueue(size=3, absolute_time=True),
}


class Image:
    """An image in a plan by itself, which is carried out in Python, not compiled as one."""

    def __init__(self, representation, window=None, size=(3, 2)):
        self.plan = Plan(window or Window(), size, CAPACITY)
        self.output = converter_of(representation, converters()).convert(self.plan, representation)

    def push(self, events, now=pixel_stream.NEVER):
        """Take events in one transaction; the pixels that were computed, and those whose row is said to have changed."""
        value = {state.name: state.value for state in self.plan.states}
        source, (begin, loop) = self.plan.source.call, self.plan.body
        taken = source.function(*(value[name] for name in source.arguments), events.x, events.y, events.t, events.p, 0, len(events), now)
        assert taken == len(events)
        begin.call.function(*(value[name] for name in begin.call.arguments))
        pixels, noted, output, (call,) = self.output.domain.sites.value, loop.x.rows.value, self.output.rows.value, loop.calls
        sites.open_worklist(pixels, output)
        sites.add_changed(pixels, noted)
        work = pixels.work[: pixels.counts[sites.WORK]].tolist()
        for slot in work:
            given = {"slot": slot, f"{loop.x.rows.name}.rows": noted.rows, f"{self.output.rows.name}.row": output.row, **value}
            call.function(*(given[name] for name in call.arguments))
            sites.commit(pixels, output, slot)
        return work, output.changed[: output.counts[0]].tolist()

    @property
    def map(self):
        """`[C, height, width]`."""
        width, height = self.output.size
        return self.output.rows.value.rows.T.reshape(-1, height, width).copy()

    @property
    def events(self):
        """The events in the window."""
        return Events(*self.plan.source.events(), self.output.size)


@st.composite
def streams(draw):
    """Events of a sensor of few pixels, at few times, some far apart; pushes of them; and a window."""
    size = draw(st.sampled_from([(1, 1), (3, 2), (2, 4)]))
    gap = st.sampled_from([0, 0, 0, 1, 2, 5, 10, 31, 200, 5_000])
    one = st.tuples(st.integers(0, size[0] - 1), st.integers(0, size[1] - 1), gap, st.booleans())
    x, y, gaps, p = np.array(draw(st.lists(one, max_size=40)), np.int64).reshape(-1, 4).T
    start = draw(st.sampled_from([0, 17, 1_700_000_000_000_000]))
    events = Events(x, y, start + np.cumsum(gaps), p.astype(bool), size)
    ends = sorted({len(events), *draw(st.lists(st.integers(0, len(events)), max_size=12))})
    counts, spans = st.integers(1, 50).map(lambda n: Window(events=n)), st.integers(1, 100).map(lambda n: Window(microseconds=n))
    return events, ends, draw(st.one_of(st.just(Window()), counts, spans))


def inside(events, window, now):
    """The events in the window at a time."""
    if window.microseconds is not None:
        return events[events.t > now - window.microseconds]
    return events[-window.events :] if window.events is not None else events


@pytest.mark.parametrize("name", IMAGES)
@given(case=streams(), later=st.integers(0, 50))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.differing_executors])
def test_any_stream(name, case, later):
    """The image is that of the events in the window, and what is said to have changed has changed."""
    events, ends, window = case
    representation = IMAGES[name]()
    image, before, first = Image(representation, window, events.sensor_size), None, 0

    def check(changed, expected):
        np.testing.assert_allclose(image.map, representation(expected).numpy(), rtol=1e-6, atol=0)
        for column in "xytp":
            np.testing.assert_array_equal(getattr(image.events, column), getattr(expected, column))
        assert int(image.plan.source.domain.sites.value.alive.sum()) == len(expected)
        pixels = image.map[0].size
        different = range(pixels) if before is None else np.flatnonzero((image.map != before).any(0)).tolist()
        assert sorted(changed) == list(different)

    _, changed = image.push(events[:0])
    check(changed, events[:0])
    for end in ends:
        before = image.map
        _, changed = image.push(events[first:end])
        check(changed, inside(events[:end], window, events.t[end - 1] if end else 0))
        first = end
    at_once = Image(representation, window, events.sensor_size)
    at_once.push(events)
    np.testing.assert_array_equal(image.map, at_once.map)  # the bits do not tell how the image came to be
    before, now = image.map, int(events.t[-1] if len(events) else 0) + later
    _, changed = image.push(events[:0], now)
    check(changed, inside(events, window, now))


def event(x, y, t):
    return Events([x], [y], [t], [True], (3, 2))


@pytest.mark.parametrize("name", IMAGES)
def test_what_an_event_costs(name):
    """It computes its own pixel, and that of the event that leaves; those with events are all computed when a time bin begins."""
    image = Image(IMAGES[name](), Window(events=3))
    assert image.push(event(0, 0, 0)[:0])[0] == [0, 1, 2, 3, 4, 5]
    assert image.push(event(0, 0, 0)[:0])[0] == []
    assert image.push(event(0, 0, 1_000))[0] == [0]
    assert image.push(event(2, 1, 1_000))[0] == [5]
    assert image.push(event(2, 1, 1_000))[0] == [5]
    assert image.push(event(1, 0, 1_000))[0] == [0, 1]
    assert image.push(event(1, 0, 1_000))[0] == [5, 1]
    in_bins = hasattr(IMAGES[name](), "duration")
    assert image.push(event(2, 0, 2_000))[0] == ([5, 2, 1] if in_bins else [5, 2])


def test_more_events_than_the_window_holds():
    """Events that come and leave in one transaction leave nothing behind."""
    image, events = (
        Image(representations.Histogram(), Window(events=2)),
        Events(np.arange(50) % 3, np.arange(50) % 2, np.arange(50), np.ones(50, bool), (3, 2)),
    )
    image.push(events)
    np.testing.assert_array_equal(image.map, representations.Histogram()(events[-2:]).numpy())
    value = image.plan.source.domain.sites.value
    assert value.counts[sites.LEFT] == 0
    assert int(value.alive.sum()) == 2


@pytest.mark.parametrize("name", ["EventFrame", "VoxelGrid", "TimeSurface"])
def test_bins_that_span_the_recording(name):
    with pytest.raises(Unsupported, match=rf"every event moves all of them; give it a duration, such as {name}\(bins=3, duration=30_000\)"):
        Image(getattr(representations, name)(bins=3))


class Reader(Backbone):
    """The least backbone of an image."""

    accepts, sensor_size, out_channels, out_size = "image", (12, 9), 4, None

    def __init__(self, channels):
        super().__init__()
        self.linear = nn.Linear(channels * 12 * 9, 4)

    def forward(self, batch):
        return self.linear(batch.flatten(1))


@pytest.fixture(scope="module")
def reader(classifier):
    """Makes a model of a representation."""
    return lambda representation: classifier(Reader(representation.channels), representation)


def test_final_features(reader):
    with pytest.raises(EventZooError, match="Histogram: an image has no features of single events"):
        reader(representations.Histogram()).asynchronous(Window(history=True))


@pytest.mark.parametrize(
    "representation",
    [
        representations.Histogram(),
        pytest.param(representations.EventQueue(size=4), marks=pytest.mark.slow),
        pytest.param(representations.EventQueue(size=4, absolute_time=True), marks=pytest.mark.slow),
        pytest.param(representations.EventFrame(bins=3, duration=6_000), marks=pytest.mark.slow),
        pytest.param(representations.VoxelGrid(bins=3, duration=6_000), marks=pytest.mark.slow),
        pytest.param(representations.TimeSurface(tau=4_000, bins=3, duration=6_000), marks=pytest.mark.slow),
    ],
    ids=lambda representation: f"{type(representation).__name__}",
)
def test_a_network_of_images(reader, rough, representation):
    check_async_converter(reader(representation), rough(300, 3, (12, 9)))


def test_a_layer_without_a_converter(reader, rough):
    """It is given the image as it stands."""
    model, events = reader(representations.Histogram()), rough(100, 4, (12, 9))
    model.backbone.linear = nn.Sequential(nn.GroupNorm(1, 216), model.backbone.linear)
    stream = model.asynchronous(Window(events=30))
    assert stream.fallbacks[0].name == "linear.0"
    outputs = stream.push_each(events)
    for count in (1, 10, 100):
        np.testing.assert_allclose(outputs[count - 1], model.output(events[:count][-30:]), rtol=1e-5, atol=1e-6)


def test_long_streams(reader, rough):
    """What is kept does not grow with the stream, but with the window."""
    model, events = reader(representations.Histogram()), rough(30_000, 1, (12, 9))
    for window, most in ((Window(events=500), 2048), (Window(microseconds=20_000), 2048), (Window(), 1 << 15)):
        stream = model.asynchronous(window, strict=True)
        stream.push_each(events)
        np.testing.assert_allclose(stream.head_output(), model.output(stream.events), rtol=1e-5, atol=1e-5)
        assert max(array.size for array in stream.state_dict().values()) <= most
