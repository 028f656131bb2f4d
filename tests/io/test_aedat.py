import struct
from pathlib import Path

import lz4.frame
import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from eventzoo.errors import EventFileError
from eventzoo.events import Events
from eventzoo.io import read, read_windows, write
from eventzoo.io.formats import aedat4

DVS128 = b"#!AER-DAT2.0\r\n# Timestamps tick is 1 us\r\n"
DAVIS = b"#!AER-DAT2.0\r\n# AEChip: eu.seebetter.ini.chips.davis.DAVIS240C\r\n# AEDAT: a comment\r\n"
AEDAT3 = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n"


def rows(events: Events) -> list[tuple[int, int, int, bool]]:
    return list(zip(events.x.tolist(), events.y.tolist(), events.t.tolist(), events.p.tolist(), strict=True))


def records(*pairs: tuple[int, int]) -> bytes:
    return b"".join(struct.pack(">II", address, time) for address, time in pairs)


def saved(folder: Path, data: bytes, suffix: str = ".aedat") -> Path:
    path = folder / f"a{suffix}"
    path.write_bytes(data)
    return path


class TestAedat2:
    def test_dvs128(self, tmp_path, block_events):
        path = saved(tmp_path, DVS128 + bytes.fromhex("00000507 00000005  00007f00 00000100  000000ff 01000000  00000000 7fffffff"))
        events = read(path)
        assert rows(events) == [(124, 122, 5, False), (127, 0, 256, True), (0, 127, 1 << 24, False), (127, 127, 2**31 - 1, True)]
        assert events.sensor_size == (128, 128)
        assert [events.x.dtype, events.y.dtype, events.t.dtype, events.p.dtype] == [np.int16, np.int16, np.int64, np.bool_]

    def test_davis240(self, tmp_path, block_events):
        pixel = 3 << 22 | 5 << 12
        path = saved(tmp_path, DAVIS + records((pixel | 1 << 11, 7), (pixel, 8), (179 << 22 | 239 << 12 | 0x3FF, 9)))
        assert rows(read(path)) == [(234, 176, 7, True), (234, 176, 8, False), (0, 0, 9, False)]
        assert read(path).sensor_size == (240, 180)

    @pytest.mark.parametrize(("chip", "size"), [("Davis346B", (346, 260)), ("Davis640", (640, 480)), ("ch.unizh.ini.DVS128", (128, 128))])
    def test_the_chip_tells_the_sensor_size(self, tmp_path, chip, size):
        header = b"#!AER-DAT2.0\n# AEChip: %s\n" % chip.encode()
        events = read(saved(tmp_path, header + records((0, 1))))
        assert (events.sensor_size, rows(events)[0][:2]) == (size, (size[0] - 1, size[1] - 1))

    def test_what_is_no_pixels_event_is_skipped(self, tmp_path, block_events):
        dvs = records((0x80000000, 1), (2, 2), (0x8000, 3), (0xFFFF8002, 3), (0x100, 4), (0x8000, 9))
        path = saved(tmp_path, DVS128 + dvs)
        assert rows(read(path)) == [(126, 127, 2, True), (127, 126, 4, True)]
        with pytest.raises(EventFileError, match=rf"byte {len(DVS128) + 4 * 8}: event 1 at .*\(127, 126\) lies outside the 127×128"):
            read(path, sensor_size=(127, 128))
        davis = records((0x80000000, 1), (0x400, 2), (0xC00, 3), (0x80000C00, 3), (0x800, 4))
        assert rows(read(saved(tmp_path, DAVIS + davis))) == [(239, 179, 4, True)]

    def test_a_file_of_skipped_records_alone_is_a_recording_without_events(self, tmp_path, block_events):
        path = saved(tmp_path, DVS128 + records(*[(0x8000, t) for t in range(20)]))
        assert read(path) == Events.empty((128, 128))
        assert list(read_windows(path, count=3)) == []

    @pytest.mark.parametrize(
        ("data", "why"),
        [
            (DVS128 + records((2, 5), (1 << 16, 6)), "0x00010000 is no pixel of a DVS128, which is assumed because the header does not"),
            (DAVIS + records((0, 1), (180 << 22, 6)), "0x2D000000 is no pixel of a DAVIS240; is the file whole"),
            (DAVIS + records((0, 1), (240 << 12, 6)), "0x000F0000 is no pixel of a DAVIS240; is the file whole"),
        ],
    )
    def test_addresses_of_no_pixel(self, tmp_path, block_events, data, why):
        with pytest.raises(EventFileError) as caught:
            read(saved(tmp_path, data))
        assert why in str(caught.value)
        assert caught.value.offset == len(data) - 8

    def test_the_counter_starts_again(self, tmp_path, block_events):
        times = [2**31 - 1, 2**31, 2**32 - 2, 2**32 - 2, 1, 2, 2**32 - 1, 3]
        path = saved(tmp_path, DVS128 + records(*[(address, t) for t in times for address in (2, 0x8000)]))
        expected = [2**31 - 1, 2**31, 2**32 - 2, 2**32 - 2, 2**32 + 1, 2**32 + 2, 2**32 - 1, 2**32 + 3]
        assert read(path, sort=True).t.tolist() == sorted(expected)
        with pytest.raises(EventFileError, match=f"time runs backwards at event 6: {2**32 - 1} µs after {2**32 + 2} µs"):
            read(path)

    @given(data=st.data())
    @settings(deadline=None, max_examples=60)
    def test_any_records_decode_as_defined(self, data, new_path):
        address = st.integers(0, 2**15 - 1) | st.sampled_from([0x8000, 0x80000001, 0xFFFF8000])
        pairs = data.draw(st.lists(st.tuples(address, st.integers(0, 2**30)), min_size=1, max_size=30))
        path = new_path(".aedat")
        path.write_bytes(DVS128 + records(*pairs))
        expected = [(127 - (a >> 1) % 128, 127 - (a >> 8), t, a % 2 == 0) for a, t in pairs if a < 0x8000]
        assert rows(read(path, sort=True)) == sorted(expected, key=lambda event: event[2])

    def test_events_that_begin_like_a_comment(self, tmp_path):
        row = 0x23 << 24  # '#': row 140 from the bottom, and the first byte of a comment
        path = saved(tmp_path, DAVIS + b"#End Of ASCII Header\r\n" + records((row, 0x20202020), (row | 0xA0000, 0x20210A20)))
        assert rows(read(path)) == [(239, 39, 0x20202020, False), (79, 39, 0x20210A20, False)]
        assert rows(read(saved(tmp_path, DAVIS + records((row, 5))))) == [(239, 39, 5, False)]  # its time is no text

    def test_files_whose_header_is_broken(self, tmp_path):
        for data, why in {
            b"#!AER-DAT2.0\r\n": "byte 14: there are no events, and no line that ends the header: truncated",
            b"#!AER-DAT2.0\r\n# created Thu": "byte 14: the header's line that begins here does not end",
            b"#!AER-DAT2.0\r\n# AEChip: ch.Cochlea\r\n" + bytes(8): "the header's camera is ch.Cochlea, whose addresses are not known",
            b"#!AER-DAT2.0\r\n# sensor size: 9\r\n" + bytes(8): "the header's sensor size is '9', not such as 34x34",
            b"#!AER-DAT2.0\r\n# sensor size: 0x9\r\n" + bytes(8): "the header's sensor size is '0x9', not such as 34x34",
            DVS128 + bytes(13): "truncated: 5 bytes are left over of an event of 8",
            b"#!AER-DAT1.0\r\n" + bytes(8): "its beginning is of none of the encodings with this suffix",
        }.items():
            with pytest.raises(EventFileError) as caught:
                read(saved(tmp_path, data))
            assert why in str(caught.value)
        with pytest.raises(EventFileError, match=r"the first line is not #!AER-DAT2\.0"):
            read(saved(tmp_path, b"#!AER-DAT1.0\r\n"), encoding="aedat2")

    def test_bytes_written(self, tmp_path):
        write(tmp_path / "a.aedat", Events([124, 0], [122, 0], [5, 2**31 - 1], [False, True], (128, 125)))
        data = (tmp_path / "a.aedat").read_bytes()
        assert data.startswith(b"#!AER-DAT2.0\r\n")
        assert b"# AEChip: ch.unizh.ini.jaer.chip.retina.DVS128\r\n# sensor size: 128x125\r\n#End Of ASCII Header\r\n" in data
        assert data[-16:] == bytes.fromhex("00000507 00000005 00007ffe 7fffffff")
        write(tmp_path / "a.aedat", Events([234], [176], [7], [True], (240, 180)))
        assert (tmp_path / "a.aedat").read_bytes()[-8:] == records((3 << 22 | 5 << 12 | 1 << 11, 7))

    def test_refuses_what_the_format_cannot_hold(self, tmp_path):
        for events, why in [
            (Events([1], [2], [2**31], [1], (9, 9)), "AEDAT 2.0 holds times from 0 to 2,147,483,647 µs"),
            (Events([1], [2], [-1], [1], (9, 9)), "AEDAT 2.0 holds times from 0"),
            (Events([1], [2], [3], [1], (241, 9)), "a sensor of 241×9 cannot be written"),
            (Events([1], [2], [3], [1], (9000, 9000)), "a sensor of 9000×9000 cannot be written"),
        ]:
            with pytest.raises(EventFileError, match=why):
                write(tmp_path / "a.aedat", events)
        assert list(tmp_path.iterdir()) == []

    def test_real_recording(self, realdata):
        path = realdata / "formats" / "davis240.aedat2.aedat"
        events = read(path)
        assert (len(events), events.sensor_size, events.duration // 10_000) == (162_771, (240, 180), 207)
        data = path.read_bytes()
        words = np.frombuffer(data[data.index(b"#End of Preferences") :].split(b"\r\n", 1)[1], ">u4").reshape(-1, 2)
        words = words[words[:, 0] < 1 << 31].astype(np.int64)
        np.testing.assert_array_equal(events.x, 239 - (words[:, 0] >> 12 & 0x3FF))
        np.testing.assert_array_equal(events.y, 179 - (words[:, 0] >> 22 & 0x1FF))
        np.testing.assert_array_equal(events.p, words[:, 0] >> 11 & 1)
        np.testing.assert_array_equal(events.t, words[:, 1])
        assert read(path, start=295_500_000, stop=295_600_000) == events.between(295_500_000, 295_600_000)


def packet(events, kind=1, source=1, size=8, at=4, overflow=0, count=None, valid=None):
    """A packet of AEDAT 3.1 whose events are pairs of words."""
    count = len(events) if count is None else count
    header = struct.pack("<hhiiiiii", kind, source, size, at, overflow, len(events) + 7, count, count if valid is None else valid)
    return header + b"".join(struct.pack("<II", *event) for event in events)


class TestAedat3:
    def test_worked_example(self, tmp_path, block_events):
        data = bytes.fromhex("0b000a00 05000000  02003f00 06000000  0b000200 07000000  ffffffff ffffff7f")  # the second one is invalid
        header = bytes.fromhex("0100 0100 08000000 04000000 00000000 08000000 04000000 03000000")
        events = read(saved(tmp_path, AEDAT3 + header + data), sensor_size=(2**15, 2**15))
        assert rows(events) == [(5, 2, 5, True), (1, 2, 7, True), (32767, 32767, 2**31 - 1, True)]

    def test_the_source_tells_the_sensor_size(self, tmp_path):
        assert read(saved(tmp_path, AEDAT3 + packet([(1, 1)]))).sensor_size == (128, 128)
        assert read(saved(tmp_path, AEDAT3.replace(b"DVS128", b"Nothing") + packet([(1, 1)]))).sensor_size == (1, 1)

    def test_other_packets_are_skipped_and_overflows_added(self, tmp_path, block_events):
        data = b"".join(
            [
                packet([(9, 9)] * 3, kind=0),
                packet([(1 | 5 << 17, 2**31 - 1), (0, 0), (0, 2**32 - 1)], valid=1),
                packet([(1, 2), (3, 4), (5, 6)], kind=2, source=7, size=12, count=2),
                packet([]),
                packet([(0, 3)] * 9, overflow=1, valid=0),
                packet([(1 | 6 << 17, 1), (1 | 7 << 17, 2)], overflow=1),
                packet([(1 | 8 << 17, 2)], overflow=2**31 - 1),
            ]
        )
        path = saved(tmp_path, AEDAT3 + data)
        times = [2**31 - 1, 2**31 + 1, 2**31 + 2, (2**31 - 1) * 2**31 + 2]
        assert rows(read(path)) == [(x, 0, t, False) for x, t in zip([5, 6, 7, 8], times, strict=True)]
        for start in (0, 2**31 - 1, 2**31, 2**31 + 2, 2**40, 2**62):
            assert read(path, start=start).t.tolist() == [t for t in times if t >= start]
        with pytest.raises(EventFileError, match=r"event 1 at .*\(6, 0\) lies outside") as caught:
            read(path, sensor_size=(6, 6))
        assert caught.value.offset == len(AEDAT3 + data) - 8 - 28 - 16

    def test_what_is_searched_for_is_not_decoded_before(self, tmp_path):
        events = Events(np.zeros(10_000, int), np.zeros(10_000, int), np.arange(10_000), np.zeros(10_000, int), (9, 9))
        write(tmp_path / "a.aedat", events, encoding="aedat3")
        data = bytearray((tmp_path / "a.aedat").read_bytes())
        at = data.index(b"HEADER\r\n") + 8 + 28
        data[at : at + 4] = b"\xff" * 4  # a pixel outside the sensor, in the first of three packets
        path = saved(tmp_path, bytes(data))
        assert read(path, start=9_000, stop=9_500) == events.between(9_000, 9_500)
        with pytest.raises(EventFileError, match="event 0 at"):
            read(path, stop=5)

    def test_files_that_are_broken(self, tmp_path, block_events):
        good = packet([(1, 1), (1, 2)])
        for data, at, why in [
            (b"", 0, "truncated: there are no packets after the header"),
            (good + good[:-3], len(good), "truncated: the packet of 2 events of 8 bytes reaches beyond the file's end"),
            (good + good[:20], len(good) + 20, "truncated: 8 bytes of the packet are missing"),
            (good + packet([(1, 2**31)]), len(good) + 28, "the event's time 2,147,483,648 has more than 31 bits"),
            (packet([(1, 1)], kind=-32767), 0, "a packet begins here, by the one before it, but it does not"),
            (packet([(1, 1)], count=-1), 0, "a packet begins here"),
            (packet([(1, 1)], valid=2), 0, "a packet begins here"),
            (packet([(1, 1)], overflow=-1), 0, "a packet begins here"),
            (packet([(1, 1)], at=0), 0, "events of 8 bytes with their time at byte 0"),
            (packet([(1, 1)], size=4), 0, "events of 4 bytes with their time at byte 4"),
            (good + packet([(1, 3)], source=2), len(good), "events of source 2 after those of source 1"),
        ]:
            with pytest.raises(EventFileError) as caught:
                read(saved(tmp_path, AEDAT3 + data))
            assert why in str(caught.value)
            assert caught.value.offset == len(AEDAT3) + at

    def test_headers_that_are_broken(self, tmp_path):
        for data, why in {
            b"#!AER-DAT3.1\r\n#Format: RAW\r\n" + packet([(1, 1)]): "the header does not end with #!END-HEADER",
            AEDAT3.replace(b"RAW", b"SerializedTS") + packet([(1, 1)]): "its packets are of the format SerializedTS; only RAW is known",
        }.items():
            with pytest.raises(EventFileError, match=why):
                read(saved(tmp_path, data))

    def test_bytes_written(self, tmp_path):
        write(tmp_path / "a.aedat", Events([5, 1], [2, 2], [5, 2**31], [True, False], (34, 34)), encoding="aedat3")
        header = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 0: DVS128\r\n# sensor size: 34x34\r\n#!END-HEADER\r\n"
        packets = "0100 0000 08000000 04000000 {0} 01000000 01000000 01000000"
        first, second = (bytes.fromhex(packets.format(overflow)) for overflow in ("00000000", "01000000"))
        assert (tmp_path / "a.aedat").read_bytes() == header + first + bytes.fromhex("0b000a0005000000") + second + bytes.fromhex(
            "0900020000000000"
        )
        with pytest.raises(EventFileError, match=r"t -1 µs\) cannot be written: AEDAT 3.1 holds times from 0"):
            write(tmp_path / "a.aedat", Events([5], [2], [-1], [True], (34, 34)), encoding="aedat3")


def aedat4_file(folder: Path, packets, method=0, kinds=("EVTS", "EVTS"), listed=True, sizes=("9", "7")) -> Path:
    """A file of AEDAT 4 whose packets are pairs of stream and FlatBuffer."""
    press = {0: bytes, 1: lz4.frame.compress, 3: zstandard.ZstdCompressor().compress}[method]
    streams = "".join(
        f'<node name="{number + 3}"><attr key="typeIdentifier">{kind}</attr>'
        f'<node name="info"><attr key="sizeX">{sizes[0]}</attr><attr key="sizeY">{sizes[1]}</attr></node></node>'
        for number, kind in enumerate(kinds)
    )
    description = f'<dv><node name="outInfo">{streams}</node></dv>'.encode() + b"\0"
    body = b"".join(struct.pack("<ii", stream, len(press(data))) + press(data) for stream, data in packets)

    def header(list_at: int) -> bytes:
        table = struct.pack("<HHHHHiiIq4xI", 10, 24, 4, 12, 8, 10, method, 16, list_at, len(description) - 1)
        return struct.pack("<II4s6x", 20 + len(table) - 2 + len(description) - 4, 24, b"IOHE") + table + description

    begin = b"#!AER-DAT4.0\r\n" + header(-1)
    if listed:
        begin = b"#!AER-DAT4.0\r\n" + header(len(begin) + len(body))
        body += press(vector(b"FTAB", b""))
    return saved(folder, begin + body, ".aedat4")


def vector(kind: bytes, elements: bytes, size: int = 16) -> bytes:
    return struct.pack("<II4s2xHHHiII", 28 + len(elements), 16, kind, 6, 8, 4, 6, 4, len(elements) // size) + elements


def evts(*events: tuple[int, int, int, int]) -> bytes:
    return vector(b"EVTS", b"".join(struct.pack("<qhhB3x", t, x, y, p) for x, y, t, p in events))


class TestAedat4:
    @pytest.mark.parametrize("method", [0, 1, 3])
    @pytest.mark.parametrize("listed", [True, False])
    def test_worked_example(self, tmp_path, block_events, method, listed):
        wanted = [(1, 2, -5, True), (3, 4, 5, False), (8, 6, 2**62, True)]
        packets = [(3, evts(*wanted[:2])), (4, evts((7, 6, 0, 1))), (3, evts()), (9, b"?"), (3, evts(wanted[2]))]
        path = aedat4_file(tmp_path, packets, method, listed=listed)
        assert rows(read(path)) == wanted
        assert read(path).sensor_size == (9, 7)

    def test_the_first_event_stream_is_read(self, tmp_path):
        packets = [(3, b"no FlatBuffer"), (4, evts((1, 2, 3, 1))), (5, evts((2, 2, 4, 1)))]
        assert rows(read(aedat4_file(tmp_path, packets, kinds=("FRME", "EVTS", "EVTS")))) == [(1, 2, 3, True)]

    def test_a_packet_without_a_vector(self, tmp_path):
        table = struct.pack("<II4sHHi", 16, 12, b"EVTS", 4, 4, 4)
        assert rows(read(aedat4_file(tmp_path, [(3, table), (3, evts((1, 2, 3, 1)))]))) == [(1, 2, 3, True)]

    def test_files_that_are_broken(self, tmp_path, block_events):
        good, begin = evts((1, 2, 3, 1), (1, 2, 3, 0)), len(aedat4_file(tmp_path, [], listed=False).read_bytes())
        fewer = good[:28] + struct.pack("<I", 1) + good[32:]
        outside = good[:4] + struct.pack("<I", 2**31) + good[8:]
        for packets, arguments, why in [
            ([(3, good[:-1])], {}, "the packet ends 1 bytes early"),
            ([(3, good + b"x")], {}, "the packet is longer than it says"),
            ([(3, fewer)], {}, "the packet that begins here says that it holds 1 events, in 60 bytes"),
            ([(3, outside)], {}, "broken FlatBuffer: position 2,147,483,648 is outside"),
            ([(3, vector(b"FRME", b""))], {}, "b'EVTS' is expected here, not b'FRME'"),
            ([(3, evts((-1, 0, 0, 0)))], {}, "an event at a negative pixel"),
            ([(3, b"")], {}, "the packet ends 4 bytes early"),
        ]:
            with pytest.raises(EventFileError) as caught:
                read(aedat4_file(tmp_path, packets, listed=False, **arguments))
            assert why in str(caught.value)
            assert caught.value.offset == begin
        with pytest.raises(
            EventFileError, match=f"byte {begin:,}: truncated: the packet that begins here reaches beyond byte {begin + 7:,}"
        ):
            read(saved(tmp_path, aedat4_file(tmp_path, [], listed=False).read_bytes() + bytes(7), ".aedat4"))

    @pytest.mark.parametrize("method", [1, 3])
    def test_packets_that_cannot_be_decompressed(self, tmp_path, method):
        path = aedat4_file(tmp_path, [(3, evts((1, 2, 3, 1)))], method, listed=False)
        data = path.read_bytes()
        with pytest.raises(EventFileError, match="the packet cannot be decompressed"):
            read(saved(tmp_path, data.replace(b"\x04\x22\x4d\x18", b"\x05\x22\x4d\x18").replace(b"\x28\xb5\x2f\xfd", b"????"), ".aedat4"))

    @pytest.mark.parametrize("method", [1, 3])
    def test_a_packet_that_expands_to_much_takes_little_memory(self, tmp_path, peak_memory, method):
        path = aedat4_file(tmp_path, [(3, vector(b"EVTS", bytes(16 * 1_000_000)))], method)
        assert path.stat().st_size < 100_000
        assert peak_memory(lambda: sum(len(part) for part in read_windows(path, count=1000))) < 5_000_000

    def test_headers_that_are_broken(self, tmp_path):
        good = aedat4_file(tmp_path, [(3, evts((1, 2, 3, 1)))]).read_bytes()
        for data, why in [
            (good.replace(b"<dv>", b"<dx>"), "the description is no XML: mismatched tag"),
            (good.replace(b"<dv><", b"<!ENT"), "the description has declarations"),
            (good.replace(b"EVTS</", b"\xff\xffTS</"), "the description is no XML: 'utf-8'"),
            (good.replace(b"EVTS</", b"FRME</"), "the description names no event stream"),
            (good.replace(b"IOHE", b"IOHX"), "b'IOHE' is expected here, not b'IOHX'"),
            (good[:14] + b"\xff\xff\xff\xff" + good[18:], "a header of 4,294,967,295 bytes is promised here"),
            (good[:46] + b"\x09" + good[47:], "its packets are compressed by method 9"),
            (good[:-40], "truncated"),
            (good[:-1], "the packet ends 1 bytes early"),
            (good + b"x", "the packet is longer than it says"),
            (good[:14], "a header of 0 bytes is promised here"),
            (b"#!AER-DAT2.0\r\n", "the first line is not #!AER-DAT4.0"),
        ]:
            with pytest.raises(EventFileError) as caught:
                read(saved(tmp_path, data, ".aedat4"))
            assert why in str(caught.value)

    @pytest.mark.parametrize("sizes", [("x", "7"), ("0", "7"), ("32769", "7"), ("-1", "7"), ("", "7")])
    def test_a_sensor_size_that_is_none(self, tmp_path, sizes):
        path = aedat4_file(tmp_path, [(3, evts((1, 2, 3, 1)))], sizes=sizes)
        assert rows(read(path, sensor_size=(9, 9))) == [(1, 2, 3, True)]
        with pytest.raises(EventFileError, match=r"the description's sensor size is .*pass sensor_size=\(width, height\)"):
            read(path)

    def test_the_list_of_packets(self, tmp_path, monkeypatch):
        monkeypatch.setattr(aedat4, "_PACKET_EVENTS", 2)
        write(tmp_path / "a.aedat4", Events([1] * 5, [2] * 5, [3, 4, 5, 6, 7], [1] * 5, (9, 9)))
        data = (tmp_path / "a.aedat4").read_bytes()
        (list_at,) = struct.unpack_from("<q", data, 18 + 36)
        table = lz4.frame.decompress(data[list_at:])
        assert struct.unpack_from("<I", table)[0] == len(table) - 4
        for number, (count, first, last) in enumerate([(2, 3, 4), (2, 5, 6), (1, 7, 7)]):
            entry = 32 + 4 * number + struct.unpack_from("<I", table, 32 + 4 * number)[0]
            fields = entry - struct.unpack_from("<i", table, entry)[0]
            assert struct.unpack_from("<7H", table, fields) == (14, 44, 4, 12, 20, 28, 36)
            at, stream, size, *others = struct.unpack_from("<qiiqqq", table, entry + 4)
            assert ((entry + 4) % 8, others) == (0, [count, first, last])
            assert struct.unpack_from("<ii", data, at) == (stream, size) == (0, size)

    def test_real_recording(self, realdata, joined):
        path = realdata / "formats" / "davis346.aedat4"
        events = read(path)
        assert (len(events), events.sensor_size) == (117_667, (346, 260))
        assert (events.t[0], events.t[-1], rows(events[:3])[0]) == (1633953690975950, 1633953691105949, (218, 15, 1633953690975950, True))
        assert joined(list(read_windows(path, duration=10_000)), (346, 260)) == events


def test_the_encodings_of_a_suffix_are_told_apart(tmp_path):
    events = Events([1], [2], [3], [True], (9, 9))
    write(tmp_path / "a.aedat", events)
    assert (tmp_path / "a.aedat").read_bytes().startswith(b"#!AER-DAT2.0")
    write(tmp_path / "b.aedat", events, encoding="aedat3")
    assert (tmp_path / "b.aedat").read_bytes().startswith(b"#!AER-DAT3.1")
    assert read(tmp_path / "a.aedat") == read(tmp_path / "b.aedat") == events
    with pytest.raises(EventFileError, match=r"the first line is not #!AER-DAT3\.1"):
        read(tmp_path / "a.aedat", encoding="aedat3")
