import csv

import numpy as np
import pytest

from eventzoo.data.boxes import Boxes
from eventzoo.data.dataset import Sample
from eventzoo.errors import DatasetNotFoundError, EventFileError, EventZooError
from eventzoo.events import Events
from eventzoo.io import write
from eventzoo.plugins.datasets.ncaltech101 import NCaltech101

FILES = [
    *(f"accordion/image_{number:04d}" for number in (1, 5, 10, 12, 20, 25)),
    *("BACKGROUND_Google/image_0003", "BACKGROUND_Google/image_0010", "Faces_easy/image_0002", "yin_yang/image_0030"),
]
EVENTS, BOXES = "Caltech101", "Caltech101_annotations"


def recording(seed=0, count=400, last=299_999):
    rng = np.random.default_rng(seed)
    t = np.append(np.sort(rng.integers(0, last, count - 1)), last)
    return Events(rng.integers(0, 240, count), rng.integers(0, 180, count), t, rng.random(count) < 0.5, (240, 180))


def annotate(path, corners, header=(2, 5)):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(np.array([*header, *corners, *corners[:2], 2, 1, 7, 7], "<i2").tobytes())


@pytest.fixture
def root(tmp_path):
    for seed, name in enumerate(FILES):
        path = tmp_path / EVENTS / f"{name}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, recording(seed))
        if "BACKGROUND" not in name:
            annotate(tmp_path / BOXES / f"{name.replace('image', 'annotation')}.bin", (20, 10, 100, 10, 100, 90, 20, 90))
    return tmp_path


@pytest.mark.parametrize(
    ("split", "names", "labels"),
    [
        ("train", ["accordion/image_0001", "accordion/image_0012", "BACKGROUND_Google/image_0003", "Faces_easy/image_0002"], [0, 0, 4, 37]),
        ("val", ["accordion/image_0005", "accordion/image_0025"], [0, 0]),
        ("test", ["accordion/image_0010", "accordion/image_0020", "BACKGROUND_Google/image_0010", "yin_yang/image_0030"], [0, 0, 4, 100]),
    ],
)
def test_splits(root, split, names, labels):
    dataset = NCaltech101(str(root), split)
    samples = list(dataset)
    assert [sample.key for sample in samples] == [f"{EVENTS}/{name}" for name in names]
    assert [sample.label for sample in samples] == labels
    assert [dataset.classes[label] for label in labels] == [name.split("/")[0] for name in names]
    assert all(sample.events == recording(FILES.index(name)) for sample, name in zip(samples, names, strict=True))
    assert all(sample.boxes is None for sample in samples)
    dataset.verify()


def lists(folder, **splits):
    files = {}
    for split, rows in splits.items():
        files[split] = str(folder / f"{split}.csv")
        (folder / f"{split}.csv").write_text("\n".join(["events_file_path,class_index", *rows, ""]))
    return files


def test_published_lists(root):
    files = lists(
        root,
        train=["yin_yang/image_0030.bin,100", "accordion/image_0010.bin,0", "accordion/image_0001.bin,0", "accordion/image_0012.bin,0"],
        test=["BACKGROUND_Google/image_0003.bin,4", "accordion/image_0025.bin,0"],
    )

    def keys(split, files=files, **more):
        return [sample.key.removeprefix(f"{EVENTS}/") for sample in NCaltech101(str(root), split, split_files=files, **more)]

    assert keys("train") == ["accordion/image_0001", "accordion/image_0012"]
    assert keys("val") == ["accordion/image_0010", "yin_yang/image_0030"]
    assert keys("test") == ["accordion/image_0025", "BACKGROUND_Google/image_0003"]
    assert keys("test", task="detection") == ["accordion/image_0025"]
    files |= lists(root, val=["Faces_easy/image_0002.bin,37"])
    assert keys("val", files) == ["Faces_easy/image_0002"]
    assert len(keys("train", files)) == 4
    assert NCaltech101(str(root), split_files=files).at_split("val")[0].label == 37
    assert NCaltech101(str(root), split_files=files).source_files()[-1] == root / "val.csv"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("events_file_path,class_index\naccordion/image_0001.bin,1\n", "line 2: 'accordion/image_0001.bin' with the index '1'"),
        ("events_file_path,class_index\naccordion/image_0001.bin,0\naccordion/image_0099.bin,0\n", "line 3 lists .*, which is not in"),
        ("events_file_path,class_index\n../accordion/image_0001.bin,0\n", "line 2: '../accordion"),
        ("events_file_path,class_index\naccordion/image_0001.bin\n", "line 2: .* with the index ''"),
        ("accordion/image_0001.bin,0\n", "must name the columns events_file_path and class_index"),
        ("", "must name the columns"),
        ("events_file_path,class_index\n\xff", "cannot be read as CSV"),
    ],
)
def test_damaged_lists(root, text, message):
    files = lists(root, train=[], test=[])
    (root / "train.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(EventFileError, match=rf"train\.csv.*{message}"):
        NCaltech101(str(root), split_files=files)


def test_wrong_arguments(root):
    with pytest.raises(EventZooError, match="tasks classification, detection, not 'tracking'"):
        NCaltech101(str(root), task="tracking")
    for files in ({"train": "x"}, {"train": "x", "test": "y", "validation": "z"}):
        with pytest.raises(EventZooError, match="a file each for train and test"):
            NCaltech101(str(root), split_files=files)
    with pytest.raises(EventFileError, match=r"nowhere\.csv: cannot be read"):
        NCaltech101(str(root), split_files={"train": "nowhere.csv", "test": "nowhere.csv"})


def test_detection_samples(root):
    dataset = NCaltech101(str(root), task="detection")
    assert len(dataset.classes) == 100
    assert "BACKGROUND_Google" not in dataset.classes
    assert [dataset.classes[sample.boxes.class_ids[0]] for sample in dataset] == ["accordion", "accordion", "Faces_easy"]
    sample = dataset[2]
    assert (sample.label, sample.boxes.class_ids.tolist(), sample.boxes.t.tolist()) == (None, [36], [299_999])
    np.testing.assert_allclose(sample.boxes.xyxy, [[20, 10, 100, 90]], atol=1e-3)  # the last saccade ends where the first began
    dataset.verify()
    assert dataset.source_files()[-1] == root / BOXES / "Faces_easy" / "annotation_0002.bin"
    assert dataset.at_split("test").task == "detection"
    assert len(NCaltech101(str(root)).classes) == 101


@pytest.mark.parametrize(
    ("time", "right", "down"),
    [
        (0, 0, 0),
        (50_000, 1.75, 3.5),
        (100_000, 3.5, 7),
        (150_000, 5.25, 3.5),
        (200_000, 7, 0),
        (250_000, 3.5, 0),
        (300_000, 0, 0),
        (310_000, 0, 0),
    ],
)
def test_the_box_moves_with_the_saccades(root, time, right, down):
    write(root / EVENTS / "Faces_easy" / "image_0002.bin", recording(0, 400, 320_000))
    sample = NCaltech101(str(root), task="detection", stop=time + 1)[2]
    last = int(sample.events.t[-1]) if len(sample.events) else 0
    assert time - 5_000 < last <= time
    slack = 7 * 5_000 / 100_000
    np.testing.assert_allclose(sample.boxes.xyxy, [[20 + right, 10 + down, 100 + right, 90 + down]], atol=slack)
    assert sample.boxes.t.tolist() == [last]


def test_start_and_stop(root):
    sample = NCaltech101(str(root), start=100_000, stop=150_000)[0]
    assert sample.events == recording(0).between(100_000, 150_000)
    moved = NCaltech101(str(root), task="detection", start=200_000, stop=200_001)[0]
    assert len(moved.events) == 0
    np.testing.assert_allclose(moved.boxes.xyxy, [[27, 10, 107, 90]])


@pytest.mark.parametrize(
    ("corners", "box"),
    [
        ((-12, -3, 60, -3, 60, 50, -12, 50), [0, 0, 60, 50]),
        ((200, 100, 260, 100, 260, 190, 200, 190), [200, 100, 240, 180]),
        ((60, 50, 20, 50, 20, 10, 60, 10), [20, 10, 60, 50]),
    ],
)
def test_corners(root, corners, box):
    annotate(root / BOXES / "accordion" / "annotation_0001.bin", corners, header=(2, 4))
    np.testing.assert_allclose(NCaltech101(str(root), task="detection")[0].boxes.xyxy, [box], atol=1e-3)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "truncated: it has 0 bytes"),
        (np.arange(9, dtype="<i2").tobytes(), "truncated: it has 18 bytes"),
        (b"123", "cannot be read"),
        (np.array([2, 5, 20, 10, 20, 10, 20, 90, 20, 90], "<i2").tobytes(), "does not begin with the four corners"),
        (np.array([2, 5, 20, 10, 32000, 10, 32000, 90, 20, 90], "<i2").tobytes(), "does not begin with the four corners"),
        (np.array([2, 5, 20, 10, -32768, 10, 50, 90, 20, 90], "<i2").tobytes(), "does not begin with the four corners"),
        (np.array([1, 1, 20, 10, 60, 10, 60, 90, 20, 90], "<i2").tobytes(), "does not begin with the four corners"),
    ],
)
def test_damaged_annotations(root, data, message):
    (root / BOXES / "accordion" / "annotation_0012.bin").write_bytes(data)
    dataset = NCaltech101(str(root), task="detection")
    with pytest.raises(EventFileError, match=rf"annotation_0012\.bin.*{message}"):
        dataset.verify()


def test_missing(root, tmp_path):
    with pytest.raises(DatasetNotFoundError, match=r"NCaltech101: no test recordings under .*nowhere.*garrickorchard"):
        NCaltech101(str(tmp_path / "nowhere"), "test")
    (root / BOXES / "accordion" / "annotation_0012.bin").unlink()
    with pytest.raises(EventFileError, match=r"annotation_0012\.bin: there is no such file, which holds the box"):
        NCaltech101(str(root), task="detection")
    assert len(NCaltech101(str(root))) == 4


@pytest.mark.parametrize("name", ["Faces/image_0001.bin", "accordion/copy.bin", "accordion/image_0001 (1).bin"])
def test_a_recording_outside_the_layout(root, name):
    (root / EVENTS / name).parent.mkdir(exist_ok=True)
    (root / EVENTS / name).write_bytes(bytes(5))
    with pytest.raises(EventZooError, match="remove or rename this"):
        NCaltech101(str(root))


def test_verify_names_a_broken_recording(root):
    path = root / EVENTS / "accordion" / "image_0012.bin"
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(EventFileError, match=r"image_0012\.bin"):
        NCaltech101(str(root)).verify()


def array(events, dtype=np.float64):
    return np.stack((events.x, events.y, events.t * 1e-6, np.where(events.p, 1, -1)), 1).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_copy_with_splits(tmp_path, dtype):
    for seed, name in enumerate(("training/ant/ant_2", "training/accordion/accordion_9", "testing/ant/ant_1", "validation/ant/ant_3")):
        (tmp_path / name).parent.mkdir(parents=True)
        np.save(tmp_path / f"{name}.npy", array(recording(seed), dtype))
    samples = [list(NCaltech101(str(tmp_path), split)) for split in ("train", "val", "test")]
    assert [[sample.key for sample in part] for part in samples] == [
        ["training/accordion/accordion_9", "training/ant/ant_2"],
        ["validation/ant/ant_3"],
        ["testing/ant/ant_1"],
    ]
    assert [sample.label for sample in samples[0]] == [0, 3]
    assert [sample.events for sample in samples[0]] == [recording(1), recording(0)]
    assert NCaltech101(str(tmp_path), start=9_000, stop=80_000)[0].events == recording(1).between(9_000, 80_000)
    NCaltech101(str(tmp_path)).verify()
    with pytest.raises(DatasetNotFoundError):
        NCaltech101(str(tmp_path), task="detection")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (array(recording())[:, :3], r"is no array \[N, 4\]"),
        (array(recording()).astype(np.int64), r"is no array \[N, 4\]"),
        (array(recording()) * (1, 1, 1e6, 1), "not seconds below 100"),
        (array(recording()) * (1, 1, np.nan, 1), "not seconds below 100"),
        (array(recording()) * (2, 1, 1, 1), "lies outside the 240×180 sensor"),
        (array(recording()) * (0.5, 1, 1, 1), "not a whole pixel"),
        (array(recording())[::-1], "time runs backwards"),
    ],
)
def test_damaged_arrays(tmp_path, values, message):
    (tmp_path / "training" / "ant").mkdir(parents=True)
    np.save(tmp_path / "training" / "ant" / "ant_1.npy", values)
    with pytest.raises(EventFileError, match=rf"ant_1\.npy: .*{message}"):
        NCaltech101(str(tmp_path)).verify()


def test_export_keeps_the_box_where_it_is_at_the_end(tmp_path):
    samples = [
        Sample(recording(seed, last=last), 2, "x", Boxes([[30, 40, 90, 100]], [2], [last]))
        for seed, last in enumerate((60_000, 299_000, 150_000))
    ]
    for split in ("train", "val", "test"):
        NCaltech101.export(tmp_path, split, samples)
        loaded = list(NCaltech101(str(tmp_path), split, task="detection"))
        assert [sample.events for sample in loaded] == [sample.events for sample in samples]
        for sample in loaded:
            np.testing.assert_allclose(sample.boxes.xyxy, [[30, 40, 90, 100]], atol=0.51)  # annotations are in whole pixels
    with pytest.raises(EventZooError, match="sample y has no label"):
        NCaltech101.export(tmp_path, "train", [Sample(recording(), None, "y", samples[0].boxes)])


def test_real_recording(realdata):
    dataset = NCaltech101(str(realdata / "N-Caltech101"))
    dataset.verify()
    sample = dataset[0]
    assert (sample.label, sample.key, len(sample.events)) == (37, "Caltech101/Faces_easy/image_0001", 67_445)
    assert sample.events.sensor_size == (240, 180)


def test_the_picture_moves_as_the_boxes_do(realdata):
    """Events of each saccade, moved back at the speed of the boxes, fall together on sharper edges than moved any other way."""
    events = NCaltech101(str(realdata / "N-Caltech101"))[0].events
    for start, way in zip((0, 100_000, 200_000), ((3.5, 7), (3.5, -7), (-7, 0)), strict=True):
        part = events.between(start, start + 100_000)
        seconds = (part.t - start) / 100_000

        def sharpness(right, down, part=part, seconds=seconds):
            pixel = np.rint(part.x - right * seconds + 20).astype(int) + 300 * np.rint(part.y - down * seconds + 20).astype(int)
            return np.bincount(pixel, np.where(part.p, 1, -1)).var()

        others = [(0, 0), (-way[0], -way[1]), (-way[0] or 7, way[1]), (way[0], -way[1] or 7)]
        assert sharpness(*way) > 1.05 * max(sharpness(*other) for other in others)


def test_published_file_lists(realdata, tmp_path):
    """The order of the classes is that of the published lists, which together hold the whole dataset."""
    files = {split: realdata / "splits" / f"Caltech101_{split}_0.csv" for split in ("train", "test")}
    for file in files.values():
        with file.open() as lines:
            for row in csv.DictReader(lines):
                path = tmp_path / EVENTS / row["events_file_path"]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
    names = {split: str(file) for split, file in files.items()}
    train, val, test = (NCaltech101(str(tmp_path), split, split_files=names) for split in ("train", "val", "test"))
    assert (len(train) + len(val), len(test)) == (6_967, 1_742)
    assert 0.18 < len(val) / 6_967 < 0.22
    default = [NCaltech101(str(tmp_path), split) for split in ("train", "val", "test")]
    assert sum(map(len, default)) == 8_709
    for dataset in (train, test, *default):
        assert {label for _, label in dataset.files} == set(range(101))
    assert not set(train.source_files()) & set(val.files)
