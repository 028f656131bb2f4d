import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventzoo.data.dataset import Sample
from eventzoo.data.transforms import EvenSubsample, RandomRotation, RandomScale, RandomShift, RandomSubsample, apply
from eventzoo.errors import EventZooError
from eventzoo.events import Events


@pytest.fixture(scope="module")
def sample(make_events):
    return Sample(make_events(200), 3, "a")


def rows(events):
    return list(zip(events.x.tolist(), events.y.tolist(), events.t.tolist(), events.p.tolist(), strict=True))


@given(count=st.integers(1, 250), seed=st.integers(0, 99))
def test_random_subsample_keeps_distinct_events_in_order(sample, count, seed):
    events = RandomSubsample(count)(sample, np.random.default_rng(seed)).events
    assert len(events) == min(count, 200)
    remaining = iter(rows(sample.events))
    assert all(row in remaining for row in rows(events))  # a subsequence


def test_every_event_is_equally_likely(sample):
    taken = np.zeros(200)
    for seed in range(2000):
        taken[np.isin(sample.events.t, RandomSubsample(20)(sample, np.random.default_rng(seed)).events.t)] += 1
    assert abs(taken - 200).max() < 5 * np.sqrt(2000 * 0.1 * 0.9)


@given(count=st.integers(1, 250))
def test_even_subsample_is_deterministic_and_reaches_both_ends(sample, count):
    events = EvenSubsample(count)(sample, np.random.default_rng(0)).events
    assert events == EvenSubsample(count)(sample, np.random.default_rng(1)).events
    assert len(events) == min(count, 200)
    assert events.t[0] == sample.events.t[0]
    assert count == 1 or events.t[-1] == sample.events.t[-1]


@given(pixels=st.integers(1, 60), seed=st.integers(0, 99))
def test_shift_moves_all_events_alike_and_drops_what_leaves(sample, pixels, seed):
    shifted = RandomShift(pixels)(sample, np.random.default_rng(seed)).events
    candidates = []
    for right in range(-pixels, pixels + 1):
        for down in range(-pixels, pixels + 1):
            x, y = sample.events.x + right, sample.events.y + down
            inside = (x >= 0) & (x < 34) & (y >= 0) & (y < 34)
            if inside.sum() == len(shifted) and np.array_equal(x[inside], shifted.x) and np.array_equal(y[inside], shifted.y):
                candidates.append((right, down))
    assert candidates


class Fixed:
    """Stands for a generator that draws one number."""

    def __init__(self, value: float) -> None:
        self.value = value

    def uniform(self, low: float, high: float) -> float:
        assert low <= self.value <= high
        return self.value


def at(x, y, sensor_size=(9, 7)):
    return Sample(Events([x], [y], [0], [1], sensor_size), 0, "a")


@pytest.mark.parametrize(
    ("transform", "drawn", "before", "after"),
    [
        (RandomRotation(90), 90.0, (5, 3), [(4, 4)]),  # to the right of the centre (4, 3), then below it: y points down
        (RandomRotation(180), 180.0, (1, 2), [(7, 4)]),
        (RandomRotation(90), 90.0, (0, 3), []),  # four to the left become four above, outside
        (RandomScale(0.5, 2), 2.0, (5, 2), [(6, 1)]),
        (RandomScale(0.5, 2), 0.5, (0, 1), [(2, 2)]),
        (RandomScale(0.5, 2), 2.0, (8, 3), []),
    ],
)
def test_worked_examples_about_the_centre(transform, drawn, before, after):
    events = transform(at(*before), Fixed(drawn)).events
    assert list(zip(events.x, events.y, strict=True)) == after


@given(seed=st.integers(0, 99))
def test_no_turn_and_no_scaling_change_nothing(sample, seed):
    assert RandomScale(1, 1)(sample, np.random.default_rng(seed)).events == sample.events
    turned = RandomRotation(1e-9)(sample, np.random.default_rng(seed)).events
    assert turned == sample.events


def test_transforms_follow_each_other_and_leave_the_sample_alone(sample):
    before = rows(sample.events)
    chain = [EvenSubsample(100), RandomShift(3)]
    result = apply(chain, sample, np.random.default_rng(5))
    again = apply(chain, sample, np.random.default_rng(5))
    assert result.events == again.events
    assert (result.label, result.key) == (3, "a")
    assert rows(sample.events) == before


@pytest.mark.parametrize("make", [RandomSubsample, EvenSubsample, RandomShift])
def test_nonsense_is_refused(make):
    with pytest.raises(EventZooError, match="must be at least 1, not 0"):
        make(0)


def test_impossible_angles_and_factors_are_refused():
    with pytest.raises(EventZooError, match="degrees must be above 0"):
        RandomRotation(0)
    with pytest.raises(EventZooError, match="the lower first, not 2 and 1"):
        RandomScale(2, 1)
