import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventzoo.data.boxes import Boxes
from eventzoo.data.dataset import Sample
from eventzoo.data.transforms import ChunkWarp, RandomTimeReversal, RandomTimeScale, TimeJitter, TimeWarp
from eventzoo.data.transforms.time import in_chunks
from eventzoo.events import Events


def recording(times, boxes_at=()):
    """One event a time; its column is its index."""
    n = len(times)
    events = Events(np.arange(n), [0] * n, times, np.arange(n) % 3 == 0, (n, 1))
    return Sample(events, 0, "a", Boxes(np.tile([0.0, 0, 1, 1], (len(boxes_at), 1)), np.arange(len(boxes_at)), boxes_at))


class Drawing:
    """Stands for a generator that draws given arrays."""

    def __init__(self, *arrays):
        self.arrays = list(arrays)

    def uniform(self, low, high, size=None):
        value = np.array(self.arrays.pop(0), float)
        assert ((low <= value) & (value <= high)).all()
        assert value.shape == (() if size is None else (size,))
        return value


def test_reversal_plays_backwards_and_negates():
    events = RandomTimeReversal(1)(Sample(recording([5, 7, 7, 20]).events, 0, "a"), None).events
    assert events.t.tolist() == [5, 18, 18, 20]
    assert events.x.tolist() == [3, 2, 1, 0]
    assert events.p.tolist() == [False, True, True, False]  # were True, False, False, True, from the first


def test_reversal_twice_is_nothing(make_events):
    sample = Sample(make_events(100), 0, "a")
    assert RandomTimeReversal(1)(RandomTimeReversal(1)(sample, None), None).events == sample.events


@pytest.mark.parametrize(("factor", "times", "boxes"), [(0.5, [100, 105, 106, 120], [120, 90]), (2.0, [100, 120, 122, 180], [180, 60])])
def test_scaling_of_time(factor, times, boxes):
    result = RandomTimeScale(0.5, 2)(recording([100, 110, 111, 140], [140, 80]), Drawing(factor))
    assert result.events.t.tolist() == times
    assert result.boxes.t.tolist() == boxes


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 99), std=st.sampled_from([0.1, 30.0, 1e9]))
def test_jitter_moves_each_event_and_sorts_stably(seed, std):
    times = np.sort(np.random.default_rng(seed).integers(0, 1000, 50)) + 10**9
    sample = recording(times)
    events = TimeJitter(std)(sample, np.random.default_rng(seed)).events
    noise = np.random.default_rng(seed).normal(0, std, 50)
    moved = [min(max(int(t) + int(np.rint(d)), int(times[0])), int(times[-1])) for t, d in zip(times, noise, strict=True)]
    expected = sorted(range(50), key=lambda i: moved[i])  # Python's sort is stable
    assert events.x.tolist() == expected
    assert events.t.tolist() == [moved[i] for i in expected]
    assert events.p.tolist() == [i % 3 == 0 for i in expected]


def test_warp_multiplies_gaps():
    result = TimeWarp(0.5, 2)(recording([100, 110, 110, 140, 160]), Drawing([0.5, 2.0, 2.0, 1.3]))
    assert result.events.t.tolist() == [100, 105, 105, 165, 191]
    assert result.events.x.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("before", "after"), [(99, 99), (100, 100), (110, 105), (115, 105 + 5), (135, 105 + 15), (140, 120), (500, 480)])
def test_boxes_are_warped_with_the_events_before_them(before, after):
    result = TimeWarp(0.5, 2)(recording([100, 110, 140], [before]), Drawing([0.5, 0.5]))
    assert result.events.t.tolist() == [100, 105, 120]
    assert result.boxes.t.tolist() == [after]


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 99), total=st.integers(1, 60), chunks=st.integers(1, 4), longest=st.integers(1, 80))
def test_chunks_are_runs_of_events(seed, total, chunks, longest):
    rng = np.random.default_rng(seed)
    starts, lengths = rng.integers(0, total, chunks), rng.integers(1, longest + 1, chunks)
    expected = [any(start <= i < start + length for start, length in zip(starts, lengths, strict=True)) for i in range(total)]
    assert in_chunks(total, chunks, longest, np.random.default_rng(seed)).tolist() == expected


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 99))
def test_chunk_warp_changes_gaps_inside_runs_alone(seed):
    sample = recording(np.arange(40) * 100)
    gaps = np.diff(ChunkWarp(2, 10, 1.5, 2)(sample, np.random.default_rng(seed)).events.t)
    inside = in_chunks(40, 2, 10, np.random.default_rng(seed))[1:]  # a gap belongs to the event that ends it
    assert ((gaps >= 149) & (gaps <= 201))[inside].all()
    assert (abs(gaps[~inside] - 100) <= 1).all()
