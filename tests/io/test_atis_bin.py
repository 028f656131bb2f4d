import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventzoo.errors import EventFileError
from eventzoo.events import Events
from eventzoo.io import read, read_windows, write


def decoded(data):
    """The format's definition, event by event."""
    events, overflow = [], 0
    for at in range(0, len(data), 5):
        x, y, high, middle, low = data[at : at + 5]
        if y == 240:
            overflow += 8192
        else:
            events.append((x, y, (high & 127) * 65536 + middle * 256 + low + overflow, high >= 128))
    return events


def rows(events):
    return list(zip(events.x.tolist(), events.y.tolist(), events.t.tolist(), events.p.tolist(), strict=True))


def test_worked_example(tmp_path, block_events):
    path = tmp_path / "a.bin"
    path.write_bytes(bytes.fromhex("0a 14 80 00 05   21 00 00 01 02   ff ef ff ff ff"))
    events = read(path)
    assert rows(events) == [(10, 20, 5, True), (33, 0, 258, False), (255, 239, 2**23 - 1, True)]
    assert events.sensor_size == (256, 240)
    assert [events.x.dtype, events.y.dtype, events.t.dtype, events.p.dtype] == [np.int16, np.int16, np.int64, np.bool_]


def test_an_overflow_is_no_event_and_moves_all_later_times(tmp_path, block_events):
    marker = "00 f0 00 00 00"
    path = tmp_path / "a.bin"
    path.write_bytes(bytes.fromhex(f"{marker} 01 02 00 00 07 {marker} {marker} 03 04 80 00 01 05 06 00 00 01 {marker}"))
    assert rows(read(path)) == [(1, 2, 8192 + 7, False), (3, 4, 3 * 8192 + 1, True), (5, 6, 3 * 8192 + 1, False)]
    with pytest.raises(EventFileError, match=r"byte 20: event 1 at .*\(3, 4\) lies outside the 3×9 sensor"):
        read(path, sensor_size=(3, 9))


def test_a_file_of_overflows_alone_is_a_recording_without_events(tmp_path, block_events):
    path = tmp_path / "a.bin"
    path.write_bytes(bytes.fromhex("00 f0 00 00 00") * 5)
    assert read(path, sensor_size=(34, 34)) == Events.empty((34, 34))
    assert list(read_windows(path, count=2, sensor_size=(34, 34))) == []
    with pytest.raises(EventFileError, match="holds no events and no sensor size"):
        read(path)


@given(data=st.data())
@settings(deadline=None, max_examples=60)
def test_any_bytes_decode_as_defined(data, new_path):
    record = st.tuples(st.integers(0, 255), st.sampled_from([0, 3, 239, 240, 240, 241, 255]), *[st.integers(0, 255)] * 3)
    raw = b"".join(bytes(r) for r in data.draw(st.lists(record, min_size=1, max_size=30)))
    path = new_path(".bin")
    path.write_bytes(raw)
    assert rows(read(path, sort=True, sensor_size=(256, 256))) == sorted(decoded(raw), key=lambda event: event[2])


def test_bytes_written(tmp_path):
    write(tmp_path / "a.bin", Events([10, 33], [20, 0], [5, 2**23 - 1], [True, False], (34, 34)))
    assert (tmp_path / "a.bin").read_bytes() == bytes.fromhex("0a 14 80 00 05   21 00 7f ff ff")


@pytest.mark.parametrize(
    ("x", "y", "t", "why"),
    [
        (256, 0, 9, "event 1 (x 256, y 0, t 9 µs) cannot be written: .bin holds pixels from 0 to 255"),
        (0, 256, 9, "event 1 (x 0, y 256, t 9 µs) cannot be written: .bin holds pixels from 0 to 255"),
        (0, 240, 9, "event 1 (x 0, y 240, t 9 µs) cannot be written: y = 240 marks a time overflow"),
        (0, 0, 2**23, "event 1 (x 0, y 0, t 8388608 µs) cannot be written: .bin holds times from 0 to 8,388,607 µs"),
    ],
)
def test_refuses_events_that_the_format_cannot_hold(tmp_path, x, y, t, why):
    with pytest.raises(EventFileError) as caught:
        write(tmp_path / "a.bin", Events([0, x], [0, y], [0, t], [0, 1], (300, 300)))
    assert why in str(caught.value)
    with pytest.raises(EventFileError, match=r"event 0 .* t -1 µs\) cannot be written"):
        write(tmp_path / "a.bin", Events([0, 0], [0, 0], [-1, 0], [0, 1], (300, 300)))
    with pytest.raises(EventFileError, match="there are no events"):
        write(tmp_path / "a.bin", Events.empty((34, 34)))
    assert list(tmp_path.iterdir()) == []
