import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventzoo.data.dataset import Sample
from eventzoo.data.transforms import BackgroundNoise, HotPixels, PolarityNoise, RandomPolarityFlip, ReplaceByNoise
from eventzoo.errors import EventZooError
from eventzoo.events import Events


@pytest.fixture(scope="module")
def sample(make_events):
    return Sample(make_events(300), 1, "a")


def rows(events):
    return list(zip(events.x.tolist(), events.y.tolist(), events.t.tolist(), events.p.tolist(), strict=True))


def test_polarity_flip_negates_all_or_none(sample):
    assert rows(RandomPolarityFlip(1)(sample, None).events) == [(x, y, t, not p) for x, y, t, p in rows(sample.events)]
    flips = [RandomPolarityFlip(0.3)(sample, np.random.default_rng(seed)) is not sample for seed in range(1000)]
    assert abs(sum(flips) - 300) < 5 * np.sqrt(1000 * 0.3 * 0.7)


def test_polarity_noise_negates_each_with_the_probability(sample):
    counts = np.zeros(300)
    for seed in range(1000):
        events = PolarityNoise(0.2)(sample, np.random.default_rng(seed)).events
        counts += events.p != sample.events.p
        assert np.array_equal(events.x, sample.events.x)
    assert abs(counts - 200).max() < 5 * np.sqrt(1000 * 0.2 * 0.8)


def test_replacement_keeps_times_and_spreads_evenly(make_events):
    sample = Sample(make_events(4000, (4, 3)), 1, "a")
    corner = Events([0] * 4000, [0] * 4000, sample.events.t, [1] * 4000, (4, 3))
    events = ReplaceByNoise(0.6)(Sample(corner, 1, "a"), np.random.default_rng(0)).events
    assert np.array_equal(events.t, corner.t)
    cells = np.bincount(events.x + 4 * events.y + 12 * events.p, minlength=24)
    assert abs(np.delete(cells, 12) - 100).max() < 50
    assert abs(cells[12] - 1700) < 150
    assert ReplaceByNoise(0)(sample, np.random.default_rng(0)).events == sample.events


def split(before, after):
    """The added events; the others must be `before`, in order, and come first at equal times."""
    added, remaining, i = [], rows(before), 0
    for row in rows(after):
        if i < len(remaining) and row == remaining[i] and not (added and added[-1][2] == row[2]):
            i += 1
        else:
            added.append(row)
    assert i == len(remaining)
    return np.array(added)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 99), transform=st.sampled_from([BackgroundNoise(1.0), HotPixels(3, 400.0)]))
def test_noise_is_added_in_time_order_behind_what_is_there(sample, seed, transform):
    events = Events(sample.events.x, sample.events.y, np.arange(300) // 3, sample.events.p, (34, 34))  # 0.1 ms
    for coarse in (events, sample.events):
        noisy = transform(Sample(coarse, 1, "a"), np.random.default_rng(seed)).events
        added = split(coarse, noisy)
        assert len(added) == len(noisy) - 300
        assert len(added) == 0 or (coarse.t[0] <= added[:, 2].min() and added[:, 2].max() <= coarse.t[-1])


def test_rate_of_the_background(make_events):
    sample = Sample(make_events(300, (20, 10), duration=100_000), 1, "a")
    counts, cells = [], np.zeros((2, 10, 20))
    for seed in range(100):
        noisy = BackgroundNoise(5.0)(sample, np.random.default_rng(seed)).events
        counts.append(len(noisy) - 300)
        np.add.at(cells, (noisy.p.astype(int), noisy.y, noisy.x), 1)
    expected = 5.0 * 200 * sample.events.duration * 1e-6  # about 100
    assert abs(np.mean(counts) - expected) < 5 * np.sqrt(expected / 100)
    assert abs(np.var(counts) / expected - 1) < 0.75  # Poisson's
    np.subtract.at(cells, (sample.events.p.astype(int), sample.events.y, sample.events.x), 100)
    assert abs(cells - expected / 4).max() < 5.5 * np.sqrt(expected / 4)


def test_hot_pixels_are_few_and_of_one_polarity_each(make_events):
    sample = Sample(make_events(2, duration=1_000_000), 1, "a")
    seen = set()
    for seed in range(20):
        added = split(sample.events, HotPixels(4, 200.0)(sample, np.random.default_rng(seed)).events)
        places, counts = np.unique(added[:, [0, 1, 3]], axis=0, return_counts=True)
        assert len(np.unique(places[:, :2], axis=0)) == len(places) == 4
        expected = 200 * sample.events.duration * 1e-6
        assert abs(counts - expected).max() < 5 * np.sqrt(expected)
        seen.update(map(tuple, places))
    assert len(seen) > 70
    assert {p for _, _, p in seen} == {0, 1}


def test_hot_pixels_differ(make_events):
    sample = Sample(make_events(2, (2, 2), duration=1_000_000), 1, "a")
    for seed in range(10):
        added = split(sample.events, HotPixels(4, 200.0)(sample, np.random.default_rng(seed)).events)
        assert len(np.unique(added[:, :2], axis=0)) == 4


def test_too_many_hot_pixels_are_refused(make_events):
    with pytest.raises(EventZooError, match="a sensor of 2×2 pixels cannot have 5 hot ones"):
        HotPixels(5, 1.0)(Sample(make_events(3, (2, 2)), 1, "a"), np.random.default_rng(0))


@pytest.mark.parametrize("transform", [BackgroundNoise(1e6), HotPixels(3, 1e6)])
def test_no_recording_no_noise(transform):
    sample = Sample(Events.empty((5, 5)), 1, "a")
    assert len(transform(sample, np.random.default_rng(0)).events) == 0
