import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventzoo.data.boxes import Boxes
from eventzoo.data.dataset import Sample
from eventzoo.errors import DatasetNotFoundError, EventFileError, EventZooError
from eventzoo.events import Events
from eventzoo.io import read, write
from eventzoo.plugins.datasets.gen1 import Gen1

NEWER = [("t", "<i8"), *((name, "<f4") for name in "xywh"), ("class_id", "<u4"), ("track_id", "<u4"), ("class_confidence", "<f4")]
OLDER = np.dtype(
    [("ts", "<u8"), *((name, "<f4") for name in "xywh"), ("class_id", "u1"), ("confidence", "<f4"), ("track_id", "<u4")], align=True
)
FOLDER = "detection_dataset_duration_60s_ratio_1.0"


def recording(seed=0, count=4000, duration=2_000_000):
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(0, duration, count))
    return Events(rng.integers(0, 304, count), rng.integers(0, 240, count), t, rng.random(count) < 0.5, (304, 240))


def labels(rows, dtype=OLDER):
    """Rows of time, x, y, width, height, class."""
    records = np.zeros(len(rows), dtype)
    for name, values in zip((records.dtype.names[0], *"xywh", "class_id"), np.array(rows, np.float64).reshape(-1, 6).T, strict=True):
        records[name] = values
    return records


def put(folder, name, events, rows, dtype=OLDER):
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / f"{name}_td.dat", events)
    np.save(folder / f"{name}_bbox.npy", labels(rows, dtype))


ROWS = [
    (1_000_000, 10, 20, 40, 30, 0),
    (600_000, 100, 50, 60, 40, 0),
    (1_000_000, 200, 100, 20, 40, 1),
]


@pytest.fixture
def root(tmp_path):
    put(tmp_path / FOLDER / "train", "b", recording(1), ROWS)
    put(tmp_path / FOLDER / "train", "a", recording(2), [(1_500_000, 0, 0, 50, 50, 1)], NEWER)
    put(tmp_path / FOLDER / "test", "c", recording(3), ROWS[:1])
    return tmp_path


def test_a_sample_is_a_labelled_time_with_all_its_boxes(root):
    dataset = Gen1(str(root))
    assert (len(dataset), dataset.task, dataset.classes) == (3, "detection", ("car", "pedestrian"))
    assert [sample.key for sample in dataset] == ["train/a/1500000", "train/b/600000", "train/b/1000000"]
    sample = dataset[2]
    assert sample.label is None
    assert sample.boxes == Boxes([[10, 20, 50, 50], [200, 100, 220, 140]], [0, 1], [1_000_000] * 2)
    assert dataset[-1].boxes == sample.boxes
    assert dataset[0].boxes.class_ids.tolist() == [1]
    with pytest.raises(IndexError):
        dataset[3]


def test_windows_end_at_the_label(root):
    dataset = Gen1(str(root), window=70_000)
    for index in range(3):
        sample = dataset[index]
        time = int(sample.boxes.t[0])
        whole = read(root / FOLDER / "train" / f"{sample.key.split('/')[1]}_td.dat")
        assert sample.events == whole.between(time - 70_000, time)
        assert len(sample.events) > 50
    early = Gen1(str(root), window=5_000_000)[1]
    assert early.events.t[0] < 5_000
    assert early.events.t[-1] < 600_000


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=80), st.integers(0, 60), st.integers(1, 60))
def test_windows_are_exact_at_events_of_the_same_time(tmp_path_factory, times, label, window):
    folder = tmp_path_factory.mktemp("gen1")
    t = np.sort(times)
    events = Events(np.arange(len(t)), np.zeros(len(t)), t, np.ones(len(t)), (304, 240))
    put(folder / "train", "a", events, [(label + 1, 0, 0, 50, 50, 0)])
    sample = Gen1(str(folder), window=window, skip=0)[0]
    assert sample.events.t.tolist() == [time for time in t if label + 1 - window <= time < label + 1]


def test_events_that_were_delivered_late_are_in_their_window(tmp_path):
    events = recording()
    put(tmp_path / "train", "late", events, [(900_000, 10, 10, 50, 50, 0)])
    path = tmp_path / "train" / "late_td.dat"
    data = bytearray(path.read_bytes())
    start = len(data) - 8 * len(events)
    records = np.frombuffer(data, "<u8", offset=start).copy()
    delivered = np.argsort(events.t + np.random.default_rng(0).uniform(0, 5_000, len(events)))  # up to 5 ms late
    path.write_bytes(bytes(data[:start]) + records[delivered].tobytes())
    window = Gen1(str(tmp_path))[0].events
    wanted = events.between(800_000, 900_000)
    assert window.t.tolist() == wanted.t.tolist()
    assert sorted(zip(window.t, window.x, window.y, strict=True)) == sorted(zip(wanted.t, wanted.x, wanted.y, strict=True))


def test_root_may_be_the_folder_itself(root):
    inner, outer = Gen1(str(root / FOLDER), "test"), Gen1(str(root), "test")
    assert inner[0].key == outer[0].key == "test/c/1000000"
    assert outer.at_split("train")[0].key == "train/a/1500000"


@pytest.mark.parametrize(
    ("row", "box"),
    [
        ((900_000, 10, 20, 40, 30, 0), [10, 20, 50, 50]),
        ((500_000, 10, 20, 40, 30, 0), None),  # within the first half of a second
        ((500_001, 10, 20, 40, 30, 0), [10, 20, 50, 50]),
        ((900_000, 10, 20, 18, 24, 0), [10, 20, 28, 44]),  # the diagonal is 30
        ((900_000, 10, 20, 18, 23.9, 0), None),
        ((900_000, 10, 20, 10, 40, 0), [10, 20, 20, 60]),
        ((900_000, 10, 20, 9.9, 40, 0), None),
        ((900_000, 10, 20, 40, 9.9, 0), None),
        ((900_000, -15, 20, 40, 30, 0), [0, 20, 25, 50]),  # a negative origin makes it narrower
        ((900_000, 10, -8, 40, 30, 0), [10, 0, 50, 22]),
        ((900_000, 280, 220, 40, 40, 0), [280, 220, 304, 240]),
        ((900_000, -35, 20, 40, 30, 0), None),  # 5 pixels of it are left
        ((900_000, 400, 20, 40, 30, 0), None),
        ((900_000, 10, 20, 0, 30, 0), None),
    ],
)
def test_filter(tmp_path, row, box):
    put(tmp_path / "train", "a", recording(), [row, (1_900_000, 0, 0, 99, 99, 1)])
    dataset = Gen1(str(tmp_path))
    assert len(dataset) == (2 if box else 1)  # a time without boxes is no sample
    if box:
        np.testing.assert_allclose(dataset[0].boxes.xyxy, [box])


def test_filter_is_configurable(tmp_path):
    rows = [(0, 0, 0, 50, 50, 0), (10, 0, 0, 5, 50, 0), (20, 0, 0, 12, 12, 0), (30, 0, 0, 50, 50, 1)]
    put(tmp_path / "train", "a", recording(), rows)
    times = [
        [int(sample.boxes.t[0]) for sample in Gen1(str(tmp_path), skip=skip, min_diagonal=diagonal, min_side=side)]
        for skip, diagonal, side in [(0, 0, 0), (0, 30, 0), (-1, 0, 10), (10, 0, 6)]
    ]
    assert times == [[10, 20, 30], [10, 30], [0, 20, 30], [20, 30]]


def test_a_recording_without_boxes_has_no_samples(root):
    put(root / FOLDER / "train", "aa", recording(), [])
    assert [sample.key for sample in Gen1(str(root))] == ["train/a/1500000", "train/b/600000", "train/b/1000000"]
    Gen1(str(root)).verify()


def test_opening_reads_no_events(root):
    broken = root / FOLDER / "train" / "b_td.dat"
    broken.write_bytes(broken.read_bytes()[:-3])
    dataset = Gen1(str(root))
    assert len(dataset) == 3
    assert dataset.source_files() == [root / FOLDER / "train" / f"{name}_{kind}" for name in "ab" for kind in ("td.dat", "bbox.npy")]
    with pytest.raises(EventFileError, match=r"b_td\.dat, byte .*truncated"):
        dataset.verify()


def test_verify_notices_a_recording_that_ends_early(root):
    write(root / FOLDER / "train" / "b_td.dat", recording().between(0, 800_000))
    with pytest.raises(EventFileError, match=r"b_td\.dat: its events end at 799,\d+ µs, its labels at 1,000,000 µs"):
        Gen1(str(root)).verify()
    Gen1(str(root), window=500_000).verify()


def test_missing(tmp_path, root):
    with pytest.raises(DatasetNotFoundError, match=r"Gen1: no val recordings under .*prophesee.*_bbox\.npy"):
        Gen1(str(root), "val")
    (root / FOLDER / "train" / "b_bbox.npy").unlink()
    with pytest.raises(EventFileError, match=r"b_bbox\.npy: there is no such file, which holds the boxes of b_td\.dat"):
        Gen1(str(root))
    (root / FOLDER / "train" / "b_td.dat").unlink()
    assert len(Gen1(str(root))) == 1
    (root / FOLDER / "train" / "a_td.dat").unlink()
    with pytest.raises(EventFileError, match=r"a_bbox\.npy: holds the boxes of a recording that is not here"):
        Gen1(str(root))


def test_wrong_arguments(root):
    with pytest.raises(EventZooError, match="window must be at least 1"):
        Gen1(str(root), window=0)
    with pytest.raises(EventZooError, match="Gen1 has the splits"):
        Gen1(str(root), "training")


@pytest.mark.parametrize(
    ("records", "message"),
    [
        (np.zeros((3, 6)), "lacks the fields ts, x, y, w, h, class_id"),
        (labels(ROWS)[["ts", "x", "y", "w"]], "lacks the fields h, class_id"),
        (labels(ROWS).reshape(3, 1), "lacks the fields of records"),
        (labels([(9, np.nan, 0, 40, 40, 0)]), "box 0 is impossible.*nan"),
        (labels([(9, 0, 0, 40, 40, 0), (9, 0, 0, -4, 40, 0)]), "box 1 is impossible"),
        (labels([(9, 0, 0, 3e38, 40, 0)]), "box 0 is impossible"),
        (labels([(9, 0, 0, 40, 40, 2)]), "box 0 is impossible.*'class_id': 2"),
        (labels([(2**63 + 2048, 0, 0, 40, 40, 0)]), "field ts holds 9223372036854777856, no whole number"),
        (labels([(9.5, 0, 0, 40, 40, 0)], [("t", "f8"), *NEWER[1:]]), r"field t holds 9\.5"),
    ],
)
def test_impossible_boxes(root, records, message):
    np.save(root / FOLDER / "train" / "a_bbox.npy", records)
    with pytest.raises(EventFileError, match=rf"(?s)a_bbox\.npy.*{message}"):
        Gen1(str(root))


def test_boxes_that_would_execute_code_are_refused(root):
    np.save(root / FOLDER / "train" / "a_bbox.npy", np.array([{"t": 1}]), allow_pickle=True)
    with pytest.raises(EventFileError, match="Python objects"):
        Gen1(str(root))


def test_export_keeps_boxes_at_their_times(tmp_path):
    boxes = Boxes([[10, 20, 60, 70], [-5, 0, 60, 40], [11, 21, 61, 71]], [0, 1, 0], [700_000, 700_000, 900_000])
    Gen1.export(tmp_path, "val", [Sample(recording(), None, "x", boxes)])
    first, second = Gen1(str(tmp_path), "val")
    assert first.boxes == boxes[:2].clipped((304, 240))
    assert second.boxes == boxes[2:]
    assert second.events == recording().between(800_000, 900_000)


def test_real_events(realdata, tmp_path):
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "x_td.dat").symlink_to(realdata / "Gen1" / "gen1_20s_td.dat")
    np.save(tmp_path / "test" / "x_bbox.npy", labels([(21_000_000, 10, 20, 40, 30, 0), (21_500_000, 10, 20, 40, 30, 0)]))
    dataset = Gen1(str(tmp_path), "test", window=50_000)
    dataset.verify()
    whole = read(realdata / "Gen1" / "gen1_20s_td.dat")
    for sample, time in zip(dataset, (21_000_000, 21_500_000), strict=True):
        assert sample.events == whole.between(time - 50_000, time)
        assert len(sample.events) > 10_000
