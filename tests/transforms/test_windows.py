import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventzoo.data.boxes import Boxes
from eventzoo.data.dataset import Sample
from eventzoo.data.transforms import WindowByCount, WindowByTime
from eventzoo.errors import EventZooError
from eventzoo.events import Events


def recording(times, boxes_at=None):
    """One event a time; its column is its index."""
    n = len(times)
    events = Events(np.arange(n), [0] * n, times, [1] * n, (max(n, 1), 1))
    if boxes_at is None:
        return Sample(events, 0, "a")
    n = len(boxes_at)
    return Sample(events, None, "a", Boxes(np.tile([0.0, 0, 1, 1], (n, 1)), np.zeros(n), boxes_at))


def kept(transform, sample, seed=0):
    return transform(sample, np.random.default_rng(seed)).events.x.tolist()


@pytest.mark.parametrize(
    ("transform", "indices"),
    [
        (WindowByCount(3, "start"), [0, 1, 2]),
        (WindowByCount(3, "middle"), [1, 2, 3]),
        (WindowByCount(3, "end"), [3, 4, 5]),
        (WindowByCount(3), [3, 4, 5]),
        (WindowByCount(6), [0, 1, 2, 3, 4, 5]),
        (WindowByCount(99, "middle"), [0, 1, 2, 3, 4, 5]),
        (WindowByTime(15, "start"), [0, 1]),  # 100 <= t < 115
        (WindowByTime(10, "start"), [0]),
        (WindowByTime(21, "middle"), [1, 2]),  # 51 µs, so 15 to spare before: 115 <= t < 136
        (WindowByTime(30, "end"), [3, 4, 5]),  # 121 <= t < 151
        (WindowByTime(31, "end"), [2, 3, 4, 5]),
        (WindowByTime(51, "end"), [0, 1, 2, 3, 4, 5]),
        (WindowByTime(999, "start"), [0, 1, 2, 3, 4, 5]),
    ],
)
def test_worked_examples(transform, indices):
    sample = recording([100, 110, 120, 130, 150, 150])
    if transform.position == "middle" and isinstance(transform, WindowByTime):
        sample = recording([100, 116, 135, 136, 150, 150])
    assert kept(transform, sample) == indices


@settings(deadline=None, max_examples=40)
@given(times=st.lists(st.integers(0, 50), min_size=1, max_size=30).map(sorted), duration=st.integers(1, 60), seed=st.integers(0, 99))
def test_random_windows_lie_within_the_recording(times, duration, seed):
    sample = recording(times)
    allowed = [[i for i, t in enumerate(times) if start <= t < start + duration] for start in range(times[0], times[-1] + 2 - duration)]
    assert kept(WindowByTime(duration, "random"), sample, seed) in (allowed or [list(range(len(times)))])
    indices = kept(WindowByCount(duration, "random"), sample, seed)
    assert indices == list(range(indices[0], indices[0] + min(duration, len(times))))


def test_every_window_is_equally_likely():
    sample = recording(list(range(6)))
    for transform in (WindowByCount(4, "random"), WindowByTime(4, "random")):
        starts = np.bincount([kept(transform, sample, seed)[0] for seed in range(900)])
        assert len(starts) == 3
        assert abs(starts - 300).max() < 5 * np.sqrt(900 * 2 / 9)


@pytest.mark.parametrize(
    ("transform", "boxes_at", "indices"),
    [
        (WindowByCount(2), [130, 130], [2, 3]),
        (WindowByCount(2), [129], [1, 2]),
        (WindowByCount(9), [120], [0, 1, 2]),
        (WindowByCount(2), [], [4, 5]),
        (WindowByCount(2), [99], []),
        (WindowByTime(20), [130], [2, 3]),  # 111 <= t < 131
        (WindowByTime(21), [130], [1, 2, 3]),
        (WindowByTime(9), [140], []),
        (WindowByTime(11), [140, 140], [3]),
        (WindowByTime(999), [120], [0, 1, 2]),
        (WindowByTime(999), [99], []),
        (WindowByTime(999), [900], [0, 1, 2, 3, 4, 5]),
        (WindowByTime(10), [900], []),
        (WindowByTime(1), [], [4, 5]),
    ],
)
def test_windows_end_at_the_boxes_time(transform, boxes_at, indices):
    sample = recording([100, 110, 120, 130, 150, 150], boxes_at)
    result = transform(sample, np.random.default_rng(0))
    assert result.events.x.tolist() == indices
    assert result.boxes == sample.boxes


@pytest.mark.parametrize("kind", [WindowByCount, WindowByTime])
def test_windows_that_boxes_do_not_allow(kind):
    with pytest.raises(EventZooError, match="must end at their time: position must be 'end', not 'random'"):
        kept(kind(3, "random"), recording([1, 2], [2]))
    with pytest.raises(EventZooError, match="boxes at 2 times, and a window can end at one only"):
        kept(kind(3, "end"), recording([1, 2], [1, 2]))


@pytest.mark.parametrize("position", ["start", "middle", "end", "random"])
@pytest.mark.parametrize("kind", [WindowByCount, WindowByTime])
def test_no_events_no_window(kind, position):
    assert kept(kind(3, position), recording([])) == []
