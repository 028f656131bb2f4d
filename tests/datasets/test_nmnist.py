import numpy as np
import pytest

from eventzoo.data.dataset import Sample
from eventzoo.errors import DatasetNotFoundError, EventFileError, EventZooError
from eventzoo.events import Events
from eventzoo.io import write
from eventzoo.plugins.datasets.nmnist import NMNIST

FILES = [
    *("Train/0/00002.bin", "Train/0/00025.bin", "Train/3/00108.bin", "Train/3/00100.bin", "Train/3/59999.bin", "Train/9/00005.bin"),
    *("Test/0/00004.bin", "Test/7/00001.bin", "Test/7/00010.bin"),
]


def recording(seed: int, count: int = 30) -> Events:
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 34, (2, count))
    return Events(x, y, np.sort(rng.integers(0, 300_000, count)), rng.integers(0, 2, count), (34, 34))


@pytest.fixture
def root(tmp_path):
    for seed, name in enumerate(FILES):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write(tmp_path / name, recording(seed))
    return tmp_path


@pytest.mark.parametrize(
    ("split", "keys", "labels"),
    [
        ("train", ["Train/0/00002", "Train/3/00108", "Train/3/59999"], [0, 3, 3]),
        ("val", ["Train/0/00025", "Train/3/00100", "Train/9/00005"], [0, 3, 9]),
        ("test", ["Test/0/00004", "Test/7/00001", "Test/7/00010"], [0, 7, 7]),
    ],
)
def test_splits(root, split, keys, labels):
    dataset = NMNIST(str(root), split)
    samples = [dataset[index] for index in range(len(dataset))]
    assert [sample.key for sample in samples] == keys
    assert [sample.label for sample in samples] == labels
    assert [dataset.classes[label] for label in labels] == [key.split("/")[1] for key in keys]
    assert all(sample.events == recording(FILES.index(sample.key + ".bin")) for sample in samples)
    dataset.verify()


def test_every_training_file_is_in_one_of_train_and_val(root):
    keys = [sample.key for split in ("train", "val") for sample in NMNIST(str(root), split)]
    assert sorted(keys) == sorted(name.removesuffix(".bin") for name in FILES if name.startswith("Train"))
    assert len(NMNIST(str(root)).at_split("test")) == 3


def test_only_the_first_recordings_for_training(root):
    for split, keys in (("train", ["Train/0/00002", "Train/3/00108"]), ("val", ["Train/0/00025", "Train/3/00100", "Train/9/00005"])):
        assert [sample.key for sample in NMNIST(str(root), first=108).at_split(split)] == keys
    assert [sample.key for sample in NMNIST(str(root), "val", first=24)] == ["Train/9/00005"]
    assert len(NMNIST(str(root), "test", first=1)) == 3


def test_found_by_its_usual_folder(root, tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "N-MNIST").symlink_to(root)
    monkeypatch.setenv("EVENTZOO_DATA", str(tmp_path / "data"))
    assert len(NMNIST(split="val")) == 3


def test_missing_folder(tmp_path):
    with pytest.raises(DatasetNotFoundError, match=r"(?s)NMNIST: no test recordings under .*nowhere.*garrickorchard.*Train/0/00002\.bin"):
        NMNIST(str(tmp_path / "nowhere"), "test")


def test_no_such_split(root):
    with pytest.raises(EventZooError, match="NMNIST has the splits train, val, test, not 'validation'"):
        NMNIST(str(root), "validation")


def test_other_files_are_ignored(root):
    (root / "Train" / "0" / "readme.txt").write_text("hello")
    (root / "Train" / "notes").mkdir()
    assert len(NMNIST(str(root))) == 3


@pytest.mark.parametrize(
    "name", ["Train/3/copy.bin", "Train/3/00108 (1).bin", "Train/x/00011.bin", "Train/00011.bin", "Train/3/3/00011.bin"]
)
def test_a_recording_outside_the_layout(root, name):
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(bytes(5))
    with pytest.raises(EventZooError, match=r"<digit>/<id>\.bin") as error:
        NMNIST(str(root))
    assert name.split("/")[-1] in str(error.value)
    assert len(NMNIST(str(root), "test")) == 3


def test_verify_names_a_broken_file(root):
    broken = root / "Train" / "3" / "00108.bin"
    broken.write_bytes(broken.read_bytes()[:-2])
    dataset = NMNIST(str(root))
    with pytest.raises(EventFileError, match=r"00108\.bin"):
        dataset.verify()


def test_verify_names_a_file_without_events(root):
    (root / "Test" / "7" / "00010.bin").write_bytes(b"")
    with pytest.raises(EventZooError, match=r"00010\.bin"):
        NMNIST(str(root), "test").verify()


def test_events_outside_the_sensor(root):
    write(root / "Train" / "0" / "00002.bin", Events([40], [3], [5], [True], (50, 34)))
    with pytest.raises(EventFileError, match=r"00002\.bin"):
        NMNIST(str(root)).verify()


def test_what_is_exported_is_read(tmp_path):
    for split in ("train", "val", "test"):
        NMNIST.export(tmp_path, split, [Sample(recording(number), label, str(number)) for number, label in enumerate((7, 3, 7))])
        loaded = list(NMNIST(str(tmp_path), split))
        assert [sample.label for sample in loaded] == [3, 7, 7]
        assert [sample.events for sample in loaded] == [recording(1), recording(0), recording(2)]


def test_real_recordings(realdata):
    train, val = NMNIST(str(realdata / "N-MNIST"), "train"), NMNIST(str(realdata / "N-MNIST"), "val")
    assert len(train) + len(val) == 1000
    assert {label for _, label in val.files} == set(range(10))
    keys = [sample.key for sample in val]
    assert len(set(keys)) == len(keys)
    assert all(int(key[-5:]) % 5 == 0 for key in keys)
    for index in range(0, len(train), 50):
        events = train[index].events
        assert 1_112 <= len(events) <= 7_152
        assert events.sensor_size == (34, 34)
        assert 250_000 < events.duration < 320_000
