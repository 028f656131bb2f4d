import struct

import numpy as np
import pytest

from eventzoo.data.dataset import Sample
from eventzoo.errors import DatasetNotFoundError, EventFileError, EventZooError
from eventzoo.events import Events
from eventzoo.io import write
from eventzoo.plugins.datasets.mnist_dvs import MNISTDVS


def recording(seed: int, count: int = 30) -> Events:
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 128, (2, count))
    return Events(x, y, np.sort(rng.integers(0, 200_000, count)), rng.integers(0, 2, count), (128, 128))


def saved(root, name):
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    write(root / name, recording(1))
    return root / name


@pytest.mark.parametrize("version", ["scale4", "scale8", "scale16", "text"])
def test_what_is_exported_is_read(tmp_path, version):
    samples = [Sample(recording(seed), label, "") for seed, label in enumerate([3, 0, 3, 9, 3, 3, 3])]
    for split in ("train", "val", "test"):
        MNISTDVS.export(tmp_path, split, samples, version)
    keys = {}
    for split in ("train", "val", "test"):
        dataset = MNISTDVS(str(tmp_path), split, version)
        loaded = list(dataset)
        assert [sample.label for sample in loaded] == [0, 3, 3, 3, 3, 3, 9]
        assert [sample.events for sample in loaded] == [samples[at].events for at in (1, 0, 2, 4, 5, 6, 3)]
        assert all(sample.events.sensor_size == (128, 128) for sample in loaded)
        dataset.verify()
        keys[split] = [sample.key for sample in loaded]
    name = "m3{}" if version == "text" else f"grabbed_data3/{version}/mnist_3_{version}_{{:04d}}"
    assert keys["train"][1:-1] == [name.format(number) for number in (1, 2, 3, 4, 6)]
    assert keys["val"][1:-1] == [name.format(number) for number in (5, 15, 25, 35, 45)]
    assert keys["test"][1:-1] == [name.format(number) for number in (10, 20, 30, 40, 50)]


def test_the_address_of_a_pixel(tmp_path):
    path = tmp_path / "grabbed_data7" / "scale04" / "mnist_7_scale04_0001.aedat"
    path.parent.mkdir(parents=True)
    late = struct.pack(">IIII", 5 << 8 | 3 << 1, 9, 127 << 8 | 1, 8)
    path.write_bytes(b"#!AER-DAT2.0\r\n# This is a raw AE data file - do not edit\r\n" + late)
    (sample,) = MNISTDVS(str(tmp_path), version="scale4")
    assert sample.key == "grabbed_data7/scale04/mnist_7_scale04_0001"
    assert sample.events == Events([0, 122], [0, 3], [8, 9], [False, True], (128, 128))


def test_a_clip_ends_with_a_line_that_is_no_event(tmp_path):
    (tmp_path / "m41.txt").write_text("3 5 7 1\n2 1 9 0\n0 0 200010 0\n")
    (sample,) = MNISTDVS(str(tmp_path), version="text")
    assert (sample.label, sample.events) == (4, Events([122, 126], [124, 125], [7, 9], [True, False], (128, 128)))
    for lines in ("3 5 7 1\n2 1 9 0\n", "0 0 9 1\n", "1 0 9 0\n", "0 1 9 0\n"):
        (tmp_path / "m41.txt").write_text(lines)
        with pytest.raises(EventFileError, match=r"m41\.txt: the last line is not 0 0 <t> 0, which marks a clip's end: truncated"):
            MNISTDVS(str(tmp_path), version="text").verify()


def test_scales_are_kept_apart(tmp_path):
    for name in ("scale4/a0001", "scale04/b0002", "scale8/c0003", "scale16/d0004"):
        saved(tmp_path, f"grabbed_data0/{name}.aedat")
    found = {
        version: [path.stem for path, _ in MNISTDVS(str(tmp_path), version=version).files] for version in ("scale4", "scale8", "scale16")
    }
    assert found == {"scale4": ["a0001", "b0002"], "scale8": ["c0003"], "scale16": ["d0004"]}


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("grabbed_dataX/scale4/a0001.aedat", "scale4"),
        ("grabbed_data1/scale4/a001.aedat", "scale4"),
        ("m12a.txt", "text"),
        ("m1.txt", "text"),
    ],
)
def test_a_recording_outside_the_layout(tmp_path, name, version):
    saved(tmp_path, name)
    with pytest.raises(EventZooError, match=r"MNIST-DVS are? ?called|recordings are called|clips of MNIST-DVS are called") as error:
        MNISTDVS(str(tmp_path), version=version)
    assert str(tmp_path / name) in str(error.value)


def test_missing_folder_and_wrong_arguments(tmp_path):
    with pytest.raises(
        DatasetNotFoundError, match=r"MNISTDVS: no val recordings under .*nowhere.*grabbed_data0\.zip.*grabbed_data0/scale4"
    ):
        MNISTDVS(str(tmp_path / "nowhere"), "val")
    with pytest.raises(EventZooError, match="MNISTDVS has the versions scale4, scale8, scale16, text, not 'scale5'"):
        MNISTDVS(str(tmp_path), version="scale5")


def test_verify_names_a_broken_file(tmp_path):
    path = saved(tmp_path, "grabbed_data0/scale16/a0001.aedat")
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(EventFileError, match=r"a0001\.aedat"):
        MNISTDVS(str(tmp_path)).verify()


def test_real_clips(realdata):
    splits = {split: MNISTDVS(str(realdata / "MNIST-DVS-text"), split, "text") for split in ("train", "val", "test")}
    assert {split: len(dataset) for split, dataset in splits.items()} == {"train": 80, "val": 10, "test": 10}
    for dataset in splits.values():
        dataset.verify()
        assert [label for _, label in dataset.files] == sorted(list(range(10)) * (len(dataset) // 10))
        assert all(190_000 < int(sample.events.t[-1]) < 200_010 for sample in dataset)
    of = {digit: [sample.events for sample in splits["train"] if sample.label == digit] for digit in (1, 7)}
    assert all(np.ptp(np.percentile(one.y, (10, 90))) > np.ptp(np.percentile(one.x, (10, 90))) for one in of[1])  # upright
    upper, lower = ([np.std(seven.x[half(seven.y, np.median(seven.y))]) for seven in of[7]] for half in (np.less, np.greater))
    assert np.median(np.subtract(upper, lower)) > 2  # the bar is at the top
