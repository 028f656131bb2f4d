import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventzoo.errors import EventFileError
from eventzoo.events import Events
from eventzoo.io import read, read_windows, write

HEADER = b"% Data file containing CD events.\n% Version 2\n% Date 2020-11-09 00:00:00\n% Height 240\n% Width 304\n"
NCARS_HEADER = b"% Data file containing N9Chronocam7Event2dE events.\n% Version 2\n% Date 2017-10-31 11:27:54\n"
EVENTS = bytes.fromhex("43 1c 39 01  19 41 18 00   46 1c 39 01  23 01 15 10")
ROWS = [(0x119, 0x61, 0x01391C43, False), (0x123, 0x54, 0x01391C46, True)]


def records(*events):
    return b"".join(struct.pack("<II", t, x | y << 14 | p << 28) for x, y, t, p in events)


def decoded(data):
    """The format's definition, event by event."""
    events, base, last = [], 0, 0
    for raw, address in struct.iter_unpack("<II", data):
        if last - raw > 2**31:
            base += 2**32
        elif base and raw - last > 2**31:
            base -= 2**32
        last = raw
        events.append((address & 0x3FFF, address >> 14 & 0x3FFF, base + raw, bool(address >> 28 & 1)))
    return events


def rows(events):
    return list(zip(events.x.tolist(), events.y.tolist(), events.t.tolist(), events.p.tolist(), strict=True))


@pytest.mark.parametrize(
    ("head", "size"),
    [
        (HEADER + b"\x0c\x08", (304, 240)),
        (HEADER.replace(b"Height", b"HEIGHT").replace(b"Width ", b"width: ") + b"\x0c\x08", (304, 240)),
        (NCARS_HEADER + b"\x00\x08", (0x124, 0x62)),  # no size: the smallest that holds the events
        (b"% Width 304\n\x00\x08", (0x124, 0x62)),  # half a size is none
        (b"\x0c\x08", (0x124, 0x62)),
        (b"%\n% caf\xe9 \xff\n\x0c\x08", (0x124, 0x62)),
    ],
)
def test_worked_example(tmp_path, block_events, head, size):
    path = tmp_path / "a.dat"
    path.write_bytes(head + EVENTS)
    assert rows(read(path)) == ROWS
    assert read(path).sensor_size == size
    assert read(path, sensor_size=(400, 300)).sensor_size == (400, 300)


def test_widest_values(tmp_path):
    (tmp_path / "a.dat").write_bytes(b"\x0c\x08" + b"\xff" * 8)
    assert rows(read(tmp_path / "a.dat")) == [(16383, 16383, 2**32 - 1, True)]


def test_time_wraps_after_32_bits(tmp_path, block_events):
    path = tmp_path / "a.dat"
    times = [2**31, 2**32 - 1, 0, 5, 2**31 + 4, 2**32 - 2, 1]
    path.write_bytes(HEADER + b"\x0c\x08" + records(*((1, 2, t, 1) for t in times)))
    unwrapped = [2**31, 2**32 - 1, 2**32, 2**32 + 5, 2**32 + 2**31 + 4, 2**33 - 2, 2**33 + 1]
    assert read(path).t.tolist() == unwrapped
    assert [t for window in read_windows(path, count=2) for t in window.t.tolist()] == unwrapped


def test_a_late_event_across_the_wrap_is_late_and_does_not_wrap_twice(tmp_path, block_events):
    path = tmp_path / "a.dat"
    path.write_bytes(HEADER + b"\x0c\x08" + records(*((1, 2, t, 1) for t in [2**32 - 9, 3, 2**32 - 1, 4])))
    with pytest.raises(EventFileError, match=f"byte {len(HEADER) + 2 + 16}: time runs backwards at event 2"):
        read(path)
    assert read(path, sort=True).t.tolist() == [2**32 - 9, 2**32 - 1, 2**32 + 3, 2**32 + 4]


@given(data=st.data())
@settings(deadline=None, max_examples=60)
def test_any_bytes_decode_as_defined(data, new_path):
    time = st.one_of(st.integers(0, 2**32 - 1), st.sampled_from([0, 1, 2**31 - 1, 2**31, 2**31 + 1, 2**32 - 1]))
    pairs = data.draw(st.lists(st.tuples(time, st.integers(0, 2**32 - 1)), min_size=1, max_size=30))
    raw = b"".join(struct.pack("<II", *pair) for pair in pairs)
    path = new_path(".dat")
    path.write_bytes(b"\x00\x08" + raw)
    assert rows(read(path, sort=True)) == sorted(decoded(raw), key=lambda event: event[2])


def test_a_header_without_events_is_a_recording_without_events(tmp_path):
    path = tmp_path / "a.dat"
    path.write_bytes(HEADER + b"\x0c\x08")
    assert read(path) == Events.empty((304, 240))
    assert list(read_windows(path, duration=1000)) == []
    path.write_bytes(NCARS_HEADER + b"\x00\x08")
    assert read(path, sensor_size=(120, 100)) == Events.empty((120, 100))
    with pytest.raises(EventFileError, match="holds no events and no sensor size"):
        read(path)


@pytest.mark.parametrize(
    ("data", "offset", "reason"),
    [
        (HEADER, len(HEADER), "truncated: the file ends before the event type and size"),
        (HEADER + b"\x0c", len(HEADER) + 1, "truncated: the file ends before the event type and size"),
        (HEADER + b"\x0e\x08", len(HEADER), "event type 0x0E is not that of change detection"),
        (HEADER + b"\x0c\x05", len(HEADER) + 1, "events of 5 bytes"),
        (HEADER + b"\x0c\x08" + EVENTS[:-1], len(HEADER) + 10, "truncated: 7 bytes are left over"),
        (b"% Version 2\n% Wid", 12, "the header's line that begins here does not end"),
        (b"%" * 10_000, 0, "the header's line that begins here does not end"),
        (b"%\n" * 50_000, 65538, "the header is longer than"),
        (b"% Version 1\n\x00\x08" + EVENTS, 0, "the header says version '1'"),
        (b"% Height 240\n% Width 3o4\n\x00\x08" + EVENTS, 13, "the header's width is '3o4'"),
        (b"% Height 0\n% Width 304\n\x00\x08" + EVENTS, 0, "the header's height is '0'"),
        (b"% Height 240\n% Width 99999\n\x00\x08" + EVENTS, 13, "the header's width is '99999'"),
        ("% Height 240\n% Width ²\n".encode("latin-1") + b"\x00\x08" + EVENTS, 13, "the header's width is '²'"),
    ],
)
def test_faults_are_named_with_their_offset(tmp_path, data, offset, reason):
    path = tmp_path / "a.dat"
    path.write_bytes(data)
    with pytest.raises(EventFileError) as caught:
        read(path)
    assert reason in str(caught.value)
    assert (caught.value.path, caught.value.offset) == (path, offset)


def test_a_given_size_spares_a_broken_one(tmp_path):
    path = tmp_path / "a.dat"
    path.write_bytes(b"% Height 240\n% Width 3o4\n\x00\x08" + EVENTS)
    assert rows(read(path, sensor_size=(304, 240))) == ROWS


def test_bytes_written(tmp_path):
    x, y, t, p = zip(*ROWS, strict=True)
    write(tmp_path / "a.dat", Events(x, y, t, p, (304, 240)))
    header = b"% Data file containing CD events.\n% Version 2\n% Height 240\n% Width 304\n"
    assert (tmp_path / "a.dat").read_bytes() == header + b"\x0c\x08" + EVENTS


@pytest.mark.parametrize(("x", "y", "t"), [(16384, 0, 0), (0, 16384, 0), (0, 0, 2**32), (0, 0, -1)])
def test_refuses_events_that_the_format_cannot_hold(tmp_path, x, y, t):
    with pytest.raises(EventFileError, match=rf"event 0 \(x {x}, y {y}, t {t} µs\) cannot be written: .dat holds"):
        write(tmp_path / "a.dat", Events([x], [y], [t], [1], (32768, 32768)))
    assert list(tmp_path.iterdir()) == []
