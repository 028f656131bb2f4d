import struct
import zlib

import numpy as np
import pytest
import scipy.io

from eventzoo.errors import EventFileError
from eventzoo.events import Events
from eventzoo.io import read, read_windows, write

EVENTS = Events([3, 0, 8], [1, 5, 0], [10, 10, 99], [0, 1, 1], (9, 6))
COLUMNS = {"ts": EVENTS.t, "x": EVENTS.x, "y": EVENTS.y, "pol": EVENTS.p.astype(np.uint8)}
HEADER = b"MATLAB 5.0 MAT-file".ljust(116) + bytes(8) + b"\x00\x01IM"


def variables(**changed):
    """What scipy saves: columns, as in ASL-DVS."""
    return {name: values[:, None] if values.ndim == 1 else values for name, values in {**COLUMNS, **changed}.items()}


def packed(kind, data):
    return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8)


def variable(name, values, shape=None, kind=2, matlab_class=9, flags=0):
    """One array by the format's definition, whether it is true or not."""
    shape = (len(values), 1) if shape is None else shape
    array = packed(6, struct.pack("<II", matlab_class | flags, 0)) + packed(5, struct.pack(f"<{len(shape)}i", *shape))
    return packed(14, array + packed(1, name) + packed(kind, bytes(values)))


def compressed(element):
    data = zlib.compress(element)
    return struct.pack("<II", 15, len(data)) + data


def whole(**changed):
    """The file's variables, of which some may be changed."""
    return {name: variable(name.encode(), values.astype(np.uint8)) for name, values in COLUMNS.items()} | changed


def reason_of(path, **elements):
    path.write_bytes(HEADER + b"".join(elements.values()))
    with pytest.raises(EventFileError) as caught:
        read(path)
    return str(caught.value)


@pytest.mark.parametrize("pack", [bytes, compressed])
def test_worked_example(tmp_path, block_events, pack):
    (tmp_path / "a.mat").write_bytes(HEADER + b"".join(pack(element) for element in whole().values()))
    assert read(tmp_path / "a.mat") == EVENTS
    assert [len(part) for part in read_windows(tmp_path / "a.mat", count=2, sensor_size=(9, 6))] == [2, 1]


def test_worked_example_of_a_big_endian_file(tmp_path):
    array = struct.pack(">IIII IIii", 6, 8, 9, 0, 5, 8, 2, 1)  # of two values, as all four variables
    elements = [array + struct.pack(">HH4s HH4s", len(name), 1, name, 2, 2, b"\0\1") for name in (b"ts", b"x", b"y", b"pol")]
    data = b"".join(struct.pack(">II", 14, len(element)) + element for element in elements)
    (tmp_path / "a.mat").write_bytes(HEADER[:124] + b"\x01\x00MI" + data)
    assert read(tmp_path / "a.mat") == Events([0, 1], [0, 1], [0, 1], [0, 1], (2, 2))


@pytest.mark.parametrize("compression", [False, True])
@pytest.mark.parametrize("dtype", ["u1", "i1", "<u2", "<i2", "<u4", ">i4", "<u8", "<i8", "<f4", "<f8"])
def test_what_scipy_writes(tmp_path, block_events, dtype, compression):
    columns = {name: values.astype(dtype) for name, values in COLUMNS.items()}
    others = {"note": "made for this test", "nested": {"cell": np.array([1, "a"], object)}, "image": np.eye(3), "complex": np.array([1j])}
    scipy.io.savemat(tmp_path / "a.mat", {**others, **variables(**columns)}, do_compression=compression)
    assert read(tmp_path / "a.mat") == EVENTS


@pytest.mark.parametrize("p", [np.array([False, True, True]), np.array([-1, 1, 1]), np.array([-1.0, 1, 1])])
def test_polarities_and_rows(tmp_path, p):
    scipy.io.savemat(tmp_path / "a.mat", {name: values.T for name, values in variables(pol=p).items()})
    assert read(tmp_path / "a.mat") == EVENTS


def test_what_is_written_is_what_scipy_reads(tmp_path):
    write(tmp_path / "a.mat", EVENTS)
    found = scipy.io.loadmat(tmp_path / "a.mat")
    for name, values in COLUMNS.items():
        np.testing.assert_array_equal(found[name], values[:, None])
    assert {name: found[name].dtype.str for name in COLUMNS} == {"ts": "<i8", "x": "<i2", "y": "<i2", "pol": "|u1"}


def test_equal_events_are_written_as_equal_files(tmp_path):
    for name in ("a.mat", "b.mat"):
        write(tmp_path / name, EVENTS)
    assert (tmp_path / "a.mat").read_bytes() == (tmp_path / "b.mat").read_bytes()


@pytest.mark.parametrize("compression", [False, True])
@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"x": np.array([3, -1, 8])}, "event 1: x = -1 is not a whole number from 0 to 32767"),
        ({"y": np.array([3, 1.5, 4])}, "event 1: y = 1.5 is not a whole number"),
        ({"ts": np.array([3, 4, np.nan])}, "event 2: t = nan is not a whole number"),
        ({"ts": np.array([3, 1, 9])}, "time runs backwards at event 1: 1 µs after 3 µs"),
        ({"pol": np.array([0, 2, 1])}, "event 1: p = 2 is not a whole number from -1 to 1"),
        ({"pol": np.array([-1, 1, 0])}, "p mixes -1 and 0"),
        ({"x": np.array([3, 4])}, "x, y, ts, pol must be equally long, not x: 2, y: 3, ts: 3, pol: 3"),
        ({"x": np.zeros((3, 2))}, "the variable x is of size 3×2; a column of events has one dimension"),
        ({"x": np.array([1j, 2, 3])}, "the variable x is no array of real numbers"),
        ({"x": np.array(["abc"])}, "the variable x is no array of real numbers"),
        ({"x": np.array([{}, 1, 2], object)}, "the variable x is no array of real numbers"),
    ],
)
def test_variables_that_are_no_events(tmp_path, block_events, changed, reason, compression):
    scipy.io.savemat(tmp_path / "a.mat", variables(**changed), do_compression=compression)
    with pytest.raises(EventFileError) as caught:
        read(tmp_path / "a.mat")
    assert reason in str(caught.value)


def test_missing_variables_are_named(tmp_path):
    said = reason_of(tmp_path / "a.mat", x=whole()["x"], z=variable(b"z", b""), nothing=variable(b"", b"\1"))
    assert "no variable y, ts, pol: events need x, y, ts and pol; the file holds x, z, nameless at" in said


@pytest.mark.parametrize("pack", [bytes, compressed])
@pytest.mark.parametrize(
    ("x", "reason"),
    [
        (variable(b"x", b"\1\2\3", shape=(1 << 30, 1)), "promises 1,073,741,824 values, but has 3 bytes"),
        (variable(b"x", b"\1\2\3", shape=(2, 1)), "promises 2 values, but has 3 bytes"),
        (variable(b"x", b"\1\2\3", shape=(-3, -1)), "the variable x is of size -3×-1"),
        (variable(b"x", b"\1\2\3", shape=(3, 1, 1, -1)), "the variable x is of size"),
        (variable(b"x", b"\1\2\3", shape=(3,)), "an element of type 5 and 4 bytes stands in place of one of type 5"),
        (variable(b"x", b"\1\2\3", shape=(1,) * 40), "an element of type 5 and 160 bytes"),
        (variable(b"x" * 99, b"\1\2\3"), "an element of type 1 and 99 bytes"),
        (variable(b"x", b"\1\2\3", kind=8), "the values of x are of type 8, which is no number's"),
        (variable(b"x", b"\1\2\3", matlab_class=5), "the variable x is no array of real numbers"),
        (packed(14, bytes(8)), "an element of type 0 and 0 bytes stands in place of one of type 6"),
        (packed(14, packed(6, bytes(12))), "an element of type 6 and 12 bytes stands in place of one of type 6"),
        (packed(14, b"\6\0\5\0" + bytes(4)), "an element's tag promises 5 bytes within itself"),
        (packed(14, b""), "ends too early"),
    ],
)
def test_arrays_that_lie(tmp_path, pack, x, reason):
    said = reason_of(tmp_path / "a.mat", **whole(x=pack(x)))
    assert reason in said
    assert f"byte {128 + len(whole()['ts'])}: " in said


def test_a_variable_that_is_there_twice(tmp_path):
    assert "the variable x is there twice" in reason_of(tmp_path / "a.mat", **whole(again=whole()["x"]))


@pytest.mark.parametrize(
    ("start", "reason"),
    [
        (b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM" + b"\x89HDF", "MATLAB version 7.3, which is HDF5; save it again"),
        (b"\x89HDF\r\n\x1a\n".ljust(200), "MATLAB version 7.3"),
        (bytes(20), "does not begin as MATLAB files of versions 5 to 7 do"),
        (HEADER[:124] + b"\0\2IM", "does not begin as MATLAB files"),
        (HEADER, "no variable x, y, ts, pol: events need x, y, ts and pol; the file holds none"),
        (HEADER + b"\x0e\0\0", "byte 128: truncated within a variable's tag"),
        (HEADER + bytes(8), "byte 128: type 0 is not that of a variable"),
        (HEADER + b"\x0e\0\0\0\xff\xff\xff\xff", "byte 128: truncated: the variable that begins here reaches beyond"),
    ],
)
def test_beginnings_that_are_none(tmp_path, start, reason):
    (tmp_path / "a.mat").write_bytes(start)
    with pytest.raises(EventFileError) as caught:
        read(tmp_path / "a.mat")
    assert reason in str(caught.value)


def test_a_flipped_bit_in_compressed_values_is_found(tmp_path):
    write(tmp_path / "a.mat", EVENTS)
    raw = (tmp_path / "a.mat").read_bytes()
    refused = 0
    for at in range(8 * 128, 8 * len(raw), 5):
        data = bytearray(raw)
        data[at // 8] ^= 1 << at % 8
        (tmp_path / "a.mat").write_bytes(data)
        try:
            assert read(tmp_path / "a.mat") == EVENTS  # some bits mean nothing
        except EventFileError:
            refused += 1
    assert refused > 0.95 * 8 * (len(raw) - 128) / 5


@pytest.mark.parametrize("claimed", [1_000_000_000, 400_000])
def test_a_variable_that_inflates_without_end(tmp_path, peak_memory, claimed):
    bomb = compressed(variable(b"x", bytes(50_000_000), shape=(claimed, 1)))
    lying = compressed(struct.pack("<II", 14, 48 + claimed) + variable(b"x", bytes(50_000_000), shape=(claimed, 1))[8:])
    for element in (bomb, lying):
        assert peak_memory(lambda element=element: reason_of(tmp_path / "a.mat", **whole(x=element))) < 1_000_000


def test_no_events(tmp_path):
    write(tmp_path / "a.mat", Events.empty((9, 6)))
    assert read(tmp_path / "a.mat", sensor_size=(9, 6)) == Events.empty((9, 6))
    scipy.io.savemat(tmp_path / "b.mat", {name: np.zeros((0, 0)) for name in COLUMNS}, do_compression=True)
    assert read(tmp_path / "b.mat", sensor_size=(9, 6)) == Events.empty((9, 6))
