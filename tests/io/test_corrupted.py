import numpy as np
import pytest

from eventzoo.errors import EventFileError
from eventzoo.events import Events
from eventzoo.io import read, read_windows, write

SIZE = (256, 256)


@pytest.fixture
def whole(case, encoding, tmp_path):
    """A valid small file."""
    path = tmp_path / f"a{case.suffix}"
    t = np.arange(12) * 700
    write(path, Events(np.arange(12) * 3, np.arange(12) + 7, t, t % 3 == 0, (64, 48)), encoding=encoding)
    return path


def put(path, data):
    """A new file: writing over an old one makes some file systems wait for the disk."""
    path.unlink(missing_ok=True)
    path.write_bytes(data)


def outcome(path):
    """The events, or None for the one error that is allowed. Reading in windows must agree."""
    try:
        events = read(path, sensor_size=SIZE)
        Events(events.x, events.y, events.t, events.p, events.sensor_size)  # what is trusted is true
    except EventFileError as error:
        events, said = None, str(error)
    try:
        parts = list(read_windows(path, count=5, sensor_size=SIZE))
    except EventFileError:
        parts = None
    assert (parts is None) == (events is None)
    assert events is not None or str(path) in said
    assert events is None or sum(map(len, parts)) == len(events)
    return events


def shorter_files(raw, count, case):
    """The lengths at which a truncated file is a file of fewer events, with their numbers."""
    if case.record_bytes:
        start = len(raw) - count * case.record_bytes
        return {start + number * case.record_bytes: number for number in range(count) if start + number}
    if case.header_lines is None:
        return case.shorter(raw)
    ends = [0] * (not case.header_lines) + [at + 1 for at, byte in enumerate(raw) if byte == ord("\n")]
    lines = dict(enumerate(ends[max(0, case.header_lines - 1) :]))
    unended = {end - 1: number for number, end in lines.items() if number}  # its last line has no line's end, and is whole
    return unended | {end: number for number, end in lines.items() if end}


def test_every_truncation(whole, case):
    raw = whole.read_bytes()
    events = outcome(whole)
    shorter = shorter_files(raw, len(events), case)
    for length in range(0, len(raw), case.step):
        put(whole, raw[:length])
        assert outcome(whole) == (events[: shorter[length]] if length in shorter else None)


def test_what_follows_the_end_is_no_silent_loss(whole):
    raw = whole.read_bytes()
    events = outcome(whole)
    for extra in (b"\0", b"garbage", bytes(100)):
        put(whole, raw + extra)
        found = outcome(whole)
        assert found is None or found.t[: len(events)].tolist() == events.t.tolist()


def test_flipped_bits(whole, case):
    raw = whole.read_bytes()
    rng = np.random.default_rng(1)
    for _ in range(1500 // case.step):
        data = np.frombuffer(raw, np.uint8).copy()
        for at in rng.integers(len(data), size=rng.integers(1, 4)):
            data[at] ^= 1 << rng.integers(8)
        put(whole, data.tobytes())
        found = outcome(whole)
        if whole.suffix == ".npz" and found is not None:
            assert len(found) == 12  # checksums: fewer events cannot pass
        read_headers(whole)


def test_every_bit_of_an_archive(tmp_path):
    path = tmp_path / "a.npz"
    write(path, Events([1, 2], [3, 4], [5, 6], [0, 1], (64, 48)))
    events, raw = read(path), path.read_bytes()
    for at in range(len(raw)):
        data = bytearray(raw)
        data[at] ^= 1 << at % 8
        put(path, data)
        found = read_headers(path)
        assert found is None or found == events


def read_headers(path):
    """Like a user who passes no size: the header's is parsed, too."""
    try:
        return read(path)
    except EventFileError:
        return None


def test_random_bytes(tmp_path, case):
    rng = np.random.default_rng(2)
    path = tmp_path / f"a{case.suffix}"
    for number in range(1500 // case.step):
        start = case.beginnings[number % len(case.beginnings)]
        put(path, start + rng.bytes(int(rng.integers(0, 80))))
        outcome(path)
        read_headers(path)


@pytest.mark.parametrize("byte", [b"\x00", b"\xff", b"%", b"\n"])
def test_a_long_run_of_one_byte(tmp_path, case, byte):
    path = tmp_path / f"a{case.suffix}"
    put(path, byte * 200_000)
    outcome(path)


def test_a_file_that_shrinks_while_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("eventzoo.io.recording.BLOCK_EVENTS", 4096)
    path, zeros = tmp_path / "a.dat", np.zeros(20_000, np.int16)
    write(path, Events(zeros, zeros, np.arange(20_000), zeros, (9, 9)))
    parts = read_windows(path, count=4096)
    next(parts)
    with path.open("r+b") as file:
        file.truncate(50_000)
    with pytest.raises(EventFileError, match="byte 50,000: the file became shorter while it was read"):
        list(parts)
