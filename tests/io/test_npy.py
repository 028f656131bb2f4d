import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventzoo.errors import EventFileError
from eventzoo.io.npy import read_npy

BOXES = np.dtype([("ts", "<u8"), ("x", "<f4"), ("class_id", "u1"), ("track_id", "<u4")], align=True)
ARRAYS = [
    np.array([(1, 2.5, 3, 4), (5, 6.5, 7, 8)], BOXES),
    np.empty(0, BOXES),
    np.arange(12.0).reshape(3, 4),
    np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    np.arange(6, dtype=">i2").reshape(1, 2, 3),
    np.array(7),
    np.empty((0, 4), np.float32),
    np.arange(5) > 2,
]


def saved(array, version=(1, 0)):
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version)
    return file.getvalue()


@pytest.mark.parametrize("array", ARRAYS, ids=str)
@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_reads_what_numpy_writes(tmp_path, array, version):
    (tmp_path / "a.npy").write_bytes(saved(array, version))
    found = read_npy(tmp_path / "a.npy")
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(found, array)
    assert not found.flags.writeable


@pytest.mark.parametrize(
    "array",
    [
        np.array([{}]),
        np.array(["a"]),
        np.zeros(2, "c16"),
        np.zeros(2, "M8[us]"),
        np.zeros(2, [("a", "f4", (2,))]),
        np.zeros(2, [("a", "O")]),
    ],
    ids=lambda array: str(array.dtype),
)
def test_anything_but_numbers_is_refused(tmp_path, array):
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(EventFileError, match=r"a\.npy, byte 8: the header's descr"):
        read_npy(tmp_path / "a.npy")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[:-1], "promises 96 bytes of values, the file holds 95"),
        (lambda data: data + b"0", "promises 96 bytes of values, the file holds 97"),
        (lambda data: data[:100], "truncated or damaged"),
        (lambda data: data[:7], "does not begin"),
        (lambda data: b"", "does not begin"),
        (lambda data: data.replace(b"(3, 4)", b"(3, x)"), "no shape"),
        (lambda data: data.replace(b"(3, 4), }", b"(3" + b"0" * 9), "no shape"),
        (lambda data: data.replace(b"(3, 4), }        ", b"(0, 999999999), }"), "does not fit"),
        (lambda data: data.replace(b"(3, 4), }" + b" " * 20, b"(" + b"1," * 9 + b"12), }     "), "does not fit"),
        (lambda data: data.replace(b"fortran", b"pascals"), "no fortran_order"),
    ],
)
def test_damaged(tmp_path, change, message):
    (tmp_path / "a.npy").write_bytes(change(saved(ARRAYS[2])))
    with pytest.raises(EventFileError, match=message):
        read_npy(tmp_path / "a.npy")


def test_missing(tmp_path):
    with pytest.raises(EventFileError, match="no such file"):
        read_npy(tmp_path / "a.npy")
    with pytest.raises(EventFileError, match="no such file"):
        read_npy(tmp_path)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(ARRAYS), st.lists(st.tuples(st.integers(0, 180), st.integers(0, 255)), min_size=1, max_size=4))
def test_mutated_files_give_an_array_or_an_error(new_path, array, changes):
    data = bytearray(saved(array))
    for at, byte in changes:
        data[at % len(data)] = byte
    path = new_path(".npy")
    path.write_bytes(data)
    try:
        assert read_npy(path).nbytes <= len(data)
    except EventFileError:
        pass
    finally:
        path.unlink()
