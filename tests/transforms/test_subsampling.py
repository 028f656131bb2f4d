import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventzoo.data.dataset import Sample
from eventzoo.data.transforms import EvenSubsample, EveryKth, LIFSubsample, RandomSubsample, TemporalSubsample
from eventzoo.events import Events
from eventzoo.kernels.lif_sampling import lif_sampling


@pytest.fixture(scope="module")
def sample(make_events):
    return Sample(make_events(200), 3, "a")


def rows(events):
    return list(zip(events.x.tolist(), events.y.tolist(), events.t.tolist(), events.p.tolist(), strict=True))


@settings(deadline=None, max_examples=40)
@given(count=st.integers(1, 250), seed=st.integers(0, 99), kind=st.sampled_from([RandomSubsample, TemporalSubsample]))
def test_random_subsamples_keep_distinct_events_in_order(sample, count, seed, kind):
    events = kind(count)(sample, np.random.default_rng(seed)).events
    assert len(events) == min(count, 200)
    remaining = iter(rows(sample.events))
    assert all(row in remaining for row in rows(events))  # a subsequence


def test_every_event_is_equally_likely(sample):
    taken = np.zeros(200)
    for seed in range(2000):
        taken[np.isin(sample.events.t, RandomSubsample(20)(sample, np.random.default_rng(seed)).events.t)] += 1
    assert abs(taken - 200).max() < 5 * np.sqrt(2000 * 0.1 * 0.9)


@settings(deadline=None, max_examples=40)
@given(count=st.integers(1, 250))
def test_even_subsample_is_deterministic_and_reaches_both_ends(sample, count):
    events = EvenSubsample(count)(sample, np.random.default_rng(0)).events
    assert events == EvenSubsample(count)(sample, np.random.default_rng(1)).events
    assert len(events) == min(count, 200)
    assert events.t[0] == sample.events.t[0]
    assert count == 1 or events.t[-1] == sample.events.t[-1]


@given(k=st.integers(1, 250))
def test_every_kth(sample, k):
    assert rows(EveryKth(k)(sample, None).events) == [row for i, row in enumerate(rows(sample.events)) if i % k == 0]


def at_times(times):
    n = len(times)
    return Sample(Events(np.arange(n), [0] * n, times, [1] * n, (n, 1)), 0, "a")


def test_temporal_chances_are_in_proportion_to_the_gaps():
    sample = at_times([0, 10, 10, 40, 60])  # gaps 10, 0, 30, 20, and the mean 15
    drawn = np.bincount([TemporalSubsample(1)(sample, np.random.default_rng(seed)).events.x[0] for seed in range(3000)], minlength=5)
    expected = 3000 * np.array([10, 0, 30, 20, 15]) / 75
    assert (abs(drawn - expected) <= 5 * np.sqrt(expected)).all()


def test_temporal_without_replacement_follows_the_chances_of_what_is_left():
    sample, left_out = at_times([0, 10, 40, 60, 75]), np.zeros(5)  # gaps 10, 30, 20, 15 and 18.75
    for seed in range(2000):
        left_out[np.setdiff1d(np.arange(5), TemporalSubsample(4)(sample, np.random.default_rng(seed)).events.x)] += 1
    weights, expected = np.array([10, 30, 20, 15, 18.75]), np.zeros(5)

    def draw(left, chance):
        if len(left) == 1:
            expected[left[0]] += chance
        for one in left if len(left) > 1 else []:
            draw([other for other in left if other != one], chance * weights[one] / weights[left].sum())

    draw([0, 1, 2, 3, 4], 2000)
    assert (abs(left_out - expected) < 5 * np.sqrt(expected)).all()


@pytest.mark.parametrize("times", [[5] * 6, [0] * 5 + [9]])
def test_temporal_falls_back_on_events_without_a_gap(times):
    drawn = [TemporalSubsample(4)(at_times(times), np.random.default_rng(seed)).events for seed in range(50)]
    assert {len(events) for events in drawn} == {4}
    assert len({tuple(events.x) for events in drawn}) > 5


def fired_by_the_book(events, threshold, h):
    """The equations, event by event."""
    width, height = events.sensor_size
    leaks = [-math.log(value) / value for value in h]
    potentials, last, fired = {}, None, []
    for x, y, t, p in rows(events):
        v = potentials.get((x, y, p), 0.0)
        if last is not None:
            distances = abs(x - last[0]) / (width - 1), abs(y - last[1]) / (height - 1), abs(t - last[2]) / events.duration
            v *= math.exp(-sum(leak * distance for leak, distance in zip(leaks, distances, strict=True)))
        v += 1
        fired.append(v >= threshold)
        if fired[-1]:
            v -= threshold
            last = x, y, t
        potentials[x, y, p] = v
    return np.array(fired)


@settings(deadline=None, max_examples=20)
@given(count=st.integers(1, 299), seed=st.integers(0, 50), h=st.tuples(*[st.sampled_from([0.05, 0.3, 1.0])] * 3))
def test_lif_fires_by_the_book(make_events, count, seed, h):
    events = make_events(300, (6, 5), seed)
    fired = lif_sampling(events, count, h)
    assert fired.sum() >= count
    low, high = 0.0, len(events) / count + 1e-5
    expected = np.ones(300, bool)
    while high - low > 1e-5:
        threshold = (low + high) / 2
        now = fired_by_the_book(events, threshold, h)
        low, high = (low, threshold) if now.sum() < count else (threshold, high)
        expected = expected if now.sum() < count else now
        if now.sum() == count:
            break
    assert np.array_equal(fired, expected)
    kept = LIFSubsample(count, *h)(Sample(events, 0, "a"), None).events
    assert len(kept) == count
    remaining = iter(rows(events[fired]))
    assert all(row in remaining for row in rows(kept))


def test_lif_prefers_where_events_are_dense():
    noise = np.random.default_rng(0).integers(0, 900, 300)
    x, y = np.where(np.arange(300) % 2, 3, noise % 30), np.where(np.arange(300) % 2, 4, noise // 30)  # every other event at one pixel
    sample = Sample(Events(x, y, np.arange(300), np.ones(300), (30, 30)), 0, "a")
    kept = LIFSubsample(30, 0.5, 0.5, 0.5)(sample, None).events
    assert ((kept.x == 3) & (kept.y == 4)).mean() > 0.9


@pytest.mark.parametrize("size", [(1, 1), (1, 9)])
def test_lif_on_a_single_pixel_or_moment(size):
    sample = Sample(Events([0] * 9, [0] * 9, [7] * 9, [1] * 9, size), 0, "a")
    assert len(LIFSubsample(4, 0.5, 0.5, 0.5)(sample, None).events) == 4
