import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventzoo.errors import EventFileError
from eventzoo.events import Events
from eventzoo.io import read, read_windows, recording, write

HEADER = b"Event Stream" + bytes.fromhex("02 00 00 01 40 01 f0 00")  # version 2.0.0, DVS events, 320×240


def event(delta, x, y, p):
    return struct.pack("<BHH", delta << 1 | p, x, y)


def rows(events):
    return list(zip(events.x.tolist(), events.y.tolist(), events.t.tolist(), events.p.tolist(), strict=True))


def test_worked_example(tmp_path, block_events):
    path = tmp_path / "a.es"
    #  5 µs ON (1, 2); two overflows and 3 µs OFF (257, 239); a reset; the same time ON (319, 0)
    path.write_bytes(HEADER + bytes.fromhex("0b 01 00 02 00   ff ff 06 01 01 ef 00   fe   01 3f 01 00 00"))
    assert rows(read(path)) == [(1, 2, 5, True), (257, 239, 5 + 254 + 3, False), (319, 0, 262, True)]
    assert read(path).sensor_size == (320, 240)
    assert [part.t.tolist() for part in read_windows(path, count=1)] == [[5], [262], [262]]


def defined(data):
    """The format's definition, byte by byte; None where it ends within an event or a pixel is on no sensor."""
    events, time, at = [], 0, 0
    while at < len(data):
        if data[at] == 0xFF:
            time, at = time + 127, at + 1
        elif data[at] == 0xFE:
            at += 1
        elif at + 5 > len(data):
            return None
        else:
            first, x, y = struct.unpack_from("<BHH", data, at)
            time, at = time + (first >> 1), at + 5
            events.append((x, y, time, bool(first & 1)))
            if x > 32767 or y > 32767:
                return None
    return events


@given(
    pieces=st.lists(st.sampled_from([b"\xff", b"\xfe", b"\xfe" * 5, b"\x03\x01\0\x02\0"]) | st.binary(max_size=7), max_size=20),
    data=st.data(),
)
@settings(deadline=None, max_examples=150)
def test_any_bytes_decode_as_defined(pieces, data, new_path):
    raw, path = b"".join(pieces), new_path(".es")
    path.write_bytes(HEADER + raw)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recording, "BLOCK_EVENTS", data.draw(st.sampled_from([1, 2, 1 << 16])))
        if defined(raw) is None:
            with pytest.raises(EventFileError, match=r"left over of an event of 5|is on no sensor"):
                read(path, sensor_size=(32768, 32768))
        else:
            assert rows(read(path, sensor_size=(32768, 32768))) == defined(raw)


@pytest.mark.parametrize(
    ("data", "offset", "reason"),
    [
        (b"Event Scream" + HEADER[12:], 0, "does not begin with 'Event Stream'"),
        (HEADER[:7], 7, "truncated: the file ends within the header"),
        (HEADER[:18], 18, "truncated: the file ends within the header"),
        (HEADER[:12] + b"\0\1" + HEADER[14:], 12, "the header says version 0.1.0; only version 2 is known"),
        (HEADER[:15] + b"\0" + event(0, 1, 1, 1), 15, "events are of the kind generic; only DVS events are read"),
        (HEADER[:15] + b"\2" + HEADER[16:], 15, "events are of the kind ATIS"),
        (HEADER[:15] + b"\4" + HEADER[16:], 15, "events are of the kind colour"),
        (HEADER[:15] + b"\7" + HEADER[16:], 15, "events are of the kind unknown (7)"),
        (HEADER[:16] + bytes(4), 16, "the header's sensor of 0×0"),
        (HEADER[:16] + b"\x01\x80\x01\0", 16, "the header's sensor of 32769×1"),
        (HEADER + event(0, 1, 1, 1) + b"\xff" + event(0, 1, 1, 1)[:3], 26, "truncated: 3 bytes are left over of an event of 5"),
        (HEADER + event(0, 1, 1, 1) + event(0, 1, 40_000, 1), 25, "a pixel at (x, y) = (1, 40000) is on no sensor"),
        (HEADER + b"\xff" + event(0, 1, 1, 1) + event(0, 320, 1, 1), 26, "event 1 at (x, y) = (320, 1) lies outside the 320×240 sensor"),
    ],
)
def test_faults_are_named_with_their_offset(tmp_path, data, offset, reason, block_events):
    path = tmp_path / "a.es"
    path.write_bytes(data)
    with pytest.raises(EventFileError) as caught:
        read(path)
    assert reason in str(caught.value)
    assert (caught.value.path, caught.value.offset) == (path, offset)


def test_a_header_is_a_recording_without_events(tmp_path):
    path = tmp_path / "a.es"
    for nothing in (b"", b"\xff\xfe"):
        path.write_bytes(HEADER + nothing)
        assert read(path) == Events.empty((320, 240))


def test_bytes_written(tmp_path, block_events):
    write(tmp_path / "a.es", Events([1, 257, 319], [2, 239, 0], [126, 126 + 127, 126 + 127 + 381], [1, 0, 1], (320, 240)))
    expected = HEADER + event(126, 1, 2, 1) + b"\xff" + event(0, 257, 239, 0) + b"\xff\xff\xff" + event(0, 319, 0, 1)
    assert (tmp_path / "a.es").read_bytes() == expected


@pytest.mark.parametrize("t", [-1, 2**32])
def test_refuses_times_that_would_cost_too_many_bytes(tmp_path, t):
    with pytest.raises(EventFileError, match=rf"event 0 \(x 1, y 1, t {t} µs\) cannot be written: .es is written for times from 0"):
        write(tmp_path / "a.es", Events([1], [1], [t], [1], (9, 9)))
    assert list(tmp_path.iterdir()) == []


def test_real_recording(realdata, joined, tmp_path):
    path = realdata / "formats/dvs.es"
    events = read(path)
    assert (len(events), events.t[0], events.t[-1], events.sensor_size) == (473_225, 0, 999_000, (320, 240))
    assert rows(events[:2]) == [(0, 239, 0, True), (1, 239, 0, True)]
    assert joined(list(read_windows(path, count=100_000)), (320, 240)) == events
    write(tmp_path / "a.es", events)
    assert (tmp_path / "a.es").read_bytes() == path.read_bytes()


def test_another_library_reads_what_is_written(tmp_path, make_events):
    faery = pytest.importorskip("faery")
    events = make_events(2_000, sensor_size=(320, 240))
    write(tmp_path / "a.es", events)
    # not faery.events_stream_from_file, which turns the rows of .es, and of no other format, upside down
    found = np.concatenate(list(faery.es.Decoder(str(tmp_path / "a.es"), 0)))
    for ours, theirs in (("t", "t"), ("x", "x"), ("y", "y"), ("p", "on")):
        np.testing.assert_array_equal(getattr(events, ours), found[theirs])
