import numpy as np
import pytest

from eventzoo.data.dataset import Sample
from eventzoo.errors import DatasetNotFoundError, EventFileError, EventZooError
from eventzoo.events import Events
from eventzoo.io import write
from eventzoo.plugins.datasets.dvs_gesture import UPSTREAM_ORDER, DVSGesture

ROWS = {"user01_led": [(1, 0, 100), (11, 150, 300), (2, 250, 400)], "user05_lab": [(9, 100, 200)], "user10_led": [(1, 0, 1000)]}


def trial(seed: int, count: int = 400) -> Events:
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 128, (2, count))
    return Events(x, y, np.sort(rng.integers(0, 500, count)), rng.integers(0, 2, count), (128, 128))


def put(root, name, seed, rows):
    write(root / f"{name}.aedat", trial(seed), encoding="aedat3")
    lines = ["class,startTime_usec,endTime_usec", *(",".join(map(str, row)) for row in rows)]
    (root / f"{name}_labels.csv").write_text("\r\n".join(lines) + "\r\n")


@pytest.fixture
def root(tmp_path):
    for seed, (name, rows) in enumerate({**ROWS, "user24_natural": [(3, 50, 60)]}.items()):
        put(tmp_path, name, seed, rows)
    (tmp_path / "trials_to_train.txt").write_text("user10_led.aedat\nuser05_lab.aedat\nuser01_led.aedat\n\n")
    (tmp_path / "trials_to_test.txt").write_text("user24_natural.aedat\n")
    return tmp_path


def test_samples_are_cut_by_the_labels(root):
    dataset = DVSGesture(str(root))
    dataset.verify()
    assert [(sample.key, sample.label) for sample in dataset] == [("user01_led/0", 0), ("user01_led/2", 1), ("user01_led/1", 10)]
    assert [sample.events for sample in dataset] == [trial(0).between(0, 100), trial(0).between(250, 400), trial(0).between(150, 300)]
    assert dataset.classes[10] == "other_gestures"
    assert [path.name for path in dataset.source_files()] == ["user01_led.aedat", "user01_led_labels.csv", "trials_to_train.txt"]


def test_nobody_is_in_two_splits(root):
    samples = {split: [sample.key for sample in DVSGesture(str(root)).at_split(split)] for split in ("train", "val", "test")}
    assert samples["val"] == ["user10_led/0", "user05_lab/0"]
    assert samples["test"] == ["user24_natural/0"]
    assert DVSGesture(str(root), "test")[0].events == trial(3).between(50, 60)


def test_the_folder_of_the_archive(root, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    (outside / "DvsGesture").symlink_to(root)
    assert [sample.key for sample in DVSGesture(str(outside))] == [sample.key for sample in DVSGesture(str(root))]


def test_only_the_samples_part_of_a_trial_is_decoded(root, monkeypatch):
    monkeypatch.setattr("eventzoo.io.formats.aedat3._PACKET_EVENTS", 50)
    monkeypatch.setattr("eventzoo.io.reading._LATE_US", 10)
    put(root, "user01_led", 0, [(1, 100, 200)])
    path = root / "user01_led.aedat"
    data = bytearray(path.read_bytes())
    for at in (data.index(b"END-HEADER") + 12 + 28 + 4, len(data) - 12):  # times in the first and the last packet
        data[at : at + 4] = b"\xff" * 4
    path.write_bytes(data)
    assert [sample.events for sample in DVSGesture(str(root))] == [trial(0).between(100, 200)]


@pytest.mark.parametrize("layout", ["aedat", "npz"])
def test_what_is_exported_is_read(tmp_path, layout):
    samples = [Sample(trial(seed), label, "") for seed, label in enumerate([3, 0, 3, 10, 3, 3, 2])]
    for split in ("train", "val", "test"):
        DVSGesture.export(tmp_path, split, samples, layout)
    keys = {}
    for split in ("train", "val", "test"):
        dataset = DVSGesture(str(tmp_path), split, layout)
        loaded = list(dataset)
        assert [sample.label for sample in loaded] == [0, 2, 3, 3, 3, 3, 10]
        assert [sample.events for sample in loaded] == [samples[at].events for at in (1, 6, 0, 2, 4, 5, 3)]
        assert all(path.is_file() for path in dataset.source_files())
        dataset.verify()
        keys[split] = [sample.key for sample in loaded]
    assert not set(keys["train"]) & set(keys["val"])
    if layout == "npz":
        assert keys["train"][-1] == "events_np/train/10/user04_led_0"
        assert keys["val"][-1] == "events_np/train/10/user20_led_0"
        assert keys["test"][-1] == "events_np/test/10/user04_natural_0"


def test_the_order_of_upstream_networks():
    folders = [str(label) for label in range(11)]
    assert [folders[label] for label in UPSTREAM_ORDER] == sorted(folders) == ["0", "1", "10", "2", "3", "4", "5", "6", "7", "8", "9"]
    upstream = np.eye(11)[sorted(folders).index("10")]
    assert DVSGesture.classes[UPSTREAM_ORDER[int(upstream.argmax())]] == "other_gestures"
    assert upstream[np.argsort(UPSTREAM_ORDER)].argmax() == 10


def test_missing_folder_and_wrong_arguments(tmp_path, root):
    with pytest.raises(
        DatasetNotFoundError, match=r"DVSGesture: no test recordings under .*nowhere.*DvsGesture\.tar\.gz.*user01_led_labels"
    ):
        DVSGesture(str(tmp_path / "nowhere"), "test")
    with pytest.raises(DatasetNotFoundError, match="DVSGesture: no train recordings"):
        DVSGesture(str(root), layout="npz")
    with pytest.raises(EventZooError, match="DVSGesture has the layouts aedat and npz, not 'raw'"):
        DVSGesture(str(root), layout="raw")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a,b,c\n1,2,3\n", r"byte 0: is no table of gestures: its first line must be class,startTime_usec,endTime_usec"),
        ("", r"is no table of gestures"),
        ("class,startTime_usec,endTime_usec\n1,2,3\n12,5,6\n", r"line 3: \['12', '5', '6'\] is no class from 1 to 11, with its start"),
        ("class,startTime_usec,endTime_usec\n0,5,6\n", r"line 2"),
        ("class,startTime_usec,endTime_usec\n1,6,6\n", r"line 2"),
        ("class,startTime_usec,endTime_usec\n1,6\n", r"line 2"),
        ("class,startTime_usec,endTime_usec\n1,5,6,7\n", r"line 2"),
        ("class,startTime_usec,endTime_usec\n1,-5,6\n", r"line 2"),
        (b"class,startTime_usec,endTime_usec\n\xff\xff\n", r"cannot be read as CSV"),
    ],
)
def test_broken_labels(root, text, why):
    (root / "user01_led_labels.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(EventFileError, match=rf"user01_led_labels\.csv.*{why}"):
        DVSGesture(str(root))


def test_lists_that_do_not_fit_the_folder(root):
    (root / "trials_to_train.txt").write_text("user02_led.aedat\n")
    with pytest.raises(EventFileError, match=r"trials_to_train\.txt: lists user02_led\.aedat, which is not in .*unpack the dataset again"):
        DVSGesture(str(root))
    (root / "trials_to_train.txt").write_text("someone.aedat\n")
    with pytest.raises(EventZooError, match=r"trials_to_train\.txt: 'someone' is no trial of DVS128 Gesture"):
        DVSGesture(str(root))
    (root / "trials_to_train.txt").write_bytes(b"\xff\n")
    with pytest.raises(EventFileError, match=r"trials_to_train\.txt: cannot be read"):
        DVSGesture(str(root))
    (root / "user24_natural_labels.csv").unlink()
    with pytest.raises(EventFileError, match=r"user24_natural_labels\.csv: cannot be read as CSV"):
        DVSGesture(str(root), "test")


@pytest.mark.parametrize("name", ["train/11/user01_led_0.npz", "train/x/user01_led_0.npz", "train/3/user01_led.npz", "train/3/copy.npz"])
def test_an_array_outside_the_layout(tmp_path, name):
    path = tmp_path / "events_np" / name
    path.parent.mkdir(parents=True)
    path.touch()
    with pytest.raises(EventZooError, match=r"<class, 0 to 10>/<trial>_<number>\.npz") as error:
        DVSGesture(str(tmp_path), layout="npz")
    assert str(path) in str(error.value)


def test_verify_names_what_is_broken_or_empty(root):
    put(root, "user01_led", 0, [(4, 600, 700)])
    with pytest.raises(EventZooError, match=r"user01_led\.aedat: sample user01_led/0 holds no events"):
        DVSGesture(str(root)).verify()
    (root / "user24_natural.aedat").write_bytes(b"#!AER-DAT3.1\r\n")
    with pytest.raises(EventFileError, match=r"user24_natural\.aedat"):
        DVSGesture(str(root), "test").verify()
