"""What the images of events rely on: where bins begin, and sums in which nothing is rounded."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventzoo.events import Events
from eventzoo.kernels.pixel_maps import FAINTEST, event_queues, time_surfaces, voxel_grid
from eventzoo.kernels.time_bins import time_bins

times = st.lists(st.integers(-50, 200), min_size=1, max_size=30).map(lambda values: np.array(sorted(values), np.int64))


@settings(deadline=None)
@given(times, st.integers(1, 7), st.sampled_from([None, 1, 4, 30]))
def test_bins_hold_the_events_of_their_time(t, bins, length):
    first, origin, span = time_bins(t, bins, length and length * bins)
    assert len(first) == bins + 1
    for k in range(bins):
        begin, end = (origin + Fraction(number * span, bins) for number in (k, k + 1))
        of_the_last = [int(t[-1])] if length is None and k == bins - 1 else []
        assert t[first[k] : first[k + 1]].tolist() == [value for value in t if begin <= value < end or value in of_the_last]
    if length is None:
        assert (first[0], first[-1]) == (0, len(t))
    else:
        assert first[-1] == len(t) > first[-2]
        assert origin % length == 0


@pytest.mark.parametrize("duration", [None, 70])
def test_shares_that_cancel_leave_nothing(duration):
    """Sevenths, of which single precision would leave a rest: a pixel that is 0 is no site of a sparse network."""
    t = np.array([0, 71, 72, 73, 73, 73, 77])
    p = np.array([1, 1, 1, 0, 1, 0, 1], bool)  # 1/7 + 2/7 - 3/7 + 3/7 - 3/7 = 0 in the ticks at 77; 6/7 + 5/7 - 4/7 in those at 70
    events = Events(np.array([0, *[1] * 5, 0]), np.zeros(7), t, p, (2, 1))
    image = voxel_grid(events, 12 if duration is None else 10, duration)
    assert image[-1 if duration is None else -2, 0, 1] == 0
    np.testing.assert_allclose(image[-2 if duration is None else -3, 0, 1], 1, rtol=1e-6)


def test_a_surface_is_never_nothing_where_there_was_an_event():
    events = Events([0, 1], [0, 0], [0, 10**12], [True, True], (3, 1))
    assert time_surfaces(events, 1, None, 1)[1].tolist() == [[FAINTEST, 1, 0]]
    assert time_surfaces(events, 2, 20, 10_000)[3, 0].tolist() == pytest.approx([FAINTEST, np.exp(-0.001), 0], rel=1e-6)


def test_the_oldest_slot_of_a_queue_is_exactly_one():
    gaps = np.random.default_rng(0).integers(1, 10**9, (200, 3)).cumsum(1)
    for t in gaps:
        assert event_queues(Events([0] * 3, [0] * 3, t, [1] * 3, (1, 1)), 3, False)[2, 0, 0] == 1
