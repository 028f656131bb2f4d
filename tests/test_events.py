import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventzoo.errors import EventZooError
from eventzoo.events import STRUCTURED_DTYPE, Events, concatenate


@st.composite
def recordings(draw):
    count = draw(st.integers(0, 30))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    t = np.sort(rng.integers(-(2**62), 2**62, count))
    return Events(rng.integers(0, 50, count), rng.integers(0, 40, count), t, rng.random(count) < 0.5, (50, 40))


@given(recordings())
def test_structured_round_trip(events):
    assert Events.from_structured(events.to_structured(), events.sensor_size) == events
    tonic = np.dtype([("x", np.int64), ("y", np.int64), ("t", np.int64), ("p", np.int64)])
    assert Events.from_structured(events.to_structured(tonic), events.sensor_size) == events
    prophesee = np.dtype([("x", "<u2"), ("y", "<u2"), ("p", "<i2"), ("t", "<i8")])
    assert Events.from_structured(events.to_structured(prophesee), events.sensor_size) == events


@given(recordings(), st.integers(-40, 40), st.integers(-40, 40))
def test_slices_are_views_with_the_slice(events, start, stop):
    part = events[start:stop]
    assert np.array_equal(part.t, events.t[start:stop])
    assert np.array_equal(part.p, events.p[start:stop])
    assert len(part) == 0 or np.shares_memory(part.x, events.x)


@given(recordings(), st.integers(0, 30))
def test_parts_join_to_the_whole(events, cut):
    assert concatenate([events[:cut], events[cut:]]) == events


def test_masks_and_indices(make_events):
    events = make_events(50)
    assert np.array_equal(events[events.p].t, events.t[events.p])
    assert np.array_equal(events[np.array([1, 3, 3, 7])].x, events.x[[1, 3, 3, 7]])
    with pytest.raises(EventZooError, match="time runs backwards at event 1"):
        events[np.array([40, 1])]
    with pytest.raises(EventZooError, match="time runs backwards"):
        events[::-1]


def test_between_is_half_open():
    events = Events([1, 1, 1, 1], [0, 0, 0, 0], [10, 20, 20, 30], [1, 1, 1, 1], (4, 4))
    assert list(events.between(20, 30).t) == [20, 20]
    assert list(events.between(5, 11).t) == [10]
    assert len(events.between(30, 20)) == 0


def test_conversion_is_lossless_or_refused():
    events = Events([1.0, 2.0], np.array([3, 4], np.uint64), [5, 6], [-1, 1], (10, 10))
    assert (events.x.dtype, events.y.dtype, events.t.dtype, events.p.dtype) == (np.int16, np.int16, np.int64, np.bool_)
    assert list(events.p) == [False, True]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (([0.5], [0], [0], [0]), r"event 0: x = 0\.5 is not a whole pixel"),
        (([40_000], [0], [0], [0]), "x = 40000 is not a whole pixel that fits int16"),
        (([0], [0], [np.nan], [0]), "t = nan is not time in whole microseconds"),
        (([0], [0], [0], [2]), r"polarities must be bool, 0/1 or -1/\+1"),
        (([0, 0, 0], [0, 0, 0], [0, 0, 0], [-1, 0, 1]), "polarities must be"),
        (([0, 1], [0], [0], [0]), "equally long, not x: 2, y: 1, t: 1, p: 1"),
        (([0, 8], [0, 0], [0, 0], [0, 0]), r"event 1 at \(x, y\) = \(8, 0\) lies outside the 8×6 sensor \(1 of 2 do\)"),
        (([0], [-1], [0], [0]), "outside the 8×6 sensor"),
        (([0, 0, 0], [0, 0, 0], [5, 3, 4], [0, 0, 0]), r"time runs backwards at event 1: 3 µs after 5 µs \(1 times\)"),
        (([[0]], [0], [0], [0]), "x must be one-dimensional"),
        ((["a"], [0], [0], [0]), "x must be numbers"),
    ],
)
def test_bad_columns_are_refused_in_words(columns, message):
    with pytest.raises(EventZooError, match=message):
        Events(*columns, (8, 6))


def test_bad_sensor_is_refused():
    with pytest.raises(EventZooError, match="sensor_size is"):
        Events([], [], [], [], (0, 5))


def test_events_are_immutable(make_events):
    x = np.array([1, 2], np.int16)
    events = Events(x, x, x, [True, False], (5, 5))
    with pytest.raises(ValueError, match="read-only"):
        events.x[0] = 3
    assert x.flags.writeable  # the caller's array stays the caller's
    with pytest.raises(AttributeError):
        events.x = x


def test_structured_arrays_that_do_not_fit_are_refused(make_events):
    events = make_events(5)
    with pytest.raises(EventZooError, match="'t' of type uint8 cannot hold"):
        events.to_structured([("t", np.uint8)])
    with pytest.raises(EventZooError, match="no field 'z'"):
        events.to_structured([("z", np.uint8)])
    with pytest.raises(EventZooError, match="y, p missing"):
        Events.from_structured(np.zeros(2, [("x", int), ("t", int)]), (4, 4))


def test_small_things(make_events):
    events = make_events(100)
    assert events.duration == events.t[-1] - events.t[0]
    assert Events.empty((3, 4)).duration == 0
    assert len(Events.empty((3, 4))) == 0
    assert repr(Events([1, 2], [3, 4], [1500, 2500], [0, 1], (9, 8))) == "Events(2 at 9×8, 1,500 to 2,500 µs, 50% ON)"
    assert pickle.loads(pickle.dumps(events)) == events
    assert events != "events"
    assert events.to_structured().dtype == STRUCTURED_DTYPE
    with pytest.raises(EventZooError, match=r"\[3:4\]"):
        events[3]
    with pytest.raises(EventZooError, match="not iterated"):
        iter(events)
    with pytest.raises(EventZooError, match="nothing to concatenate"):
        concatenate([])
