import struct
import zipfile

import numpy as np
import pytest

from eventzoo.errors import EventFileError
from eventzoo.events import Events
from eventzoo.io import read, read_windows, write

ARRAYS = {"x": np.array([3, 0, 8]), "y": np.array([1, 5, 0]), "t": np.array([10, 10, 99]), "p": np.array([0, 1, 1])}
EVENTS = Events([3, 0, 8], [1, 5, 0], [10, 10, 99], [0, 1, 1], (9, 6))


def npy(descr, shape, data, version=1):
    """A .npy array by its definition, whether it is true or not."""
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    prefix = b"\x93NUMPY" + bytes((version, 0)) + struct.pack("<H" if version == 1 else "<I", len(header))
    return prefix + header + data


def archive(path, compression=zipfile.ZIP_STORED, **members):
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in members.items():
            file.writestr(f"{name}.npy", data)


def columns(length="(2,)"):
    return {
        "x": npy("'<i2'", length, b"\x03\x00\x04\x00"),
        "y": npy("'|u1'", length, b"\x01\x02"),
        "t": npy("'>i4'", length, b"\x00\x00\x00\x09\x00\x00\x01\x00"),
        "p": npy("'|b1'", length, b"\x01\x00"),
    }


def refused(path, reason):
    with pytest.raises(EventFileError, match=reason):
        read(path)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_worked_example(tmp_path, block_events, compression):
    path = tmp_path / "a.npz"
    archive(path, compression, **columns(), sensor_size=npy("'<i8'", "(2,)", struct.pack("<qq", 34, 35)))
    assert read(path) == Events([3, 4], [1, 2], [9, 256], [1, 0], (34, 35))
    assert list(read_windows(path, count=1)) == [Events([3], [1], [9], [1], (34, 35)), Events([4], [2], [256], [0], (34, 35))]


@pytest.mark.parametrize("version", [1, 2, 3])
def test_headers_that_others_write(tmp_path, version):
    two = {"x": "(2L,)", "y": "( 2 , )", "t": "(2,)", "p": "(2)"}
    types = {"x": "'<i2'", "y": '"|i1"', "t": "'<u8'", "p": "'|i1'"}
    data = {"x": b"\x03\x00\x04\x00", "y": b"\x01\x02", "t": struct.pack("<QQ", 0, 2**63 - 1), "p": b"\xff\x01"}
    archive(tmp_path / "a.npz", **{name: npy(types[name], two[name], data[name], version) for name in "xytp"})
    assert read(tmp_path / "a.npz") == Events([3, 4], [1, 2], [0, 2**63 - 1], [0, 1], (5, 3))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("dtype", ["i1", "u1", "<i2", ">i2", "<u4", ">i8", "<u8", ">u8", "<f2", ">f4", "<f8"])
def test_numbers_of_any_kind(tmp_path, block_events, save, dtype):
    save(tmp_path / "a.npz", **{name: values.astype(dtype) for name, values in ARRAYS.items()})
    assert read(tmp_path / "a.npz") == EVENTS


@pytest.mark.parametrize("p", [np.array([False, True, True]), np.array([-1, 1, 1]), np.array([-1, 1, 1], "i1")])
def test_polarities_of_any_kind(tmp_path, block_events, p):
    np.savez(tmp_path / "a.npz", **{**ARRAYS, "p": p})
    assert read(tmp_path / "a.npz") == EVENTS
    assert len(list(read_windows(tmp_path / "a.npz", count=2, sensor_size=(9, 6)))) == 2


def test_spikingjellys_files(tmp_path):
    t = np.array([195.0, 3_000_017.0, 2.0**53])
    np.savez_compressed(tmp_path / "a.npz", t=t, x=np.array([239.0, 0, 8]), y=np.array([179.0, 3, 4]), p=np.array([1.0, 0, 1]))
    assert read(tmp_path / "a.npz", sensor_size=(240, 180)) == Events([239, 0, 8], [179, 3, 4], t.astype(int), [1, 0, 1], (240, 180))


def test_what_is_written_is_what_numpy_reads(tmp_path):
    write(tmp_path / "a.npz", EVENTS)
    with np.load(tmp_path / "a.npz") as arrays:
        types = {name: arrays[name].dtype.str for name in arrays}
        assert arrays["sensor_size"].tolist() == [9, 6]
        assert arrays["t"].tolist() == [10, 10, 99]
    assert types == {"x": "<i2", "y": "<i2", "t": "<i8", "p": "|b1", "sensor_size": "<i8"}


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"x": np.array([3, -1, 8])}, "event 1: x = -1 is not a whole number from 0 to 32767"),
        ({"y": np.array([3, 1, 40000])}, "event 2: y = 40000 is not a whole number from 0 to 32767"),
        ({"t": np.array([3, 4, 2**63], np.uint64)}, "event 2: t = 9223372036854775808 is not"),
        ({"t": np.array([3, 1, 9])}, "time runs backwards at event 1: 1 µs after 3 µs"),
        ({"p": np.array([0, 2, 1])}, "event 1: p = 2 is not a whole number from -1 to 1"),
        ({"p": np.array([-1, 1, 0])}, "p mixes -1 and 0"),
        ({"t": np.array([1.0, 2.5, 3.0])}, "event 1: t = 2.5 is not a whole number"),
        ({"t": np.array([0, 1, np.nan])}, "event 2: t = nan is not a whole number"),
        ({"t": np.array([0, 1, np.inf])}, "event 2: t = inf is not a whole number"),
        ({"t": np.array([0, 1, 2.0**63])}, "event 2: t = 9.223372036854776e+18 is not"),
        ({"x": np.array([3, 32768, 8], "f4")}, "event 1: x = 32768.0 is not a whole number from 0 to 32767"),
        ({"p": np.array([0, 0.5, 1])}, "event 1: p = 0.5 is not a whole number from -1 to 1"),
        ({"t": np.array([1j, 2, 3])}, "t.npy is of dtype <c16; a column of events is numbers"),
        ({"t": np.array(["1", "2", "3"])}, "t.npy is of dtype <U1; a column of events is numbers"),
        ({"x": np.array([{}, [], None], object)}, "x.npy is of dtype |O"),
        ({"x": np.zeros(3, [("x", "i2")])}, "x.npy is structured"),
        ({"x": np.zeros((3, 1), int)}, "x.npy is of shape (3, 1)"),
        ({"x": np.int64(3)}, "x.npy is of shape ()"),
        ({"x": np.array([3, 4])}, "equally long, not x: 2, y: 3, t: 3, p: 3"),
        ({"sensor_size": np.array([9, 6, 1])}, "sensor_size.npy holds no pair"),
        ({"sensor_size": np.array([9, 0])}, "sensor_size.npy holds [9, 0]"),
        ({"sensor_size": np.array([9, 6.5])}, "sensor_size.npy holds [9.0, 6.5]"),
        ({"sensor_size": np.array([9, 5])}, "event 1 at (x, y) = (0, 5) lies outside the 9×5 sensor"),
    ],
)
def test_arrays_that_are_no_events(tmp_path, block_events, changed, reason):
    np.savez(tmp_path / "a.npz", **{**ARRAYS, **changed})
    with pytest.raises(EventFileError) as caught:
        read(tmp_path / "a.npz")
    assert reason in str(caught.value)


def test_missing_arrays_are_named(tmp_path):
    np.savez(tmp_path / "a.npz", x=ARRAYS["x"], t=ARRAYS["t"], events=ARRAYS["p"])
    with pytest.raises(EventFileError, match=r"no array y, p: .* the archive holds \['x.npy', 't.npy', 'events.npy'\]"):
        read(tmp_path / "a.npz")


def test_no_events(tmp_path):
    write(tmp_path / "a.npz", Events.empty((34, 35)))
    assert read(tmp_path / "a.npz") == Events.empty((34, 35))
    assert list(read_windows(tmp_path / "a.npz", duration=5)) == []
    np.savez(tmp_path / "b.npz", **{name: values[:0] for name, values in ARRAYS.items()})
    with pytest.raises(EventFileError, match="holds no events and no sensor size"):
        read(tmp_path / "b.npz")


@pytest.mark.parametrize("length", ["(1,)", "(3,)", "(1000000000000,)", "(-2,)", "(2, 1)", "(99999999999999999999,)", "None"])
def test_a_header_that_lies_about_the_shape(tmp_path, peak_memory, length):
    path = tmp_path / "a.npz"
    archive(path, zipfile.ZIP_DEFLATED, **columns(length))
    assert peak_memory(lambda: refused(path, r"x\.npy")) < 2_000_000


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_archive_that_lies_about_its_size(tmp_path, peak_memory, compression):
    path = tmp_path / "a.npz"
    arrays = columns("(400000000,)")
    archive(path, compression, **arrays)
    raw = path.read_bytes()
    with zipfile.ZipFile(path) as file:
        for info, width, honest in zip(file.infolist(), (2, 1, 4, 1), (4, 2, 8, 2), strict=True):
            claimed = info.file_size - honest + width * 400_000_000
            sizes = [struct.pack("<III", info.CRC, info.compress_size, size) for size in (info.file_size, claimed)]
            assert raw.count(sizes[0]) == 2
            raw = raw.replace(*sizes)
    path.write_bytes(raw)
    assert peak_memory(lambda: refused(path, r"x\.npy")) < 2_000_000


def test_a_flipped_bit_in_the_values_is_found_by_the_checksum(tmp_path):
    np.savez(tmp_path / "a.npz", **ARRAYS)
    raw = bytearray((tmp_path / "a.npz").read_bytes())
    raw[raw.index(struct.pack("<q", 99))] ^= 1
    (tmp_path / "a.npz").write_bytes(raw)
    with pytest.raises(EventFileError, match=r"Bad CRC-32 for file 't\.npy'"):
        read(tmp_path / "a.npz")


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_are_refused_in_words(tmp_path, compression):
    archive(tmp_path / "a.npz", compression, **columns())
    with pytest.raises(EventFileError, match="only deflate is known"):
        read(tmp_path / "a.npz")
