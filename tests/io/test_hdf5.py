import sys
import zlib

import h5py
import hdf5plugin
import numpy as np
import pytest

from eventzoo.errors import EventFileError
from eventzoo.events import Events
from eventzoo.io import read, read_windows, write

EVENTS = Events([3, 0, 8, 1], [1, 5, 0, 2], [10, 10, 99, 2_500], [0, 1, 1, 0], (9, 6))
COLUMNS = {"x": EVENTS.x.astype("u2"), "y": EVENTS.y.astype("u2"), "t": EVENTS.t.astype("u4"), "p": EVENTS.p.astype("u1")}
PROPHESEE = np.dtype({"names": ["x", "y", "p", "t"], "formats": ["<u2", "<u2", "<i2", "<i8"], "offsets": [0, 2, 4, 8], "itemsize": 16})
STORAGES = {
    "contiguous": {},
    "chunks": {"chunks": (3,)},
    "gzip": {"chunks": (3,), "compression": "gzip", "shuffle": True, "fletcher32": True},
    "blosc": {"chunks": (3,), **hdf5plugin.Blosc("zstd")},
}


def dsec(path, storage=STORAGES["gzip"], offset=0, geometry="9x6", **changed):
    with h5py.File(path, "w") as file:
        for name, values in {**COLUMNS, **changed}.items():
            if values is not None:
                file.create_dataset(f"events/{name}", data=values, **storage)
        file["t_offset"] = np.int64(offset)
        if geometry is not None:
            file.attrs["geometry"] = geometry
    return path


def prophesee(path, storage=STORAGES["gzip"]):
    with h5py.File(path, "w") as file:
        file.create_dataset("CD/events", data=EVENTS.to_structured(PROPHESEE), maxshape=(None,) if storage else None, **storage)
        file.create_dataset("CD/indexes", data=np.zeros(3, [("id", "u8"), ("ts", "i8")]))
        file.attrs["geometry"] = "9x6"
    return path


def reason_of(path):
    with pytest.raises(EventFileError) as caught:
        read(path)
    return str(caught.value)


@pytest.mark.parametrize("storage", STORAGES.values(), ids=STORAGES)
@pytest.mark.parametrize("layout", [dsec, prophesee])
def test_worked_example(tmp_path, block_events, layout, storage):
    path = layout(tmp_path / "a.hdf5", storage)
    assert read(path) == EVENTS
    assert [len(part) for part in read_windows(path, count=3)] == [3, 1]
    assert read(path, start=11) == EVENTS[2:]


@pytest.mark.parametrize("dtype", ["u1", "<i2", ">i4", "<u8", "<f4", "<f8"])
def test_numbers_of_any_kind(tmp_path, dtype):
    t = {"t": COLUMNS["t"].astype("f8" if dtype == "u1" else dtype)}
    assert read(dsec(tmp_path / "a.h5", **{**{name: values.astype(dtype) for name, values in COLUMNS.items()}, **t})) == EVENTS


@pytest.mark.parametrize("p", [np.array([False, True, True, False]), np.array([-1, 1, 1, -1])])
def test_polarities_of_any_kind(tmp_path, p):
    assert read(dsec(tmp_path / "a.h5", p=p)) == EVENTS


def test_the_offset_of_time_is_added(tmp_path, block_events):
    path = dsec(tmp_path / "a.h5", offset=10**15)
    assert read(path).t.tolist() == [10**15 + t for t in EVENTS.t.tolist()]
    assert read(path, start=10**15 + 11, stop=10**15 + 100).t.tolist() == [10**15 + 99]
    for name, offset in {"b.h5": 2**63 - 1, "c.h5": -(2**63)}.items():
        assert "does not fit into 64 bits" in reason_of(dsec(tmp_path / name, offset=offset, t=np.array([-1, 0, 1, 2])))


@pytest.mark.parametrize("geometry", ["9x6", b"9x6", np.bytes_("9x6")])
def test_geometry(tmp_path, geometry):
    assert read(dsec(tmp_path / "a.h5", geometry=geometry)) == EVENTS
    assert read(dsec(tmp_path / "a.h5", geometry=None)) == EVENTS  # the smallest sensor that holds the events


@pytest.mark.parametrize("geometry", ["0x6", "9x99999", "nine", "", np.array([9, 6]), 9, "9" * 10_000])
def test_geometries_that_are_none(tmp_path, geometry):
    path = dsec(tmp_path / "a.h5", geometry=geometry)
    assert "geometry" in reason_of(path)
    assert read(path, sensor_size=(9, 6)) == EVENTS


def test_what_is_written_is_dsecs_layout(tmp_path):
    rng = np.random.default_rng(0)
    t = np.sort(rng.integers(0, 100_000, 500)) + 10**15
    write(tmp_path / "a.h5", Events(t % 9, t % 6, t, t % 2, (9, 6)))
    with h5py.File(tmp_path / "a.h5") as file:
        types = {name: file[name].dtype.str for name in ("events/x", "events/y", "events/t", "events/p", "ms_to_idx", "t_offset")}
        times, index, offset = file["events/t"][:], file["ms_to_idx"][:], file["t_offset"][()]
    assert types == {"events/x": "<u2", "events/y": "<u2", "events/t": "<u4", "events/p": "|u1", "ms_to_idx": "<u8", "t_offset": "<i8"}
    assert (times.astype(np.int64) + offset).tolist() == t.tolist()
    assert len(index) == times[-1] // 1000 + 1
    for ms, first in enumerate(index):
        assert times[first] >= ms * 1000
        assert first == 0 or times[first - 1] < ms * 1000


def test_equal_events_are_written_as_equal_files(tmp_path):
    for name in ("a.h5", "b.h5"):
        write(tmp_path / name, EVENTS)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


@pytest.mark.parametrize("first", [-(2**63), 0, 2**63 - 2**32])
def test_71_minutes_after_the_first_event_can_be_written_and_no_more(tmp_path, monkeypatch, first):
    monkeypatch.setattr("eventzoo.io.formats.hdf5._MILLISECOND", 10**9)  # an index of four million milliseconds takes long
    events = Events([1, 2], [3, 4], [first, first + 2**32 - 1], [0, 1], (9, 6))
    write(tmp_path / "a.h5", events)
    assert read(tmp_path / "a.h5") == events
    if first + 2**32 < 2**63:
        with pytest.raises(EventFileError, match=r"event 1 .* cannot be written: DSEC's layout holds 2\*\*32 µs"):
            write(tmp_path / "b.h5", Events([1, 2], [3, 4], [first, first + 2**32], [0, 1], (9, 6)))


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"x": np.array([3, -1, 8, 0])}, "event 1: x = -1 is not a whole number from 0 to 32767"),
        ({"y": np.array([3, 1, 4.5, 0])}, "event 2: y = 4.5 is not a whole number"),
        ({"t": np.array([3, 4, np.nan, 9])}, "event 2: t = nan is not a whole number"),
        ({"t": np.array([3, 1, 9, 10])}, "time runs backwards at event 1: 1 µs after 3 µs"),
        ({"p": np.array([0, 2, 1, 0])}, "event 1: p = 2 is not a whole number from -1 to 1"),
        ({"p": np.array([-1, 1, 0, 0])}, "p mixes -1 and 0"),
        ({"x": np.array([3, 4, 5])}, "events/x, events/y, events/t, events/p must be equally long, not events/x: 3, events/y: 4"),
        ({"x": None}, "has no dataset events/x"),
        ({"x": np.zeros((4, 1)), "storage": {}}, "events/x is of shape (4, 1); a column of events has one dimension"),
        ({"x": np.int64(3), "storage": {}}, "events/x is of shape ()"),
        ({"x": np.array([b"a", b"b", b"c", b"d"])}, "events/x is of type |S1; a column of events is numbers"),
        ({"x": h5py.Empty("u2"), "storage": {}}, "events/x is of shape None"),
    ],
)
def test_datasets_that_are_no_events(tmp_path, block_events, changed, reason):
    assert reason in reason_of(dsec(tmp_path / "a.h5", **changed))


@pytest.mark.parametrize("value", [np.array([1, 2]), 1.5, b"3"])
def test_an_offset_that_is_none(tmp_path, value):
    with h5py.File(dsec(tmp_path / "a.h5"), "r+") as file:
        del file["t_offset"]
        file["t_offset"] = value
    assert "t_offset is not one whole number" in reason_of(tmp_path / "a.h5")


def test_records_without_a_field(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["CD/events"] = np.zeros(3, [("x", "u2"), ("p", "i2"), ("time", "i8")])
    assert "CD/events has no field y, t" in reason_of(tmp_path / "a.h5")


def test_other_hdf5_files(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["images"] = np.zeros(3)
    assert "has neither events (DSEC) nor CD/events (Prophesee); it holds images" in reason_of(tmp_path / "a.h5")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["events"] = np.zeros((3, 4))
    assert "has no dataset events/x" in reason_of(tmp_path / "b.h5")


def test_data_in_other_files_are_not_read(tmp_path):
    other = dsec(tmp_path / "other.h5")
    (tmp_path / "raw").write_bytes(bytes(100))
    virtual = h5py.VirtualLayout((4,), "u2")
    virtual[:] = h5py.VirtualSource(other, "events/x", (4,))
    for name, link in {
        "a.h5": lambda file: file.update({"events/x": h5py.ExternalLink("other.h5", "events/x")}),
        "b.h5": lambda file: file.create_virtual_dataset("events/x", virtual),
        "c.h5": lambda file: file.create_dataset("events/x", (4,), "u2", external=[("raw", 0, 8)]),
        "d.h5": lambda file: file.update({"events/x": h5py.SoftLink("/events/y")}),
    }.items():
        with h5py.File(dsec(tmp_path / name), "r+") as file:
            del file["events/x"]
            link(file)
        assert ("is a link to elsewhere" if name in ("a.h5", "d.h5") else "lie in other files") in reason_of(tmp_path / name)


def test_a_group_that_is_a_link(tmp_path):
    dsec(tmp_path / "other.h5")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["events"] = h5py.ExternalLink("other.h5", "events")
    assert "events/x is a link to elsewhere" in reason_of(tmp_path / "a.h5")


@pytest.mark.parametrize("compression", ["lzf", hdf5plugin.Zstd(), hdf5plugin.LZ4()])
def test_other_compressions_are_refused_in_words(tmp_path, compression):
    storage = {"chunks": (3,), **({"compression": compression} if isinstance(compression, str) else compression)}
    assert "read are gzip or Blosc" in reason_of(dsec(tmp_path / "a.h5", storage))


def test_prophesees_codec_without_its_plugin(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        creation.set_chunk((3,))
        creation.set_filter(0x8ECF, h5py.h5z.FLAG_OPTIONAL)
        space = h5py.h5s.create_simple((3,))
        h5py.h5d.create(file.create_group("CD").id, b"events", h5py.h5t.py_create(PROPHESEE), space, creation)
    assert "CD/events is compressed with Prophesee's ECF: install its HDF5 plugin" in reason_of(tmp_path / "a.h5")


@pytest.mark.parametrize("module", ["h5py", "hdf5plugin"])
def test_without_the_extra(tmp_path, monkeypatch, module):
    path = dsec(tmp_path / "a.h5")
    monkeypatch.setitem(sys.modules, module, None)
    assert "HDF5 needs h5py and hdf5plugin: pip install eventzoo[hdf5]" in reason_of(path)
    with pytest.raises(EventFileError, match=r"pip install eventzoo\[hdf5\]"):
        write(tmp_path / "b.h5", EVENTS)


def put_chunk(path, data, mask=0, storage=STORAGES["gzip"]):
    """Replace the first chunk of x, which HDF5 itself would not notice before it crashes."""
    with h5py.File(dsec(path, storage), "r+") as file:
        file["events/x"].id.write_direct_chunk((0,), data, mask)
    return path


@pytest.mark.parametrize("size", [0, 5, 7, 1_000_000])
def test_a_chunk_that_inflates_to_another_size(tmp_path, size):
    storage = {"chunks": (3,), "compression": "gzip"}
    assert "the values of events/x from 0 on do not become 6 bytes: broken" in reason_of(
        put_chunk(tmp_path / "a.h5", zlib.compress(bytes(size)), storage=storage)
    )
    assert "do not become 6 bytes" in reason_of(put_chunk(tmp_path / "b.h5", zlib.compress(bytes(6))[:-3], storage=storage))
    assert "do not become 6 bytes" in reason_of(put_chunk(tmp_path / "c.h5", b"no zlib", storage=storage))


def test_a_chunk_that_is_stored_as_it_is(tmp_path):
    storage = {"chunks": (3,), "compression": "gzip"}
    assert read(put_chunk(tmp_path / "a.h5", np.array([3, 0, 8], "u2").tobytes(), mask=1, storage=storage)) == EVENTS
    assert "do not become 6 bytes" in reason_of(put_chunk(tmp_path / "b.h5", bytes(4), mask=1, storage=storage))


def test_a_blosc_chunk_of_another_size(tmp_path):
    with h5py.File(tmp_path / "small.h5", "w") as file:
        data = file.create_dataset("a", data=np.zeros(200, "u2"), chunks=(200,), **hdf5plugin.Blosc("zstd")).id.read_direct_chunk((0,))[1]
    assert "the values of events/x from 0 on do not become 6 bytes: broken" in reason_of(
        put_chunk(tmp_path / "a.h5", data, storage=STORAGES["blosc"])
    )
    assert "do not become 6 bytes" in reason_of(put_chunk(tmp_path / "b.h5", data[:-1], storage=STORAGES["blosc"]))


def test_a_checksum_is_checked(tmp_path):
    path = dsec(tmp_path / "a.h5", {"chunks": (4,), "fletcher32": True})
    raw = bytearray(path.read_bytes())
    raw[raw.index(COLUMNS["x"].tobytes())] ^= 1
    path.write_bytes(raw)
    assert "broken, truncated or no HDF5 file" in reason_of(path)


@pytest.mark.parametrize("chunk", [1 << 10, 1 << 30])
def test_values_that_were_never_stored(tmp_path, peak_memory, chunk):
    with h5py.File(dsec(tmp_path / "a.h5"), "r+") as file:
        for name in "xytp":
            del file[f"events/{name}"]
            file.create_dataset(f"events/{name}", (1 << 32,), "u4", chunks=(chunk,), compression="gzip")
    said = []
    assert peak_memory(lambda: said.append(reason_of(tmp_path / "a.h5"))) < 1_000_000
    assert ("4,194,304 chunks of events/x are missing" if chunk == 1 << 10 else "has chunks of 4,294,967,296 bytes") in said[0]


def test_a_contiguous_dataset_that_was_never_stored(tmp_path):
    with h5py.File(dsec(tmp_path / "a.h5"), "r+") as file:
        del file["events/x"]
        file.create_dataset("events/x", (4,), "u2")
    assert "events/x promises 8 bytes, but holds at most 0" in reason_of(tmp_path / "a.h5")


@pytest.mark.parametrize("libver", ["earliest", "v110", "latest"])
def test_a_text_among_other_attributes(tmp_path, libver):
    with h5py.File(tmp_path / "a.h5", "w", libver=libver) as file:
        for number in range(6):
            file.attrs[f"serial_{number}"] = "0" * 30 * number
        file.attrs["geometry"] = "9x6"
        file.attrs["format"] = "ECF"
        for name, values in COLUMNS.items():
            file.create_dataset(f"events/{name}", data=values)
    assert read(tmp_path / "a.h5").sensor_size == (9, 6)


@pytest.mark.parametrize(
    ("heap_offset", "data"),
    [(40, bytes(24)), (24, b"\xff" * 8), (24, bytes(8)), (16, b"\7"), (0, b"X")],
    ids=["free space of nothing", "object too long", "object of nothing", "no such object", "no heap"],
)
def test_a_broken_heap_of_texts(tmp_path, peak_memory, heap_offset, data):
    path = dsec(tmp_path / "a.h5")
    raw = path.read_bytes()
    at = raw.index(b"GCOL") + heap_offset
    path.write_bytes(raw[:at] + data + raw[at + len(data) :])
    if heap_offset == 40:  # behind the text
        assert read(path) == EVENTS
    else:
        assert "the text of the attribute geometry is not where it should be" in reason_of(path)
    assert read(path, sensor_size=(9, 6)) == EVENTS


def test_a_text_that_claims_gigabytes(tmp_path):
    path = dsec(tmp_path / "a.h5")
    raw = path.read_bytes()
    reference = (3).to_bytes(4, "little") + raw.index(b"GCOL").to_bytes(8, "little")
    assert raw.count(reference) == 1
    path.write_bytes(raw.replace(reference, b"\xff\xff\xff\xff" + reference[4:]))
    assert "the text of the attribute geometry is not where it should be" in reason_of(path)


@pytest.mark.parametrize("libver", ["earliest", "latest"])
@pytest.mark.parametrize("storage", STORAGES.values(), ids=STORAGES)
def test_mutations_of_what_others_write(tmp_path, storage, libver):
    rng = np.random.default_rng(1)
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver=libver) as file:
        for name, values in COLUMNS.items():
            file.create_dataset(f"events/{name}", data=values, **storage)
        file.attrs["geometry"] = "9x6"
    raw = path.read_bytes()
    used = np.flatnonzero(np.frombuffer(raw, np.uint8))  # most of such a small file is empty space
    refused = 0
    for _ in range(100):
        data = np.frombuffer(raw, np.uint8).copy()
        data[rng.choice(used, 2)] = rng.integers(0, 256, 2)
        path.unlink()
        path.write_bytes(data)
        try:
            Events(*(getattr(read(path), name) for name in ("x", "y", "t", "p", "sensor_size")))
        except EventFileError:
            refused += 1
    assert refused > 10


def test_a_file_behind_a_block_of_its_user(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w", userblock_size=512) as file:
        for name, values in COLUMNS.items():
            file.create_dataset(f"events/{name}", data=values, **STORAGES["gzip"])
    assert read(tmp_path / "a.h5") == EVENTS
