import struct

import numpy as np
import pytest

from eventzoo.data.dataset import Sample
from eventzoo.errors import DatasetNotFoundError, EventFileError, EventZooError
from eventzoo.events import Events
from eventzoo.io import write
from eventzoo.plugins.datasets.cifar10_dvs import CIFAR10DVS


def recording(seed: int, count: int = 30) -> Events:
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 128, (2, count))
    return Events(x, y, np.sort(rng.integers(0, 1_300_000, count)), rng.integers(0, 2, count), (128, 128))


def saved(root, name):
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    write(root / name, recording(1))
    return root / name


def test_classes():
    assert CIFAR10DVS.classes == ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@pytest.mark.parametrize(
    ("scheme", "ids"),
    [
        ("default", {"train": [1, 2, 3, 4, 6], "val": [5, 15, 25, 35, 45], "test": [0, 10, 20, 30, 40]}),
        ("TEBN", {"train": [101, 102, 103, 104, 106], "val": [100, 105, 110, 115, 120], "test": [0, 1, 2, 3, 4]}),
    ],
)
def test_what_is_exported_is_read(tmp_path, scheme, ids):
    samples = [Sample(recording(seed), label, "") for seed, label in enumerate([3, 0, 3, 9, 3, 3, 3])]
    for split in ids:
        CIFAR10DVS.export(tmp_path, split, samples, scheme)
    for split, numbers in ids.items():
        dataset = CIFAR10DVS(str(tmp_path), split, scheme)
        loaded = list(dataset)
        assert [sample.label for sample in loaded] == [0, 3, 3, 3, 3, 3, 9]
        assert [sample.events for sample in loaded] == [samples[at].events for at in (1, 0, 2, 4, 5, 6, 3)]
        assert [sample.key for sample in loaded[1:-1]] == [f"cat/cifar10_cat_{number}" for number in numbers]
        dataset.verify()


@pytest.mark.parametrize(
    ("scheme", "sizes"), [("default", {"train": 800, "val": 100, "test": 100}), ("TEBN", {"train": 720, "val": 180, "test": 100})]
)
def test_every_recording_is_in_one_split(tmp_path, scheme, sizes):
    folder = tmp_path / "dog"
    folder.mkdir()
    for number in range(1000):
        (folder / f"cifar10_dog_{number}.aedat").touch()
    files = {split: [path for path, _ in CIFAR10DVS(str(tmp_path), split, scheme).files] for split in sizes}
    assert {split: len(paths) for split, paths in files.items()} == sizes
    assert len(set().union(*files.values())) == 1000


def test_the_address_of_a_pixel_as_spikingjelly_shows_it(tmp_path):
    path = tmp_path / "ship" / "cifar10_ship_1.aedat"
    path.parent.mkdir()
    late = struct.pack(">IIIIII", 5 << 8 | 3 << 1, 9, 127 << 8 | 1, 8, 0x8000, 10)
    path.write_bytes(b"#!AER-DAT2.0\r\n# This is a raw AE data file - do not edit\r\n" + late)
    (sample,) = CIFAR10DVS(str(tmp_path))
    assert sample.events == Events([127 - 127, 127 - 5], [127 - 0, 127 - 3], [8, 9], [False, True], (128, 128))
    assert sample.label == 8


@pytest.mark.parametrize("name", ["cat/cifar10_dog_1.aedat", "cat/cifar10_cat_x.aedat", "cats/cifar10_cats_1.aedat", "cat/copy.aedat"])
def test_a_recording_outside_the_layout(tmp_path, name):
    saved(tmp_path, name)
    with pytest.raises(EventZooError, match=r"<class>/cifar10_<class>_<id>\.aedat") as error:
        CIFAR10DVS(str(tmp_path))
    assert str(tmp_path / name) in str(error.value)


def test_missing_folder_and_wrong_arguments(tmp_path):
    with pytest.raises(
        DatasetNotFoundError, match=r"CIFAR10DVS: no test recordings under .*nowhere.*figshare.*airplane/cifar10_airplane_0"
    ):
        CIFAR10DVS(str(tmp_path / "nowhere"), "test")
    with pytest.raises(EventZooError, match="CIFAR10DVS has the schemes default and TEBN, not 'random'"):
        CIFAR10DVS(str(tmp_path), scheme="random")


def test_verify_names_a_broken_file(tmp_path):
    path = saved(tmp_path, "frog/cifar10_frog_1.aedat")
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(EventFileError, match=r"cifar10_frog_1\.aedat"):
        CIFAR10DVS(str(tmp_path)).verify()
