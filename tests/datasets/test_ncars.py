import csv

import numpy as np
import pytest

from eventzoo.data.dataset import Sample
from eventzoo.errors import DatasetNotFoundError, EventFileError, EventZooError
from eventzoo.events import Events
from eventzoo.io import write
from eventzoo.plugins.datasets.ncars import NCars

FILES = [
    *("n-cars_train/cars/obj_004400_td.dat", "n-cars_train/cars/obj_012335_td.dat", "n-cars_train/cars/obj_004397_td.dat"),
    *("n-cars_train/background/obj_004211_td.dat", "n-cars_train/background/obj_004215_td.dat"),
    *("n-cars_test/background/obj_000000_td.dat", "n-cars_test/cars/obj_000001_td.dat", "n-cars_test/cars/obj_000000_td.dat"),
]


def recording(seed: int, count: int = 30) -> Events:
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 120, count), rng.integers(0, 100, count)
    return Events(x, y, np.sort(rng.integers(0, 100_000, count)), rng.integers(0, 2, count), (120, 100))


@pytest.fixture(params=[".", "Prophesee_Dataset_n_cars"], ids=["flat", "nested"])
def root(tmp_path, request):
    for seed, name in enumerate(FILES):
        path = tmp_path / request.param / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, recording(seed))
    return tmp_path


@pytest.mark.parametrize(
    ("split", "keys", "labels"),
    [
        (
            "train",
            ["n-cars_train/cars/obj_004397_td", "n-cars_train/background/obj_004211_td"],
            ["car", "background"],
        ),
        (
            "val",
            ["n-cars_train/cars/obj_004400_td", "n-cars_train/cars/obj_012335_td", "n-cars_train/background/obj_004215_td"],
            ["car", "car", "background"],
        ),
        (
            "test",
            ["n-cars_test/cars/obj_000000_td", "n-cars_test/cars/obj_000001_td", "n-cars_test/background/obj_000000_td"],
            ["car", "car", "background"],
        ),
    ],
)
def test_splits(root, split, keys, labels):
    dataset = NCars(str(root), split)
    samples = [dataset[index] for index in range(len(dataset))]
    assert [sample.key for sample in samples] == keys
    assert [dataset.classes[sample.label] for sample in samples] == labels
    assert all(sample.events == recording(FILES.index(sample.key + ".dat")) for sample in samples)
    dataset.verify()


def test_car_is_class_0():
    assert NCars.classes == ("car", "background")


def test_at_another_split(root):
    assert [len(NCars(str(root)).at_split(split)) for split in ("train", "val", "test")] == [2, 3, 3]


def test_missing_folder(tmp_path):
    with pytest.raises(DatasetNotFoundError, match=r"(?s)NCars: no train recordings under .*nowhere.*prophesee.*n-cars_train/cars"):
        NCars(str(tmp_path / "nowhere"))


def test_no_such_split(root):
    with pytest.raises(EventZooError, match="not 'validation'"):
        NCars(str(root), "validation")


@pytest.mark.parametrize("name", ["cars/obj_x_td.dat", "cars/004397.dat", "trucks/obj_004397_td.dat", "obj_004397_td.dat"])
def test_a_recording_outside_the_layout(tmp_path, name):
    path = tmp_path / "n-cars_train" / name
    path.parent.mkdir(parents=True)
    write(path, recording(0))
    with pytest.raises(EventZooError, match=r"cars/obj_<number>_td\.dat") as error:
        NCars(str(tmp_path))
    assert str(path) in str(error.value)


def test_verify_names_a_broken_file(root):
    (broken,) = root.rglob("obj_004211_td.dat")
    broken.write_bytes(broken.read_bytes()[:-3])
    with pytest.raises(EventFileError, match="obj_004211_td"):
        NCars(str(root)).verify()


def test_verify_names_a_file_without_events(root):
    (empty,) = root.rglob("n-cars_test/cars/obj_000001_td.dat")
    write(empty, Events.empty((120, 100)))
    with pytest.raises(EventZooError, match="obj_000001_td"):
        NCars(str(root), "test").verify()


TEXT_FILES = {  # with what is in is_car.txt
    "train": {"sequence_00002": "1", "sequence_00010": "0\n", "sequence_00001": "0", "sequence_00003": " 1 \n"},
    "val": {"sequence_00001": "1"},
    "test": {"sequence_00004": "0"},
}


def text_copy(root, folders=("train", "val", "test")):
    for folder, sequences in zip(folders, TEXT_FILES.values(), strict=True):
        for sequence, is_car in sequences.items():
            (root / folder / sequence).mkdir(parents=True)
            write(root / folder / sequence / "events.txt", recording(len(sequence + is_car)), encoding="xytp")
            (root / folder / sequence / "is_car.txt").write_text(is_car)
    return root


@pytest.mark.parametrize("folders", [("train", "val", "test"), ("training", "validation", "testing"), ("training", "validation", "test")])
def test_splits_of_a_copy_as_text(tmp_path, folders):
    text_copy(tmp_path, folders)
    for split, folder in zip(("train", "val", "test"), folders, strict=True):
        dataset = NCars(str(tmp_path), split)
        dataset.verify()
        cars = sorted(name for name, is_car in TEXT_FILES[split].items() if "1" in is_car)
        others = sorted(name for name, is_car in TEXT_FILES[split].items() if "0" in is_car)
        assert [sample.key for sample in dataset] == [f"{folder}/{name}/events" for name in cars + others]
        assert [sample.label for sample in dataset] == [0] * len(cars) + [1] * len(others)
        assert {file.name for file in dataset.source_files()} == {"events.txt", "is_car.txt"}
    assert NCars(str(tmp_path), "val")[0].events == recording(len("sequence_000011"))


def test_numbers_of_a_copy_as_text_may_be_floats(tmp_path):
    text_copy(tmp_path)
    events = recording(0)
    columns = np.stack([events.x, events.y, events.t, events.p], 1).astype(np.float32)
    np.savetxt(tmp_path / "val" / "sequence_00001" / "events.txt", columns)
    assert NCars(str(tmp_path), "val")[0].events == events


@pytest.mark.parametrize("text", ["", "2", "car", "\xff"])
def test_a_copy_as_text_with_a_broken_label(tmp_path, text):
    (text_copy(tmp_path) / "train" / "sequence_00002" / "is_car.txt").write_text(text, "latin-1")
    with pytest.raises(EventFileError, match=r"sequence_00002/is_car\.txt: (holds .*, not 1 for a car|cannot be read)"):
        NCars(str(tmp_path))


def test_a_copy_as_text_without_a_label(tmp_path):
    (text_copy(tmp_path) / "train" / "sequence_00002" / "is_car.txt").unlink()
    with pytest.raises(EventFileError, match=r"sequence_00002/is_car\.txt: cannot be read.*events\.txt of N-Cars needs one beside it"):
        NCars(str(tmp_path))


def test_verify_names_a_broken_line(tmp_path):
    file = text_copy(tmp_path) / "train" / "sequence_00010" / "events.txt"
    file.write_text(file.read_text().replace("\n", " 7\n", 3))
    with pytest.raises(EventFileError, match=r"sequence_00010/events\.txt, byte 0: line 1"):
        NCars(str(tmp_path)).verify()


def test_published_files_win(root):
    text_copy(root / "Prophesee_Dataset_n_cars" if (root / "Prophesee_Dataset_n_cars").is_dir() else root)
    assert len(NCars(str(root))) == 2


@pytest.mark.parametrize("layout", ["dat", "text"])
def test_what_is_exported_is_read(tmp_path, layout):
    for split in ("train", "val", "test"):
        samples = [Sample(recording(number), number % 2, str(number)) for number in range(5)]
        NCars.export(tmp_path, split, samples, layout)
        loaded = list(NCars(str(tmp_path), split))
        assert [sample.label for sample in loaded] == [0, 0, 0, 1, 1]
        assert [sample.events for sample in loaded] == [recording(number) for number in (0, 2, 4, 1, 3)]


def test_real_recording(realdata, tmp_path):
    (tmp_path / "n-cars_train" / "cars").mkdir(parents=True)
    (tmp_path / "n-cars_train" / "cars" / "obj_004397_td.dat").symlink_to(realdata / "N-Cars" / "obj_004397_td.dat")
    dataset = NCars(str(tmp_path))
    dataset.verify()
    sample = dataset[0]
    assert (sample.label, sample.key, len(sample.events)) == (0, "n-cars_train/cars/obj_004397_td", 4407)
    golden = np.load(realdata / "N-Cars" / "obj_004397_td.golden.npy")
    assert sample.events == Events.from_structured(golden, (120, 100))


def test_published_file_list(realdata, tmp_path):
    for part in ("train", "test"):
        with (realdata / "splits" / f"Prophesee_Dataset_n_cars_n-cars_{part}.csv").open() as file:
            rows = list(csv.DictReader(file))
        for folder in ("cars", "background"):
            (tmp_path / f"n-cars_{part}" / folder).mkdir(parents=True)
        for row in rows:
            (tmp_path / row["events_file_path"]).touch()
    train, val, test = (NCars(str(tmp_path), split) for split in ("train", "val", "test"))
    assert (len(train), len(val), len(test)) == (15_422 - 3_084, 3_084, 8_607)
    assert sum(label == 0 for _, label in test.files) == 4_396


def test_events_that_were_delivered_late_are_sorted(tmp_path):
    path = tmp_path / FILES[2]
    path.parent.mkdir(parents=True)
    words = [[t, x | 7 << 14 | 1 << 28] for t, x in ((5, 1), (9, 2), (7, 3), (9, 4))]
    path.write_bytes(b"\x00\x08" + np.array(words, "<u4").tobytes())
    events = NCars(str(tmp_path))[0].events
    assert events == Events([1, 3, 2, 4], [7] * 4, [5, 7, 9, 9], [1] * 4, (120, 100))
