import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eventzoo
from eventzoo import io
from eventzoo.errors import EventFileError, EventZooError
from eventzoo.events import Events
from eventzoo.io import read, read_windows, recording, write

EVENTS = Events([3, 0, 8], [1, 5, 0], [10, 10, 99], [0, 1, 1], (9, 6))


@given(data=st.data())
@settings(deadline=None, max_examples=40)
def test_what_is_written_is_read(case, encoding, data, new_path):
    events = data.draw(case.recordings)
    path = new_path(case.suffix)
    write(path, events, encoding=encoding)
    assert read(path, sensor_size=events.sensor_size) == events
    assert read(path, sensor_size=events.sensor_size, encoding=encoding) == events
    if case.keeps_size:
        assert read(path) == events


@given(data=st.data(), block=st.integers(1, 9))
@settings(deadline=None, max_examples=30)
def test_what_happened_between_two_times(case, encoding, data, block, new_path):
    events, path = data.draw(case.recordings), new_path(case.suffix)
    write(path, events, encoding=encoding)
    times = st.none() | (st.sampled_from(events.t.tolist()) if len(events) else st.just(0)) | st.integers(-5, 2**33)
    start, stop = data.draw(times), data.draw(times)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recording, "BLOCK_EVENTS", block)
        found = read(path, sensor_size=events.sensor_size, start=start, stop=stop)
    kept = (events.t >= (-(2**63) if start is None else start)) & (events.t < (2**64 if stop is None else stop))
    assert found == events[kept]


def test_a_time_is_searched_for_without_reading_what_is_before(tmp_path, monkeypatch):
    monkeypatch.setattr(recording, "BLOCK_EVENTS", 100)
    zeros = np.zeros(100_000, np.int16)
    write(tmp_path / "a.dat", Events(zeros, zeros, np.arange(100_000) * 3, zeros, (9, 9)))
    taken = []
    monkeypatch.setattr(recording.Records, "take", lambda self, count, take=recording.Records.take: taken.append(1) or take(self, count))
    assert read(tmp_path / "a.dat", start=200_001, stop=200_100).t.tolist() == list(range(200_001, 200_100, 3))
    assert len(taken) == 1


def test_a_time_after_the_counter_has_started_again(tmp_path):
    t = np.array([2**32 - 20, 2**32 - 10, 0, 10, 20])
    (tmp_path / "a.dat").write_bytes(b"\x0c\x08" + np.stack([t, [1] * 5], 1).astype("<u4").tobytes())
    assert read(tmp_path / "a.dat", start=2**32, stop=2**32 + 20).t.tolist() == [2**32, 2**32 + 10]


@pytest.mark.parametrize("block", [1, 3, 1 << 16])
def test_part_of_a_recording_whose_events_are_late(tmp_path, monkeypatch, block):
    monkeypatch.setattr(recording, "BLOCK_EVENTS", block)
    rng = np.random.default_rng(0)
    true = np.arange(0, 300_000, 997)
    t = true[np.argsort(true + rng.uniform(0, 9_000, len(true)))]  # delivered up to 9 ms late
    words = np.stack([t, t % 9 | (t % 7) << 14 | 1 << 28], 1)
    (tmp_path / "a.dat").write_bytes(b"\x0c\x08" + words.astype("<u4").tobytes())
    whole = read(tmp_path / "a.dat", sensor_size=(9, 9), sort=True)
    assert whole.t.tolist() == true.tolist()
    for start, stop in ((None, 100_000), (100_000, None), (100_000, 150_000), (0, 1), (299_000, 400_000), (997 * 50, 997 * 51 + 1)):
        part = read(tmp_path / "a.dat", sensor_size=(9, 9), start=start, stop=stop, sort=True)
        assert part == whole.between(-1 if start is None else start, 10**9 if stop is None else stop)
    with pytest.raises(EventFileError, match="time runs backwards"):
        read(tmp_path / "a.dat", sensor_size=(9, 9), start=0, stop=150_000)


def test_public_names():
    assert (eventzoo.read, eventzoo.read_windows, eventzoo.write) == (read, read_windows, write)


def test_every_encoding_is_tested(request):
    assert set(request.getfixturevalue("cases")) == set(io.ENCODINGS)


def test_encodings_that_are_none(tmp_path):
    write(tmp_path / "a.dat", EVENTS)
    for attempt in (lambda: read(tmp_path / "a.dat", encoding="evt9"), lambda: write(tmp_path / "b.dat", EVENTS, encoding="evt9")):
        with pytest.raises(EventFileError, match=r"there is no encoding 'evt9'; there are .*\bnpz\b"):
            attempt()


def test_an_encoding_that_is_named_wins_over_the_suffix(tmp_path):
    write(tmp_path / "a.recording", EVENTS, encoding="dat")
    assert read(tmp_path / "a.recording", encoding="dat") == EVENTS
    with pytest.raises(EventFileError, match=r"unknown suffix '\.recording'"):
        read(tmp_path / "a.recording")


def test_importing_is_light():
    code = "import sys, eventzoo.io; assert not {'torch', 'numba'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_suffix_in_upper_case_and_a_path_as_text(tmp_path, case, encoding):
    write(str(tmp_path / f"a{case.suffix.upper()}"), EVENTS, encoding=encoding)
    assert read(str(tmp_path / f"a{case.suffix.upper()}"), sensor_size=(9, 6)) == EVENTS


@pytest.mark.parametrize("reading", [read, lambda path: read_windows(path, count=1)])
def test_paths_that_are_no_recording(tmp_path, reading):
    (tmp_path / "a.odd").write_text("0 0 0 0")
    (tmp_path / "a").write_text("0 0 0 0")
    (tmp_path / "folder.dat").mkdir()
    (tmp_path / "empty.dat").touch()
    os.mkfifo(tmp_path / "pipe.dat")
    for name, reason in {
        "a.odd": "unknown suffix '.odd': the suffix names the format, one of .bin, .dat",
        "a": "no suffix: the suffix names the format, one of .bin, .dat",
        "gone.dat": "there is no such file",
        "folder.dat": "is a folder",
        "empty.dat": "the file is empty (0 bytes)",
        "pipe.dat": "is not a regular file",
        "null\0.dat": "cannot be read",
        "a.odd/b.dat": "cannot be read",
        f"{'n' * 999}.dat": "cannot be read",
    }.items():
        with pytest.raises(EventFileError) as caught:
            reading(tmp_path / name)
        assert reason in str(caught.value)
        assert caught.value.path == tmp_path / name


@pytest.mark.parametrize("size", [(0, 5), (5, -1), (5,), (5, 5, 5), (5.5, 5), 5, "55", (32769, 5)])
def test_sizes_that_are_none(tmp_path, size):
    write(tmp_path / "a.dat", EVENTS)
    with pytest.raises(EventZooError, match="sensor_size is"):
        read(tmp_path / "a.dat", sensor_size=size)
    with pytest.raises(EventZooError, match="sensor_size is"):
        read_windows(tmp_path / "a.dat", count=1, sensor_size=size)


def test_the_given_size_wins_then_the_headers_then_the_smallest(tmp_path, case, encoding):
    path = tmp_path / f"a{case.suffix}"
    write(path, Events(EVENTS.x, EVENTS.y, EVENTS.t, EVENTS.p, (20, 30)), encoding=encoding)
    assert read(path, sensor_size=(12, 7)).sensor_size == (12, 7)
    assert read(path, sensor_size=[np.int16(12), np.int64(7)]).sensor_size == (12, 7)
    assert read(path).sensor_size == ((20, 30) if case.keeps_size else (9, 6))


@pytest.mark.parametrize(("suffix", "record", "start"), [(".bin", 5, 0), (".dat", 8, None), (".npz", None, 0)])
def test_the_first_bad_event_is_named(tmp_path, block_events, suffix, record, start):
    path = tmp_path / f"a{suffix}"
    events = Events([0, 1, 2, 3], [4, 3, 2, 1], [5, 6, 7, 8], [1, 1, 0, 0], (9, 9))
    write(path, events)
    start = path.stat().st_size - 4 * 8 if start is None else start
    for size, at in {(2, 9): 2, (9, 4): 0, (3, 9): 3}.items():
        with pytest.raises(EventFileError) as caught:
            read(path, sensor_size=size)
        assert f"event {at} at (x, y) = ({at}, {4 - at}) lies outside the {size[0]}×{size[1]} sensor" in str(caught.value)
        assert caught.value.offset == (None if record is None else start + at * record)


@pytest.mark.parametrize("suffix", [".bin", ".dat", ".npz"])
def test_time_that_runs_backwards_is_refused_or_sorted(tmp_path, block_events, suffix):
    path, x, t = tmp_path / f"a{suffix}", [0, 1, 2, 3, 4], [5, 9, 7, 9, 5]
    if suffix == ".npz":
        np.savez(path, x=x, y=x, t=t, p=[1] * 5)
    elif suffix == ".bin":
        path.write_bytes(b"".join(bytes((a, a, 128, 0, b)) for a, b in zip(x, t, strict=True)))
    else:
        words = [[b, a | a << 14 | 1 << 28] for a, b in zip(x, t, strict=True)]
        path.write_bytes(b"\x0c\x08" + np.array(words, "<u4").tobytes())
    with pytest.raises(EventFileError, match=r"time runs backwards at event 2: 7 µs after 9 µs; .*sort=True") as caught:
        read(path)
    assert caught.value.offset == {".bin": 10, ".dat": 18, ".npz": None}[suffix]
    with pytest.raises(EventFileError, match="time runs backwards at event 2"):
        list(read_windows(path, count=1, sensor_size=(9, 9)))
    assert read(path, sort=True) == Events([0, 4, 2, 1, 3], [0, 4, 2, 1, 3], [5, 5, 7, 9, 9], [1] * 5, (5, 5))


def test_files_that_do_not_fit_into_memory(tmp_path, monkeypatch, case, encoding):
    path = tmp_path / f"a{case.suffix}"
    write(path, EVENTS, encoding=encoding)
    monkeypatch.setattr("eventzoo.io.recording.Columns.allocate", lambda length: np.empty((length, 2**43)))
    with pytest.raises(EventFileError, match="do not fit into memory; read_windows reads it piece by piece"):
        read(path)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, case, encoding):
    path = tmp_path / f"a{case.suffix}"
    write(path, EVENTS, encoding=encoding)
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("eventzoo.io.writing.os.replace", full)
    with pytest.raises(EventFileError, match="cannot be written: No space left on device"):
        write(path, EVENTS[:2], encoding=encoding)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_paths_that_cannot_be_written(tmp_path):
    (tmp_path / "folder.dat").mkdir()
    for name, reason in {
        "a.odd": "unknown suffix '.odd'",
        "gone/a.dat": "the folder .* does not exist",
        "folder.dat": "is a folder",
    }.items():
        with pytest.raises(EventFileError, match=reason):
            write(tmp_path / name, EVENTS)
    assert list(tmp_path.rglob("*")) == [tmp_path / "folder.dat"]


def test_a_written_file_has_the_usual_permissions(tmp_path):
    (tmp_path / "usual").touch()
    write(tmp_path / "a.dat", EVENTS)
    assert (tmp_path / "a.dat").stat().st_mode == (tmp_path / "usual").stat().st_mode
