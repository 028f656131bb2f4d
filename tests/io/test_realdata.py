import numpy as np
import pytest

from eventzoo.io import read, read_windows, write


@pytest.mark.parametrize(
    ("name", "events", "first", "last", "size"),
    [
        ("N-Cars/obj_004397_td.dat", 4_407, 0, 99_937, (120, 100)),
        ("N-Caltech101/Caltech101/Faces_easy/image_0001.bin", 67_445, 6, 299_364, (240, 180)),
    ],
)
def test_counts_and_times(realdata, joined, name, events, first, last, size):
    recording = read(realdata / name, sensor_size=size)
    assert (len(recording), recording.t[0], recording.t[-1]) == (events, first, last)
    windows = list(read_windows(realdata / name, duration=10_000, sensor_size=size))
    assert len(windows) == (last - first) // 10_000 + 1
    assert joined(windows, size) == recording


def test_gen1(realdata, tmp_path, joined):
    recording = read(realdata / "Gen1/gen1_20s_td.dat")
    assert (len(recording), recording.sensor_size) == (1_649_148, (304, 240))
    assert (recording.t[0] // 10_000, recording.t[-1] // 10_000) == (2052, 2175)
    assert joined(list(read_windows(realdata / "Gen1/gen1_20s_td.dat", count=100_000)), (304, 240)) == recording
    write(tmp_path / "a.dat", recording)
    written, original = (path.read_bytes() for path in (tmp_path / "a.dat", realdata / "Gen1/gen1_20s_td.dat"))
    assert written[-8 * len(recording) - 2 :] == original[-8 * len(recording) - 2 :]  # with event type and size


def test_ncars_equals_what_another_reader_decoded(realdata):
    recording = read(realdata / "N-Cars/obj_004397_td.dat", sensor_size=(120, 100))
    golden = np.load(realdata / "N-Cars/obj_004397_td.golden.npy")
    for name in "xytp":
        np.testing.assert_array_equal(getattr(recording, name), golden[name])


def test_nmnist(realdata):
    paths = sorted((realdata / "N-MNIST" / "Train").glob("*/*.bin"))
    assert len(paths) == 1000
    recordings = [read(path, sensor_size=(34, 34)) for path in paths]
    counts = [len(recording) for recording in recordings]
    assert (min(counts), max(counts)) == (1_112, 7_152)
    assert all(0.29e6 < recording.duration < 0.33e6 for recording in recordings)
