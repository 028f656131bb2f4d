import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventzoo.data.boxes import Boxes
from eventzoo.data.dataset import Sample
from eventzoo.data.transforms import ChunkDrop, EventDrop, RandomErasing, TimeDrop
from eventzoo.data.transforms.time import in_chunks


@pytest.fixture(scope="module")
def sample(make_events):
    return Sample(make_events(300), None, "a", Boxes([[3.0, 3, 9, 9]], [0], [100_000]))


def dropped(transform, sample, seed):
    """Indices of the events that are missing; times are distinct enough to tell."""
    result = transform(sample, np.random.default_rng(seed))
    assert result.boxes == sample.boxes
    missing = np.flatnonzero(~np.isin(sample.events.t, result.events.t))
    assert len(result.events) == len(sample.events) - len(missing)
    return missing


@pytest.fixture(scope="module", autouse=True)
def distinct_times(sample):
    assert len(np.unique(sample.events.t)) == 300


def test_each_event_is_dropped_with_the_probability(sample):
    counts = np.bincount(np.concatenate([dropped(EventDrop(0.2), sample, seed) for seed in range(1000)]), minlength=300)
    assert abs(counts - 200).max() < 5 * np.sqrt(1000 * 0.2 * 0.8)
    assert len(dropped(EventDrop(0), sample, 0)) == 0
    assert len(dropped(EventDrop(1), sample, 0)) == 300


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 99), fraction=st.floats(0, 1))
def test_a_stretch_of_time_is_dropped(sample, seed, fraction):
    t, duration = sample.events.t, sample.events.duration
    start = t[0] + np.random.default_rng(seed).uniform(0, (1 - fraction) * duration)
    expected = [i for i in range(300) if start <= t[i] < start + fraction * duration]
    assert dropped(TimeDrop(fraction), sample, seed).tolist() == expected


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 99))
def test_runs_of_events_are_dropped(sample, seed):
    expected = np.flatnonzero(in_chunks(300, 3, 40, np.random.default_rng(seed)))
    assert np.array_equal(dropped(ChunkDrop(3, 40), sample, seed), expected)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 99))
def test_a_rectangle_is_erased(sample, seed):
    missing = dropped(RandomErasing(20, 10, 1), sample, seed)
    columns, rows = sample.events.x[missing], sample.events.y[missing]
    if len(missing):
        assert np.ptp(columns) < 20
        assert np.ptp(rows) < 10
        left, right, top, bottom = columns.min(), columns.max(), rows.min(), rows.max()
        within = (sample.events.x >= left) & (sample.events.x <= right) & (sample.events.y >= top) & (sample.events.y <= bottom)
        assert np.array_equal(np.flatnonzero(within), missing)


def test_erasing_reaches_every_pixel_up_to_its_largest_sides(sample):
    erased = [dropped(RandomErasing(20, 10, 1), sample, seed) for seed in range(400)]
    assert len(np.unique(np.concatenate(erased))) == 300
    assert max(np.ptp(sample.events.x[missing]) for missing in erased if len(missing)) >= 15
    assert max(np.ptp(sample.events.y[missing]) for missing in erased if len(missing)) >= 7


def test_erasing_happens_with_its_probability(sample):
    count = sum(RandomErasing(20, 10, 0.3)(sample, np.random.default_rng(seed)) is not sample for seed in range(1000))
    assert abs(count - 300) < 5 * np.sqrt(1000 * 0.3 * 0.7)
