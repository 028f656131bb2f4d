import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eventzoo
from eventzoo.errors import EventFileError, EventZooError
from eventzoo.events import Events
from eventzoo.io import formats, read, read_windows, write

SUFFIXES = [".bin", ".dat", ".npz"]
EVENTS = Events([3, 0, 8], [1, 5, 0], [10, 10, 99], [0, 1, 1], (9, 6))


@pytest.mark.parametrize("suffix", SUFFIXES)
@given(data=st.data())
@settings(deadline=None, max_examples=40)
def test_what_is_written_is_read(suffix, data, new_path, recordings):
    events = data.draw(recordings[suffix])
    path = new_path(suffix)
    write(path, events)
    assert read(path, sensor_size=events.sensor_size) == events
    if suffix != ".bin":
        assert read(path) == events


def test_public_names():
    assert (eventzoo.read, eventzoo.read_windows, eventzoo.write) == (read, read_windows, write)
    assert list(formats._MODULES) == SUFFIXES


def test_importing_is_light():
    code = "import sys, eventzoo.io; assert not {'torch', 'numba'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_suffix_in_upper_case_and_a_path_as_text(tmp_path, suffix):
    write(str(tmp_path / f"a{suffix.upper()}"), EVENTS)
    assert read(str(tmp_path / f"a{suffix.upper()}"), sensor_size=(9, 6)) == EVENTS


@pytest.mark.parametrize("reading", [read, lambda path: read_windows(path, count=1)])
def test_paths_that_are_no_recording(tmp_path, reading):
    (tmp_path / "a.txt").write_text("0 0 0 0")
    (tmp_path / "a").write_text("0 0 0 0")
    (tmp_path / "folder.dat").mkdir()
    (tmp_path / "empty.dat").touch()
    os.mkfifo(tmp_path / "pipe.dat")
    for name, reason in {
        "a.txt": "unknown suffix '.txt': the suffix names the format, one of .bin, .dat, .npz",
        "a": "no suffix: the suffix names the format, one of .bin, .dat, .npz",
        "gone.dat": "there is no such file",
        "folder.dat": "is a folder",
        "empty.dat": "the file is empty (0 bytes)",
        "pipe.dat": "is not a regular file",
        "null\0.dat": "cannot be read",
        "a.txt/b.dat": "cannot be read",
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


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_given_size_wins_then_the_headers_then_the_smallest(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    write(path, Events(EVENTS.x, EVENTS.y, EVENTS.t, EVENTS.p, (20, 30)))
    assert read(path, sensor_size=(12, 7)).sensor_size == (12, 7)
    assert read(path, sensor_size=[np.int16(12), np.int64(7)]).sensor_size == (12, 7)
    assert read(path).sensor_size == ((9, 6) if suffix == ".bin" else (20, 30))


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


@pytest.mark.parametrize("suffix", SUFFIXES)
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


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_files_that_do_not_fit_into_memory(tmp_path, monkeypatch, suffix):
    write(tmp_path / f"a{suffix}", EVENTS)
    monkeypatch.setattr("eventzoo.io.recording.Columns.allocate", lambda length: np.empty((length, 2**50)))
    with pytest.raises(EventFileError, match="do not fit into memory; read_windows reads it piece by piece"):
        read(tmp_path / f"a{suffix}")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, suffix):
    path = tmp_path / f"a{suffix}"
    write(path, EVENTS)
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("eventzoo.io.writing.os.replace", full)
    with pytest.raises(EventFileError, match="cannot be written: No space left on device"):
        write(path, EVENTS[:2])
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_paths_that_cannot_be_written(tmp_path):
    (tmp_path / "folder.dat").mkdir()
    for name, reason in {
        "a.txt": "unknown suffix '.txt'",
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
