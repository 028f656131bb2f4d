import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventzoo.data.boxes import Boxes
from eventzoo.data.dataset import Sample
from eventzoo.data.transforms import (
    CentreCrop,
    RandomCrop,
    RandomHorizontalFlip,
    RandomRotation,
    RandomScale,
    RandomShear,
    RandomShift,
    RandomVerticalFlip,
    Resize,
    sensor_size_after,
)
from eventzoo.errors import EventZooError
from eventzoo.events import Events


@pytest.fixture(scope="module")
def sample(make_events):
    return Sample(make_events(200), 3, "a")


def pixels(events):
    return list(zip(events.x.tolist(), events.y.tolist(), strict=True))


class Fixed:
    """Stands for a generator that draws given numbers."""

    def __init__(self, *values: float) -> None:
        self.values = list(values)

    def uniform(self, low: float, high: float) -> float:
        value = self.values.pop(0)
        assert low <= value <= high
        return value


def at(x, y, sensor_size=(9, 7)):
    return Sample(Events([x], [y], [0], [1], sensor_size), 0, "a")


@pytest.mark.parametrize(
    ("transform", "drawn", "before", "after"),
    [
        (RandomRotation(90), [90.0], (5, 3), [(4, 4)]),  # to the right of the centre (4, 3), then below it: y points down
        (RandomRotation(180), [180.0], (1, 2), [(7, 4)]),
        (RandomRotation(90), [90.0], (0, 3), []),  # four to the left become four above, outside
        (RandomScale(0.5, 2), [2.0], (5, 2), [(6, 1)]),
        (RandomScale(0.5, 2), [0.5], (0, 1), [(2, 2)]),
        (RandomScale(0.5, 2), [2.0], (8, 3), []),
        (RandomScale(0.5, 2, each_axis=True), [2.0, 0.5], (5, 1), [(6, 2)]),
        (RandomShear(0.5, 1), [0.5, 0.0], (4, 1), [(3, 1)]),  # two above the centre: one to the left
        (RandomShear(0.5, 1), [0.0, -1.0], (6, 3), [(6, 1)]),
        (RandomShear(0.5, 1), [0.5, 1.0], (5, 5), [(6, 6)]),
        (RandomShear(1), [-1.0, 0.0], (0, 6), []),
    ],
)
def test_worked_examples_about_the_centre(transform, drawn, before, after):
    assert pixels(transform(at(*before), Fixed(*drawn)).events) == after


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 99), size=st.tuples(st.integers(2, 40), st.integers(2, 40)))
def test_rotation_moves_each_pixel_to_the_nearest(make_events, seed, size):
    sample = Sample(make_events(60, size, seed), 0, "a")
    turned = RandomRotation(180)(sample, np.random.default_rng(seed)).events
    angle = math.radians(np.random.default_rng(seed).uniform(-180, 180))
    (width, height), expected = size, []
    for x, y in pixels(sample.events):
        right, down = x - (width - 1) / 2, y - (height - 1) / 2
        column = math.cos(angle) * right - math.sin(angle) * down + (width - 1) / 2
        row = math.sin(angle) * right + math.cos(angle) * down + (height - 1) / 2
        if -0.5 <= column < width - 0.5 and -0.5 <= row < height - 0.5:
            expected.append((math.floor(column + 0.5), math.floor(row + 0.5)))
    assert pixels(turned) == expected


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 99))
def test_no_turn_and_no_scaling_change_nothing(sample, seed):
    assert RandomScale(1, 1)(sample, np.random.default_rng(seed)).events == sample.events
    turned = RandomRotation(1e-9)(sample, np.random.default_rng(seed)).events
    assert turned == sample.events


@settings(deadline=None, max_examples=40)
@given(furthest=st.integers(1, 40), seed=st.integers(0, 99))
def test_shift_moves_all_events_alike_and_drops_what_leaves(sample, furthest, seed):
    shifted = RandomShift(furthest)(sample, np.random.default_rng(seed)).events
    right, down = np.random.default_rng(seed).integers(-furthest, furthest + 1, 2)
    moved = [(x + right, y + down) for x, y in pixels(sample.events)]
    assert pixels(shifted) == [(x, y) for x, y in moved if 0 <= x < 34 and 0 <= y < 34]


@settings(deadline=None, max_examples=40)
@given(size=st.tuples(st.integers(1, 40), st.integers(1, 40)), seed=st.integers(0, 9))
def test_flips_mirror_and_twice_is_nothing(make_events, size, seed):
    sample = Sample(make_events(20, size, seed), 0, "a")
    across, down = RandomHorizontalFlip(1), RandomVerticalFlip(1)
    assert pixels(across(sample, None).events) == [(size[0] - 1 - x, y) for x, y in pixels(sample.events)]
    assert pixels(down(sample, None).events) == [(x, size[1] - 1 - y) for x, y in pixels(sample.events)]
    assert down(across(across(down(sample, None), None), None), None).events == sample.events


def test_flips_happen_with_their_probability(sample):
    flips = [RandomHorizontalFlip(0.3)(sample, np.random.default_rng(seed)) is not sample for seed in range(1000)]
    assert abs(sum(flips) - 300) < 5 * math.sqrt(1000 * 0.3 * 0.7)


def test_crops(make_events):
    sample = Sample(make_events(300, (9, 8)), 0, "a")

    def cropped(left, top, width, height):
        moved = [(x - left, y - top) for x, y in pixels(sample.events)]
        return [(x, y) for x, y in moved if 0 <= x < width and 0 <= y < height]

    centre = CentreCrop((4, 4))(sample, None).events
    assert centre.sensor_size == (4, 4)
    assert pixels(centre) == cropped(2, 2, 4, 4)
    places = [(left, top) for left in range(6) for top in range(5)]
    found = [places.index(tuple(np.random.default_rng(seed).integers(0, (6, 5)))) for seed in range(300)]
    for seed, place in enumerate(found):
        crop = RandomCrop((4, 4))(sample, np.random.default_rng(seed)).events
        assert crop.sensor_size == (4, 4)
        assert pixels(crop) == cropped(*places[place], 4, 4)
    assert set(found) == set(range(30))  # every place, both edges included
    assert CentreCrop((9, 8))(sample, None).events == sample.events


@pytest.mark.parametrize("crop", [CentreCrop((10, 7)), RandomCrop((3, 8))])
def test_crops_larger_than_the_sensor_are_refused(crop):
    with pytest.raises(EventZooError, match="sample a is 9×7 pixels, too small for a crop of"):
        crop(at(3, 3), np.random.default_rng(0))


@settings(deadline=None, max_examples=40)
@given(old=st.tuples(st.integers(1, 40), st.integers(1, 40)), new=st.tuples(st.integers(1, 40), st.integers(1, 40)))
def test_resize_keeps_every_event_where_its_centre_goes(make_events, old, new):
    sample = Sample(make_events(30, old), 0, "a")
    resized = Resize(new)(sample, None).events
    expected = [tuple((2 * at + 1) * b // (2 * a) for at, a, b in zip(pixel, old, new, strict=True)) for pixel in pixels(sample.events)]
    assert resized.sensor_size == new
    assert pixels(resized) == expected
    assert (resized.t == sample.events.t).all()


def test_the_sensor_after_transforms():
    transforms = [RandomShift(3), CentreCrop((30, 20)), RandomHorizontalFlip(), Resize((15, 10))]
    assert sensor_size_after(transforms, (34, 34)) == (15, 10)
    assert sensor_size_after(transforms[:3], (34, 34)) == (30, 20)
    assert sensor_size_after([], (34, 34)) == (34, 34)
    with pytest.raises(EventZooError, match="too small for a crop"):
        sensor_size_after(transforms, (20, 20))


def test_resize_to_half_is_pooling(sample):
    assert pixels(Resize((17, 17))(sample, None).events) == [(x // 2, y // 2) for x, y in pixels(sample.events)]


# Boxes


def scene(seed, size=(30, 24), whole=True):
    """Events at distinct times, and boxes on whole pixels or not."""
    rng = np.random.default_rng(seed)
    events = Events(rng.integers(0, size[0], 300), rng.integers(0, size[1], 300), np.arange(300), rng.random(300) < 0.5, size)
    corners = np.sort(rng.uniform(0, 1, (2, 6, 2)) * size, 0)
    corners = np.stack([np.floor(corners[0]), np.ceil(corners[1])]) if whole else corners
    return Sample(events, None, "a", Boxes(np.hstack(list(corners)), np.arange(6), np.full(6, 299)))


def inside(sample, reach=0.0):
    """By box, the times of the events whose pixel's centre, half a pixel from its left and upper edge, is in it, or that near."""
    found, x, y = {}, sample.events.x + 0.5, sample.events.y + 0.5
    for (x1, y1, x2, y2), name in zip(sample.boxes.xyxy.astype(float), sample.boxes.class_ids, strict=True):
        within = (x >= x1 - reach) & (x < x2 + reach) & (y >= y1 - reach) & (y < y2 + reach)
        found[int(name)] = set(sample.events.t[within].tolist())
    return found


EXACT = [RandomHorizontalFlip(1), RandomVerticalFlip(1), RandomShift(12), CentreCrop((20, 17)), RandomCrop((11, 13))]
NEAREST = [RandomRotation(180), RandomScale(0.5, 2), RandomScale(0.5, 2, each_axis=True), RandomShear(0.4, 0.3), Resize((17, 40))]


@pytest.mark.parametrize("transform", EXACT, ids=lambda transform: type(transform).__name__)
@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), whole=st.booleans())
def test_the_same_events_are_inside_after_moves_by_whole_pixels(transform, seed, whole):
    sample = scene(seed, whole=whole)
    result = transform(sample, np.random.default_rng(seed))
    left, before = set(result.events.t.tolist()), inside(sample)
    for name, times in inside(result).items():
        assert times == before[name] & left


@pytest.mark.parametrize("transform", NEAREST, ids=lambda transform: type(transform).__name__)
@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), whole=st.booleans())
def test_events_inside_stay_in_pixels_that_the_box_touches(transform, seed, whole):
    sample = scene(seed, whole=whole)
    result = transform(sample, np.random.default_rng(seed))
    left, before = set(result.events.t.tolist()), inside(sample)
    for name, times in inside(result, reach=0.501).items():
        assert before[name] & left <= times


@pytest.mark.parametrize(
    ("transform", "rng", "before", "after"),
    [
        (RandomHorizontalFlip(1), None, (1, 2, 4, 5), [(16, 2, 19, 5)]),
        (RandomVerticalFlip(1), None, (1.5, 2, 4, 5.25), [(1.5, 4.75, 4, 8)]),
        (RandomRotation(90), Fixed(90.0), (11, 5, 12, 7), [(8, 6, 10, 7)]),  # a box to the right of the centre (10, 5), then below it
        (RandomRotation(45), Fixed(45.0), (9, 4, 11, 6), [(10 - 2**0.5, 5 - 2**0.5, 10 + 2**0.5, 5 + 2**0.5)]),
        (RandomScale(0.5, 2), Fixed(2.0), (9, 4, 12, 6), [(8, 3, 14, 7)]),
        (RandomScale(0.5, 2), Fixed(2.0), (0, 4, 8, 6), [(0, 3, 6, 7)]),  # from -10 to 6, of which 6 of 16 remain
        (RandomScale(0.5, 2), Fixed(2.0), (0, 4, 5.5, 6), []),  # from -10 to 1: less than a tenth remains
        (RandomShear(1), Fixed(1.0, 0.0), (10, 3, 12, 4), [(8, 3, 11, 4)]),
        (CentreCrop((10, 4)), None, (4, 3, 8, 20), [(0, 0, 3, 4)]),
        (CentreCrop((10, 4)), None, (0, 0, 5, 10), []),  # of which nothing remains
        (Resize((10, 20)), None, (1, 2, 4, 5), [(0.5, 4, 2, 10)]),
    ],
)
def test_boxes_follow(transform, rng, before, after):
    sample = Sample(Events.empty((20, 10)), None, "a", Boxes([before], [1], [7]))
    boxes = transform(sample, rng).boxes
    assert boxes.xyxy == pytest.approx(np.array(after).reshape(-1, 4), abs=1e-5)
    assert (boxes.class_ids.tolist(), boxes.t.tolist()) == ([1] * len(after), [7] * len(after))


@pytest.mark.parametrize(("remaining", "kept"), [(11, 1), (9, 0), (10, 1)])
def test_a_box_is_dropped_when_less_than_a_tenth_remains(remaining, kept):
    sample = Sample(Events.empty((200, 1)), None, "a", Boxes([[remaining - 100 + 50, 0, remaining + 50, 1]], [0], [0]))
    assert len(CentreCrop((100, 1))(sample, None).boxes) == kept
