import gc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventzoo.errors import EventFileError, EventZooError
from eventzoo.events import Events
from eventzoo.io import read, read_windows, recording, windows, write


@given(data=st.data(), count=st.integers(1, 50), block=st.integers(1, 9))
@settings(deadline=None, max_examples=30)
def test_windows_by_count(case, encoding, data, count, block, new_path, joined):
    events, path = data.draw(case.recordings), new_path(case.suffix)
    write(path, events, encoding=encoding)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recording, "BLOCK_EVENTS", block)
        parts = list(read_windows(path, count=count, sensor_size=events.sensor_size))
    assert [len(part) for part in parts[:-1]] == [count] * (len(parts) - 1)
    assert joined(parts, events.sensor_size) == read(path, sensor_size=events.sensor_size) == events


@given(data=st.data(), pieces=st.integers(1, 50), block=st.integers(1, 9))
@settings(deadline=None, max_examples=30)
def test_windows_by_duration(case, encoding, data, pieces, block, new_path, joined):
    events, path = data.draw(case.recordings), new_path(case.suffix)
    write(path, events, encoding=encoding)
    times = events.t.tolist()
    duration = max(1, (times[-1] - times[0]) // pieces) if times else 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recording, "BLOCK_EVENTS", block)
        parts = list(read_windows(path, duration=duration, sensor_size=events.sensor_size))
    expected = [[] for _ in parts]
    for t in times:
        expected[(t - times[0]) // duration].append(t)
    assert [part.t.tolist() for part in parts] == expected
    assert not parts or len(parts[-1])
    assert joined(parts, events.sensor_size) == events


def test_empty_windows_between(tmp_path, block_events):
    write(tmp_path / "a.dat", Events([1, 2, 3, 4], [0] * 4, [100, 109, 110, 145], [1] * 4, (9, 9)))
    assert [part.x.tolist() for part in read_windows(tmp_path / "a.dat", duration=10)] == [[1, 2], [3], [], [], [4]]
    assert all(part.sensor_size == (9, 9) for part in read_windows(tmp_path / "a.dat", duration=10))


def test_windows_at_the_end_of_time(tmp_path, block_events):
    last = 2**63 - 1
    write(tmp_path / "a.npz", Events([1, 2, 3], [0] * 3, [-(2**63), last - 1, last], [1] * 3, (9, 9)))
    assert [part.x.tolist() for part in read_windows(tmp_path / "a.npz", duration=2**63)] == [[1], [2, 3]]
    assert [part.x.tolist() for part in read_windows(tmp_path / "a.npz", duration=2**64 - 1)] == [[1, 2], [3]]
    assert [part.x.tolist() for part in read_windows(tmp_path / "a.npz", duration=10**30)] == [[1, 2, 3]]


def test_a_gap_of_absurdly_many_windows_is_an_error_and_no_hang(tmp_path, monkeypatch):
    write(tmp_path / "a.dat", Events([1, 2], [0, 0], [0, 2**32 - 1], [1, 1], (9, 9)))
    parts = read_windows(tmp_path / "a.dat", duration=1)
    assert len(next(parts)) == 1
    with pytest.raises(EventFileError, match=r"byte 77: 4,294,967,294 windows of 1 µs would be empty before the event at 4294967295"):
        next(parts)
    monkeypatch.setattr(windows, "MAX_EMPTY_WINDOWS", 5)
    write(tmp_path / "b.dat", Events([1, 2], [0, 0], [0, 69], [1, 1], (9, 9)))
    assert len(list(read_windows(tmp_path / "b.dat", duration=10))) == 7
    write(tmp_path / "b.dat", Events([1, 2], [0, 0], [0, 70], [1, 1], (9, 9)))
    with pytest.raises(EventFileError, match="6 windows of 10 µs would be empty"):
        list(read_windows(tmp_path / "b.dat", duration=10))


@pytest.mark.parametrize("arguments", [{}, {"duration": 5, "count": 5}, {"count": 0}, {"duration": -1}, {"duration": 0.5}, {"count": "5"}])
def test_arguments_are_checked_at_the_call(tmp_path, arguments):
    write(tmp_path / "a.dat", Events([1], [0], [0], [1], (9, 9)))
    with pytest.raises(EventZooError, match=r"read_windows takes either|positive whole number"):
        read_windows(tmp_path / "a.dat", **arguments)


def test_an_unknown_sensor_size_is_asked_for_at_the_call(tmp_path):
    write(tmp_path / "a.bin", Events([1], [0], [0], [1], (9, 9)))
    with pytest.raises(EventFileError, match=r"does not tell its sensor size, .*pass sensor_size=\(width, height\)"):
        read_windows(tmp_path / "a.bin", count=1)


def test_windows_that_nobody_wants_leave_no_file_open(tmp_path):
    write(tmp_path / "a.dat", Events([1, 2], [0, 0], [0, 1], [1, 1], (9, 9)))
    unused, begun = read_windows(tmp_path / "a.dat", count=1), read_windows(tmp_path / "a.dat", count=1)
    next(begun)
    del unused, begun
    gc.collect()  # an open file would be a ResourceWarning, which is an error here


def test_windows_own_their_events(tmp_path):
    write(tmp_path / "a.dat", Events([1, 2, 3], [0] * 3, [0, 1, 2], [1] * 3, (9, 9)))
    parts = list(read_windows(tmp_path / "a.dat", count=1))
    assert [part.x.tolist() for part in parts] == [[1], [2], [3]]
    assert not parts[0].x.flags.writeable


@pytest.mark.parametrize(("arguments", "window"), [({"count": 1000}, 1000), ({"duration": 100_000}, 100_000)])
def test_memory_is_one_window_and_one_block(tmp_path, monkeypatch, peak_memory, case, encoding, arguments, window):
    monkeypatch.setattr(recording, "BLOCK_EVENTS", 4096)
    path, length = tmp_path / f"a{case.suffix}", 800_000
    zeros = np.zeros(length, np.int16)
    write(path, Events(zeros, zeros, np.arange(length), zeros, (9, 9)), encoding=encoding)
    next(read_windows(path, count=1, sensor_size=(9, 9)))  # what is imported and compiled once does not count
    peak = peak_memory(lambda: [len(part) for part in read_windows(path, **arguments, sensor_size=(9, 9))])
    held = 2 * window  # the loop still holds the last window while the next one is filled
    assert peak < 13 * 9 / 8 * held + (13 + 2 * 13) * 4096 + 300_000
