"""Each representation of kind "image" equals its definition, event by event."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eventzoo.data.pipeline import Pipeline
from eventzoo.data.preparing import find_store, prepare
from eventzoo.data.transforms import EvenSubsample
from eventzoo.errors import EventZooError
from eventzoo.events import Events
from eventzoo.plugins.datasets.moving_shapes import MovingShapes
from eventzoo.representations import EventFrame, EventQueue, Histogram, TimeSurface, VoxelGrid
from eventzoo.specs import build, spec_of

WIDTH, HEIGHT = SIZE = (4, 3)
OF_THE_RECORDING = [Histogram(), EventFrame(3), VoxelGrid(4), TimeSurface(30, 3), EventQueue(3)]
ON_THE_CLOCK = [EventFrame(3, 60), VoxelGrid(3, 60), TimeSurface(30, 3, 60)]  # bins of 20 µs
PARTS = [*OF_THE_RECORDING, *ON_THE_CLOCK, EventQueue(3, absolute_time=True)]
ORIGINS = (-1000, -7, 0, 3, 10**15)

few = settings(deadline=None, max_examples=60)
each_part = pytest.mark.parametrize("part", PARTS, ids=lambda part: f"{type(part).__name__}{tuple(part.init_args.values())}")


@st.composite
def recordings(draw):
    """A few pixels, events of one time, pauses of less than a bin and of many; the clock may begin anywhere."""
    event = st.tuples(st.integers(0, WIDTH - 1), st.integers(0, HEIGHT - 1), st.sampled_from([0, 0, 1, 7, 20, 150]), st.booleans())
    x, y, gaps, p = np.array(draw(st.lists(event, max_size=40)), np.int64).reshape(-1, 4).T
    return Events(x, y, gaps.cumsum() + draw(st.sampled_from(ORIGINS)), p, SIZE)


def listed(events):
    return [(int(x), int(y), int(t), int(p)) for x, y, t, p in zip(events.x, events.y, events.t, events.p, strict=True)]


def bins_of(events, bins, duration):
    """Where each bin begins, and where the last ends."""
    first, last = int(events.t[0]), int(events.t[-1])
    if duration is None:
        return [first + Fraction(k * (last - first), bins) for k in range(bins + 1)]
    length = duration // bins
    return [(last // length + 1 + k - bins) * length for k in range(bins + 1)]


def frames(events, bins, duration):
    image = np.zeros((2 * bins, HEIGHT, WIDTH))
    begins = bins_of(events, bins, duration)[:-1] if len(events) else []
    for x, y, t, p in listed(events):
        number = sum(begin <= t for begin in begins) - 1
        if number >= 0:
            image[2 * number + p, y, x] += 1
    return image


def grid(events, bins, duration):
    image = np.full((bins, HEIGHT, WIDTH), Fraction(0))
    for x, y, t, p in listed(events):
        first, last = int(events.t[0]), int(events.t[-1])
        if duration is None:
            tau = Fraction((bins - 1) * (t - first), last - first) if last > first else bins - 1
        else:
            length = duration // bins
            tau = Fraction(t, length) - last // length + bins - 2
        for b in range(bins):
            image[b, y, x] += (1 if p else -1) * max(0, 1 - abs(b - tau))
    return image


def surfaces(events, tau, bins, duration):
    image = np.zeros((2 * bins, HEIGHT, WIDTH))
    ends = bins_of(events, bins, duration)[1:] if len(events) else []
    for k, end in enumerate(ends):
        for x, y, t, p in listed(events):
            if t < end or (k == bins - 1 and t == end):
                image[2 * k + p, y, x] = max(math.exp(-(end - t) / tau), math.exp(-87))
    return image


def queues(events, size, absolute_time):
    image = np.zeros((2 * size, HEIGHT, WIDTH))
    for x in range(WIDTH):
        for y in range(HEIGHT):
            here = [event for event in reversed(listed(events)) if event[:2] == (x, y)][:size]
            if not here:
                continue
            newest = here[0][2]
            ages = [newest - t for _, _, t, _ in here]
            if absolute_time:
                ages += [newest] * (size - len(here))
            image[: len(ages), y, x] = [Fraction(age, max(ages) or 1) for age in ages]
            image[len(ages) : size, y, x] = 1
            image[size : size + len(here), y, x] = [2 * p - 1 for _, _, _, p in here]
    return image


def assert_equal(image, expected, rtol=0.0, atol=0.0):
    assert image.dtype == torch.float32
    np.testing.assert_allclose(image.numpy(), expected.astype(np.float32), rtol=rtol, atol=atol)


@few
@given(recordings(), st.integers(1, 5), st.sampled_from([None, 1, 20, 500]))
def test_frames_equal_a_literal_loop(events, bins, length):
    duration = length and length * bins
    assert_equal(EventFrame(bins, duration)(events), frames(events, bins, duration))


@few
@given(recordings(), st.integers(2, 5), st.sampled_from([None, 1, 20, 500]))
def test_voxel_grids_equal_a_literal_loop(events, bins, length):
    duration = length and length * bins
    assert_equal(VoxelGrid(bins, duration)(events), grid(events, bins, duration), rtol=1e-6)


@few
@given(recordings(), st.sampled_from([1, 30, 1000]), st.integers(1, 5), st.sampled_from([None, 1, 20, 500]))
def test_time_surfaces_equal_a_literal_loop(events, tau, bins, length):
    duration = length and length * bins
    assert_equal(TimeSurface(tau, bins, duration)(events), surfaces(events, tau, bins, duration), rtol=1e-6, atol=1e-12)


@few
@given(recordings(), st.integers(1, 5), st.booleans())
def test_event_queues_equal_a_literal_loop(events, size, absolute_time):
    assert_equal(EventQueue(size, absolute_time)(events), queues(events, size, absolute_time), rtol=1e-6)


@few
@given(st.sampled_from(OF_THE_RECORDING), recordings(), st.integers(-(10**15), 10**15))
def test_without_a_duration_it_does_not_matter_when_the_clock_began(part, events, later):
    assert torch.equal(part(events), part(Events(events.x, events.y, events.t + later, events.p, SIZE)))


@few
@given(st.sampled_from(ON_THE_CLOCK), recordings(), st.integers(-(10**9), 10**9))
def test_with_a_duration_whole_bins_do_not_matter(part, events, later):
    assert torch.equal(part(events), part(Events(events.x, events.y, events.t + 20 * later, events.p, SIZE)))


@few
@given(st.sampled_from(PARTS), recordings(), st.permutations(range(WIDTH)))
def test_pixels_do_not_mix(part, events, order):
    moved = Events(np.array(order)[events.x], events.y, events.t, events.p, SIZE)
    assert torch.equal(part(events), part(moved)[:, :, order])


@few
@given(st.sampled_from(ON_THE_CLOCK), recordings())
def test_an_event_leaves_finished_bins_alone(part, events):
    """What makes a stream cheap: until a new bin begins, only the last bin (of ticks, the last two) changes."""
    if len(events) and events.t[-1] // 20 == events.t[-2:][0] // 20:
        of_a_bin, changed = (1, 2) if isinstance(part, VoxelGrid) else (2, 1)
        kept = part.channels - of_a_bin * changed
        assert torch.equal(part(events)[:kept], part(events[:-1])[:kept])


@each_part
def test_empty_recordings_and_single_events(part):
    nothing = part(Events.empty(SIZE))
    assert nothing.shape == (part.channels, HEIGHT, WIDTH)
    assert not nothing.any()
    image = part(Events([2], [1], [12345], [True], SIZE))
    assert image.isfinite().all()
    assert image[:, 1, 2].any()
    assert not image[:, 1, [0, 1, 3]].any()
    assert not image[:, [0, 2]].any()


@each_part
def test_rebuilt_collated_and_prepared(tmp_path, part):
    pipeline = Pipeline(MovingShapes(size=2), [EvenSubsample(300)], part)
    fresh = [pipeline[0, i].value for i in range(2)]
    prepare(tmp_path, pipeline, jobs=1, backend="sequential")
    pipeline.store = find_store(tmp_path, pipeline)
    rebuilt = build(spec_of(part), type(part))
    batch = rebuilt.collate([pipeline[0, i].value for i in range(2)])
    assert batch.shape == (2, rebuilt.channels, 64, 64)
    assert torch.equal(batch, torch.stack(fresh))
    assert not torch.equal(*fresh)
    assert torch.equal(rebuilt(pipeline.dataset[0].events), part(pipeline.dataset[0].events))


def at_one_pixel(*events):
    """Times and polarities of events at pixel (1, 2)."""
    t, p = zip(*events, strict=True)
    return Events([1] * len(t), [2] * len(t), t, p, SIZE)


def test_histogram_of_a_worked_example():
    image = Histogram()(at_one_pixel((0, 1), (3, 0), (3, 1), (9, 1)))
    assert image[:, 2, 1].tolist() == [1, 3]
    assert image.sum() == 4


def test_frames_of_a_worked_example():
    """A recording of 10 µs in four bins of 2.5 µs: ON at 0, 2 and 10, OFF at 5, where the third bin begins."""
    events = at_one_pixel((100, 1), (102, 1), (105, 0), (110, 1))
    assert EventFrame(4)(events)[:, 2, 1].tolist() == [0, 2, 0, 0, 1, 0, 0, 1]
    # on the clock, bins of 4 µs: 96, 100, 104, 108
    assert EventFrame(4, 16)(events)[:, 2, 1].tolist() == [0, 0, 0, 2, 1, 0, 0, 1]
    assert EventFrame(2, 8)(events)[:, 2, 1].tolist() == [1, 0, 0, 1]


def test_voxel_grid_of_a_worked_example():
    """Three ticks, at 100, 105 and 110 µs."""
    events = at_one_pixel((100, 1), (101, 0), (106, 1), (110, 1))
    np.testing.assert_allclose(VoxelGrid(3)(events)[:, 2, 1], [1 - 0.8, -0.2 + 0.8, 0.2 + 1], rtol=1e-6)
    # on the clock, at multiples of 4 µs: 104, 108 and, after the newest event, 112
    np.testing.assert_allclose(VoxelGrid(3, 12)(events)[:, 2, 1], [-0.25 + 0.5, 0.5 + 0.5, 0.5], rtol=1e-6)


def test_time_surface_of_a_worked_example():
    """Two bins, that end at 105 and 110 µs."""
    events = at_one_pixel((100, 1), (103, 1), (105, 0), (110, 1))
    expected = [0, math.exp(-0.2), math.exp(-0.5), 1]
    np.testing.assert_allclose(TimeSurface(10, 2)(events)[:, 2, 1], expected, rtol=1e-6)
    # on the clock, bins of 4 µs that end at 108 and 112; what was before 104 is remembered
    expected = [math.exp(-0.3), math.exp(-0.5), math.exp(-0.7), math.exp(-0.2)]
    np.testing.assert_allclose(TimeSurface(10, 2, 8)(events)[:, 2, 1], expected, rtol=1e-6)


def test_a_surface_stays_exact_over_many_bins_and_never_vanishes():
    events = at_one_pixel((0, 1), (1_000_000, 0))
    image = TimeSurface(200_000, 500)(events)[1::2, 2, 1]
    np.testing.assert_allclose(image, np.exp(-np.arange(1, 501) / 100), rtol=1e-6)
    faint = TimeSurface(1_000, 500)(events)[1::2]
    assert (faint[:, 2, 1].diff() <= 0).all()
    assert faint[-1].nonzero().tolist() == [[2, 1]]  # else a sparse network's sites would come and go by rounding


@pytest.mark.parametrize("absolute_time", [False, True])
@pytest.mark.parametrize(
    ("times", "relative", "absolute"),
    [
        ((100, 200, 500), [0, 0.75, 1], [0, 0.75, 1]),
        ((7, 100, 200, 500), [0, 0.75, 1], [0, 0.75, 1]),
        ((200, 500), [0, 1, 1], [0, 0.6, 1]),
        ((500,), [0, 1, 1], [0, 1, 1]),
        ((500, 500, 500), [0, 0, 0], [0, 0, 0]),
        ((500, 500), [0, 0, 1], [0, 0, 1]),
        ((0,), [0, 1, 1], [0, 0, 0]),
    ],
)
def test_event_queues_of_worked_examples(times, relative, absolute, absolute_time):
    polarities = [i % 2 for i in range(len(times))]
    image = EventQueue(3, absolute_time)(at_one_pixel(*zip(times, polarities, strict=True)))[:, 2, 1]
    np.testing.assert_allclose(image[:3], absolute if absolute_time else relative, rtol=1e-6)
    assert image[3:].tolist() == [*[2 * p - 1 for p in polarities[::-1]], 0, 0][:3]


def test_events_that_are_strided_views(make_events):
    events = make_events(300, SIZE)
    strided = Events.from_structured(events.to_structured(), SIZE)
    assert strided.x.strides != events.x.strides
    for part in PARTS:
        assert torch.equal(part(strided), part(events))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EventFrame(0), "EventFrame: bins >= 1 is needed, not 0"),
        (lambda: VoxelGrid(1), "VoxelGrid: bins >= 2 is needed, not 1"),
        (lambda: EventFrame(3, 100), "EventFrame: 3 bins of whole microseconds cannot divide a duration of 100 µs; .* such as 99"),
        (lambda: TimeSurface(bins=4, duration=0), "4 bins of whole microseconds cannot divide a duration of 0 µs; .* such as 4"),
        (lambda: TimeSurface(0), "TimeSurface: tau is in microseconds and must be at least 1, not 0"),
        (lambda: EventQueue(0), "EventQueue: size >= 1 is needed, not 0"),
    ],
)
def test_settings_that_make_no_sense(make, message):
    with pytest.raises(EventZooError, match=message):
        make()
