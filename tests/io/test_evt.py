import struct
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventzoo.errors import EventFileError
from eventzoo.events import Events
from eventzoo.io import read, read_windows, recording, write
from eventzoo.io.encodings import opened

HEADERS = {"evt2": b"% evt 2.0\n% end\n", "evt21": b"% evt 2.1\n% end\n", "evt3": b"% evt 3.0\n% end\n"}
WORD = {"evt2": "<I", "evt21": "<Q", "evt3": "<H"}
SIZE = (2048, 2048)
TIME = {"evt2": 0x8000_0000, "evt21": 0x8000_0000 << 32, "evt3": 0x8000}


def raw(encoding, *words):
    return b"".join(struct.pack(WORD[encoding], word) for word in words)


def rows(events):
    return list(zip(events.x.tolist(), events.y.tolist(), events.t.tolist(), events.p.tolist(), strict=True))


@pytest.fixture
def put(tmp_path):
    """Makes a .raw file of a header and words, and gives its path."""

    def made(encoding, *words, header=None):
        path = tmp_path / f"{encoding}.raw"
        path.write_bytes((HEADERS[encoding] if header is None else header) + raw(encoding, *words))
        return path

    return made


# ---------------------------------------------------------------- the definitions, word by word


def defined_evt2(words):
    high, wraps, events = None, 0, []
    for word in words:
        kind = word >> 28
        if kind in (0, 1) and high is not None:
            events.append((word >> 11 & 2047, word & 2047, wraps * 2**34 + high * 64 + (word >> 22 & 63), bool(kind)))
        elif kind == 8:
            wraps += high is not None and high - (word & 2**28 - 1) >= 2**27
            high = word & 2**28 - 1
        elif kind not in (0, 1, 10, 14, 15):
            return None
    return events


def defined_evt21(words):
    high, wraps, events = None, 0, []
    for word in words:
        kind = word >> 60
        if kind in (0, 1) and high is not None:
            t = wraps * 2**34 + high * 64 + (word >> 54 & 63)
            events += [((word >> 43 & 2047) + bit, word >> 32 & 2047, t, bool(kind)) for bit in range(32) if word >> bit & 1]
        elif kind == 8:
            wraps += high is not None and high - (word >> 32 & 2**28 - 1) >= 2**27
            high = word >> 32 & 2**28 - 1
        elif kind not in (0, 1, 10, 14, 15):
            return None
    return events


def defined_evt3(words):
    high, low, loops, y, base, polarity, events = None, 0, 0, None, 0, False, []
    for word in words:
        kind, value = word >> 12, word & 4095
        known = high is not None and y is not None
        t = known and loops * 2**24 + high * 4096 + low
        if kind == 0:
            y = value & 2047
        elif kind == 2 and known:
            events.append((value & 2047, y, t, bool(value >> 11)))
        elif kind == 3:
            base, polarity = value & 2047, bool(value >> 11)
        elif kind in (4, 5):
            width = 12 if kind == 4 else 8
            events += [(base + bit, y, t, polarity) for bit in range(width) if known and value >> bit & 1]
            base = min(base + width, 2048)
        elif kind == 6:
            low = value
        elif kind == 8:
            loops += high is not None and high - value >= 2048
            high = value
        elif kind not in (2, 7, 10, 14, 15):
            return None
    return events


def words_of(types, size):
    """Words whose types are common ones for the most part."""
    common = st.tuples(st.sampled_from(types), st.integers(0, 2 ** (size - 4) - 1)).map(lambda word: word[0] << size - 4 | word[1])
    return st.lists(common | common | common | common | st.integers(0, 2**size - 1), max_size=40)


DEFINITIONS = {
    "evt2": (defined_evt2, words_of([0, 1, 1, 8, 10, 14, 15], 32)),
    "evt21": (defined_evt21, words_of([0, 1, 1, 8, 10, 14, 15], 64)),
    "evt3": (defined_evt3, words_of([0, 2, 2, 3, 4, 4, 5, 6, 7, 8, 8, 10, 14, 15], 16)),
}


@given(data=st.data(), block=st.sampled_from([1, 2, 5, 1 << 16]))
@settings(deadline=None, max_examples=80)
@pytest.mark.parametrize("name", DEFINITIONS)
def test_any_words_decode_as_defined(name, data, block, new_path):
    defined, strategy = DEFINITIONS[name]
    words = data.draw(strategy)
    events, path = defined(words), new_path(".raw")
    path.write_bytes(HEADERS[name] + raw(name, *words))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recording, "BLOCK_EVENTS", block)
        if events is None:
            with pytest.raises(EventFileError, match="the word is of a reserved type"):
                read(path, sensor_size=(4096, 2048), sort=True)
        else:
            assert rows(read(path, sensor_size=(4096, 2048), sort=True)) == sorted(events, key=lambda event: event[2])


# ---------------------------------------------------------------- worked examples


def test_evt2_worked_example(tmp_path, block_events):
    path = tmp_path / "a.raw"
    #                       time 0x39d8d8·64    OFF (4, 187) +0   ON (55, 1113) +12
    path.write_bytes(b"% evt 2.0\n" + bytes.fromhex("d8 d8 39 80   bb 20 00 00   59 bc 01 13"))
    assert rows(read(path)) == [(4, 187, 0x39D8D8 * 64, False), (55, 1113, 0x39D8D8 * 64 + 12, True)]


def test_evt21_worked_example_in_both_orders_of_halves(tmp_path, block_events):
    little = bytes.fromhex("00 00 00 00 02 00 00 80   01 00 00 80 07 00 41 10")  # time 2·64, ON at (32 + 0, 7) and (32 + 31, 7), +1
    legacy = b"".join(little[at + 4 : at + 8] + little[at : at + 4] for at in (0, 8))
    path = tmp_path / "a.raw"
    for header, data in (
        (b"% evt 2.1\n", little),
        (b"% format EVT21;endianness=little;height=9;width=64\n% end\n", little),
        (b"% evt 2.1\n", legacy),
        (b"% format EVT21;height=9;width=64;endianness=legacy\n", legacy),
    ):
        path.write_bytes(header + data)
        assert rows(read(path)) == [(32, 7, 129, True), (63, 7, 129, True)]


def test_evt3_worked_example(put, block_events):
    path = put(
        "evt3",
        *(0x8012, 0x6345, 0x0007),  # time 0x12345, row 7
        *(0x2805, 0x2006),  # ON at 5, OFF at 6
        *(0x3864, 0x4801, 0x50F1),  # ON from 100: 0 and 11; then from 112: 0, 4, 5, 6, 7; bits above the eighth are not pixels
        *(0x2001, 0x5002),  # OFF at 1; ON, as vectors still are, from 120: 1
        *(0x0808, 0x6346, 0x2009),  # row 8 of the second camera, one µs later
    )
    xs = [5, 6, 100, 111, 112, 116, 117, 118, 119, 1, 121]
    polarities = [True, False, True, True, True, True, True, True, True, False, True]
    expected = [(x, 7, 0x12345, p) for x, p in zip(xs, polarities, strict=True)]
    assert rows(read(path)) == [*expected, (9, 8, 0x12346, False)]
    assert [len(part) for part in read_windows(path, count=3, sensor_size=SIZE)] == [3, 3, 3, 3]


def test_triggers_and_monitoring_are_skipped(put, block_events):
    assert rows(read(put("evt2", 0x8000_0001, 0xA000_0101, 0xE010_0000, 0xF123_4567, 0x1000_0802))) == [(1, 2, 64, True)]
    assert rows(read(put("evt21", TIME["evt21"], 0xA << 60 | 1 << 32, 0xE << 60, 0xF << 60 | 7, 1 << 60 | 1))) == [(0, 0, 0, True)]
    assert rows(read(put("evt3", 0x8000, 0xA601, 0x6005, 0xE014, 0xF123, 0xF456, 0x7001, 0x0002, 0x2801))) == [(1, 2, 5, True)]


def test_what_a_recording_that_begins_in_the_stream_cannot_tell_is_dropped(put, block_events):
    assert rows(read(put("evt2", 0x0000_0801, 0x1000_0802, 0x8000_0001, 0x1000_0803))) == [(1, 3, 64, True)]
    assert rows(read(put("evt21", 1, TIME["evt21"] | 1 << 32, 2))) == [(1, 0, 64, False)]
    # a row from before the first time is known, as expelliarmus writes it
    assert rows(read(put("evt3", 0x0003, 0x2005, 0x5003, 0x8001, 0x2006, 0x6002, 0x2007))) == [(6, 3, 4096, False), (7, 3, 4098, False)]
    assert rows(read(put("evt3", 0x8001, 0x2006, 0x50FF, 0x0004, 0x2007))) == [(7, 4, 4096, False)]


# ---------------------------------------------------------------- time


@pytest.mark.parametrize(("name", "shift"), [("evt2", 0), ("evt21", 32)])
def test_the_counter_of_evt2_starts_again(put, block_events, name, shift):
    highs = [2**27, 2**28 - 1, 0, 2**28 - 1, 5]
    words = [word << shift | bool(shift) for high in highs for word in (0x8000_0000 | high, 63 << 22)]
    expected = [high * 64 + 63 for high in (2**27, 2**28 - 1, 2**28, 2**29 - 1, 2**29 + 5)]
    assert read(put(name, *words)).t.tolist() == expected
    assert [t for part in read_windows(put(name, *words), count=2, sensor_size=(1, 1)) for t in part.t.tolist()] == expected


def test_the_counter_of_evt3_starts_again(put, block_events):
    words = [
        word for high, low in ((2048, 9), (4095, 4095), (0, 0), (0, 7), (2047, 3), (0, 1)) for word in (0x8000 | high, 0x6000 | low, 0x2001)
    ]
    path = put("evt3", 0x0001, *words[:12])
    assert read(path).t.tolist() == [2048 * 4096 + 9, 2**24 - 1, 2**24, 2**24 + 7]
    path = put("evt3", 0x0001, *words)  # a smaller fall is no restart
    with pytest.raises(EventFileError, match="byte 52: time runs backwards at event 5"):
        read(path)


def test_a_row_of_time_words_does_not_drift(put):
    """The time is that of the latest words, however often they are repeated; expelliarmus adds 4,096 µs now and then."""
    words = [word for t in range(0, 40_000, 16) for word in (0x8000 | t >> 12, 0x6000 | t & 4095, 0x2001)]
    assert read(put("evt3", 0, *words)).t.tolist() == list(range(0, 40_000, 16))


# ---------------------------------------------------------------- the header


@pytest.mark.parametrize(
    ("header", "size"),
    [
        (b"% evt 3.0\n", None),
        (b"% Date 2020-09-14 14:18:29\n% evt 3.0\n% system_ID 48\n", None),
        (b"% evt 3.0 \r\n% end\r\n", None),
        (b"% evt 3.0\n% geometry 640x480\n% end\n", (640, 480)),
        (b"% format EVT3;height=480;width=640\n", (640, 480)),
        (b"% evt 2.1\n% format EVT3;height=720;width=1280\n% geometry 640x480\n", (640, 480)),
        (b"% evt 3.0\n% integrator caf\xe9\n%\x20\n% end\n", None),
    ],
)
def test_headers(put, header, size):
    path = put("evt3", 0x8000, 0x0001, 0x2802, header=header)
    assert rows(read(path)) == [(2, 1, 0, True)]
    assert read(path).sensor_size == (size or (3, 2))
    assert read(path, sensor_size=(9, 9)).sensor_size == (9, 9)


def test_words_that_look_like_a_header_follow_its_end(put):
    word = int.from_bytes(b"% ", "little")  # OFF at 37
    assert rows(read(put("evt3", word, 0x8000, 0x0001, word))) == [(37, 1, 0, False)]


def test_without_a_header_the_encoding_must_be_named(put):
    path = put("evt3", 0x8000, 0x0001, 0x2802, header=b"")
    with pytest.raises(EventFileError, match="of none of the encodings with this suffix: evt3, evt2, evt21"):
        read(path)
    assert rows(read(path, encoding="evt3")) == [(2, 1, 0, True)]
    with pytest.raises(EventFileError, match="none of the encodings"):
        read(put("evt3", header=b"% evt 4.0\n"))


def test_a_header_that_contradicts_the_encoding_is_believed(put):
    with pytest.raises(EventFileError, match=r"byte 9: the header says EVT 3\.0, not 2\.0"):
        read(put("evt3", 0x8000, header=b"% a bcde\n% evt 3.0\n"), encoding="evt2")


@pytest.mark.parametrize(
    ("data", "offset", "reason"),
    [
        (b"% evt 3.0\n% end\n\x00\x80\x01", 18, "truncated: 1 bytes are left over"),
        (b"% evt 3.0\n% geome", 10, "the header's line that begins here does not end"),
        (b"% evt 3.0\n% " + b"x" * 5000, 10, "the header's line that begins here does not end"),
        (b"% evt 3.0\n" + b"% a b\n" * 20_000, 65_542, "the header is longer than"),
        (b"% evt 3.0\n% geometry 640x48o\n", 10, "the header's sensor size is '640x48o'"),
        (b"% format EVT3;height=0;width=640\n", 0, "the header's sensor size is '640x0'"),
        (b"% format EVT3;height=1;width=32769\n", 0, "the header's sensor size is '32769x1'"),
        (b"% evt 3.0\n% end\n\x00\x80\x00\x10", 18, "the word is of a reserved type"),
        (b"% evt 3.0\n% end\n\x00\x80\x00\x00\x00\x20\x00\x90", 22, "the word is of a reserved type"),
    ],
)
def test_faults_are_named_with_their_offset(tmp_path, data, offset, reason, block_events):
    path = tmp_path / "a.raw"
    path.write_bytes(data)
    with pytest.raises(EventFileError) as caught:
        read(path)
    assert reason in str(caught.value)
    assert (caught.value.path, caught.value.offset) == (path, offset)


def test_a_header_without_words_is_a_recording_without_events(put):
    path = put("evt3", header=b"% evt 3.0\n% geometry 640x480\n% end\n")
    assert read(path) == Events.empty((640, 480))
    assert list(read_windows(path, duration=1000)) == []
    with pytest.raises(EventFileError, match="holds no events and no sensor size"):
        read(put("evt3", 0x8000, 0x6000))


# ---------------------------------------------------------------- offsets and memory


def test_the_word_of_a_bad_event_is_named(put, block_events):
    for path, word in (
        (put("evt2", TIME["evt2"], 0xA000_0000, 0x0000_0801, 0x0000_0001, 0x0000_1001), 4),
        (put("evt21", 1, TIME["evt21"], 1 << 32 | 3, 1 << 32 | 7), 3),
        (put("evt3", 0x8000, 0x0001, 0x5003, 0x6001, 0x3000, 0x5007), 5),
    ):
        with pytest.raises(EventFileError, match=r"event [24] at \(x, y\) = \(2, 1\) lies outside the 2×9 sensor") as caught:
            read(path, sensor_size=(2, 9))
        assert caught.value.offset == len(HEADERS[path.stem]) + word * struct.calcsize(WORD[path.stem])


@pytest.mark.parametrize(("name", "words"), [("evt3", [0x0001, 0x3000, 0x4FFF, 0x6001]), ("evt21", [0x0000_0001_FFFF_FFFF])])
def test_events_are_counted_before_memory_is_taken(put, name, words):
    path = put(name, TIME[name], *words * 500)
    with opened(path) as opened_recording:
        assert opened_recording.max_events == len(read(path)) + 1 == 500 * {"evt3": 12, "evt21": 32}[name] + 1


# ---------------------------------------------------------------- writing


def test_bytes_written(tmp_path):
    events = Events([40, 41, 41], [7, 7, 8], [5, 5, 4097], [1, 0, 1], (64, 48))
    header = "% evt {}\n% format {};height=48;width=64{}\n% geometry 64x48\n% end\n"
    for name, version, options, words in (
        ("evt2", "2.0", "", (0x8000_0000, 0x1141_4007, 0x0141_4807, 0x8000_0040, 0x1041_4808)),
        ("evt3", "3.0", "", (0x8000, 0x6005, 0x0007, 0x2828, 0x2029, 0x8001, 0x6001, 0x0008, 0x2829)),
    ):
        write(tmp_path / "a.raw", events, encoding=name)
        expected = header.format(version, "EVT" + version[0], options).encode() + raw(name, *words)
        assert (tmp_path / "a.raw").read_bytes() == expected
    write(tmp_path / "a.raw", events, encoding="evt21")
    halves = [(0x8000_0000, 0), (0x1141_0007, 1 << 8), (0x0141_0007, 1 << 9), (0x8000_0040, 0), (0x1041_0008, 1 << 9)]
    expected = header.format("2.1", "EVT21", ";endianness=little").encode() + raw("evt21", *(word << 32 | mask for word, mask in halves))
    assert (tmp_path / "a.raw").read_bytes() == expected


def test_a_plain_raw_file_is_evt3(tmp_path):
    write(tmp_path / "a.raw", Events([1], [2], [3], [1], (9, 9)))
    assert (tmp_path / "a.raw").read_bytes().startswith(b"% evt 3.0\n")


def test_silences_longer_than_the_counter_of_evt3(tmp_path, block_events):
    times = [70_000_000, 70_000_001, 2**33 - 1, 2**33, 2**34 - 1]
    events = Events([1] * 5, [2] * 5, times, [1] * 5, (9, 9))
    write(tmp_path / "a.raw", events)
    assert read(tmp_path / "a.raw") == events
    highs = [word & 4095 for (word,) in struct.iter_unpack("<H", (tmp_path / "a.raw").read_bytes().split(b"% end\n")[1]) if word >> 12 == 8]
    falls = [(a, b) for a, b in pairwise(highs) if b < a]
    assert set(falls) == {(4095, 0)}  # as a camera restarts, which is all that faery takes for a restart
    assert len(falls) == (2**34 - 1) >> 24


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize(("x", "y", "t"), [(2048, 0, 0), (0, 2048, 0), (0, 0, 2**34), (0, 0, -1)])
def test_refuses_events_that_the_format_cannot_hold(tmp_path, name, x, y, t):
    with pytest.raises(EventFileError, match=rf"event 0 \(x {x}, y {y}, t {t} µs\) cannot be written: EVT \d\.\d holds"):
        write(tmp_path / "a.raw", Events([x], [y], [t], [1], (32768, 32768)), encoding=name)
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- real recordings and other libraries


@pytest.mark.parametrize(
    ("name", "off", "on", "first", "last", "size"),
    [
        ("gen3_vga.evt2.raw", 335_391, 185_861, 913_716_224, 913_812_095, (640, 480)),
        ("ros_640x480.evt3.raw", 218_291, 125_183, 7_139_845, 9_218_023, (640, 480)),
        ("pedestrians_hd.evt3.raw", 2_106, 2_894, 5_840_504, 5_885_714, (1280, 720)),
    ],
)
def test_real_recordings(realdata, joined, tmp_path, name, off, on, first, last, size):
    path = realdata / "formats" / name
    events = read(path, sensor_size=size)
    assert (len(events) - events.p.sum(), events.p.sum(), events.t[0], events.t[-1]) == (off, on, first, last)
    assert joined(list(read_windows(path, duration=7_000, sensor_size=size)), size) == events
    for encoding in HEADERS:
        write(tmp_path / "a.raw", events, encoding=encoding)
        assert read(tmp_path / "a.raw") == events


def test_other_libraries_read_what_is_written(tmp_path, make_events):
    faery = pytest.importorskip("faery")
    events = make_events(2_000, sensor_size=(640, 480), duration=10**8)
    for encoding in ("evt2", "evt3"):
        write(tmp_path / "a.raw", events, encoding=encoding)
        found = faery.events_stream_from_file(tmp_path / "a.raw").to_array()
        for ours, theirs in (("t", "t"), ("x", "x"), ("y", "y"), ("p", "on")):
            np.testing.assert_array_equal(getattr(events, ours), found[theirs])
