from contextlib import suppress

import numpy as np
import pytest
import scipy.io

from eventzoo.data.dataset import Sample
from eventzoo.errors import DatasetNotFoundError, EventFileError, EventZooError
from eventzoo.events import Events
from eventzoo.io import write
from eventzoo.plugins.datasets.asl_dvs import ASLDVS

SIZE = (240, 180)
SPLITS = ("train", "val", "test")


def recording(seed, count=20):
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(0, 200_000, count))
    return Events(rng.integers(0, 240, count), rng.integers(0, 180, count), t, rng.integers(0, 2, count), SIZE)


def tree(root, *names, suffix=".mat"):
    """A folder of recordings that are all the same."""
    for name in names:
        path = root / name[0] / f"{name}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, recording(0))
    return root


def keys(root, split, **arguments):
    try:
        return [sample.key for sample in ASLDVS(str(root), split, **arguments)]
    except DatasetNotFoundError:
        return []


def numbered(letter, *numbers):
    return [f"{letter}_{number:04d}" for number in numbers]


def test_letters():
    assert "".join(ASLDVS.classes) == "abcdefghiklmnopqrstuvwxy"


def test_both_layouts_give_the_same_upright_events(tmp_path):
    x, y, t, p = np.array([0, 239, 5]), np.array([0, 179, 7]), np.array([10, 20, 30]), np.array([1, 0, 1])
    (tmp_path / "mat" / "k").mkdir(parents=True)
    (tmp_path / "npz" / "events_np" / "k").mkdir(parents=True)
    columns = {"ts": t, "x": x, "y": y, "pol": p}
    scipy.io.savemat(tmp_path / "mat/k/k_0001.mat", {name: values[:, None].astype(float) for name, values in columns.items()})
    arrays = {"t": t, "x": 239 - x, "y": 179 - y, "p": p}  # as SpikingJelly converts it
    np.savez_compressed(tmp_path / "npz/events_np/k/k_0001.npz", **{name: values.astype(float) for name, values in arrays.items()})
    one, two = (next(iter(whole(tmp_path / layout))) for layout in ("mat", "npz"))
    assert one.events == two.events == Events([239, 0, 234], [179, 0, 172], t, p, SIZE)
    assert (one.key, one.label) == (two.key, two.label) == ("k/k_0001", 9)


def whole(root, **arguments):
    """All samples of all splits."""
    for split in SPLITS:
        with suppress(DatasetNotFoundError):
            yield from ASLDVS(str(root), split, **arguments)


@pytest.mark.parametrize("folder", ["", "ICCV2019_DVS_dataset", "extract"])
def test_where_the_archive_was_unpacked(tmp_path, folder):
    tree(tmp_path / folder, *numbered("a", 1, 2), *numbered("y", 1))
    assert sorted(sample.key for sample in whole(tmp_path)) == ["a/a_0001", "a/a_0002", "y/y_0001"]


def test_published_files_win(tmp_path):
    tree(tmp_path, "a_0001")
    tree(tmp_path / "events_np", "a_0001", "a_0002", suffix=".npz")
    assert [sample.key for sample in whole(tmp_path)] == ["a/a_0001"]


def test_the_last_fifth_of_each_letter(tmp_path):
    tree(tmp_path, *numbered("b", *range(1, 13)), *numbered("a", 3, 5, 8, 10, 90), *numbered("c", 7))
    expected = {
        "train": [("a", 3, 8), ("b", 1, 2, 3, 4, 6, 7, 8, 9)],
        "val": [("a", 5, 10), ("b", 5)],
        "test": [("a", 90), ("b", 10, 11, 12), ("c", 7)],
    }
    for split, letters in expected.items():
        names = [name for letter, *numbers in letters for name in numbered(letter, *numbers)]
        assert keys(tmp_path, split, protocol="last-fifth") == [f"{name[0]}/{name}" for name in names]


def test_the_last_fifth_of_the_whole_dataset_has_the_published_sizes(tmp_path, monkeypatch):
    for letter in "ay":
        (tmp_path / letter).mkdir()
        for name in numbered(letter, *range(1, 4201)):
            (tmp_path / letter / f"{name}.mat").touch()
    sizes = [len(ASLDVS(str(tmp_path), split, "last-fifth")) for split in SPLITS]
    assert sizes == [2 * 2688, 2 * 672, 2 * 840]
    random = [len(ASLDVS(str(tmp_path), split)) for split in SPLITS]
    assert sum(random) == 8400
    np.testing.assert_allclose(random, [5376, 1344, 1680], rtol=0.05)


def test_a_random_split_does_not_depend_on_other_files(tmp_path):
    names = [*numbered("a", *range(1, 30)), *numbered("q", *range(1, 30))]
    tree(tmp_path / "all", *names)
    tree(tmp_path / "some", *names[::3])
    found = {split: set(keys(tmp_path / "all", split)) for split in SPLITS}
    assert sum(map(len, found.values())) == len(set().union(*found.values())) == len(names)
    assert all(found.values())
    for split in SPLITS:
        assert set(keys(tmp_path / "some", split)) == found[split] & {f"{name[0]}/{name}" for name in names[::3]}


def test_the_random_split_is_the_documented_one(tmp_path):
    tree(tmp_path, *numbered("a", *range(1, 21)))
    assert keys(tmp_path, "test") == [f"a/{name}" for name in numbered("a", 2, 3, 5, 12, 19)]
    assert keys(tmp_path, "val") == [f"a/{name}" for name in numbered("a", 10, 13, 16, 20)]


def test_events_that_come_late_are_sorted(tmp_path):
    (tmp_path / "a").mkdir()
    columns = {"ts": [10, 5, 20], "x": [239, 238, 237], "y": [179, 179, 179], "pol": [1, 0, 1]}
    scipy.io.savemat(tmp_path / "a" / "a_0001.mat", {name: np.array(values)[:, None] for name, values in columns.items()})
    (sample,) = whole(tmp_path)
    assert sample.events == Events([1, 0, 2], [0, 0, 0], [5, 10, 20], [0, 1, 1], SIZE)


@pytest.mark.parametrize("name", ["j/j_0001", "a/b_0001", "a/a_1", "a/a_00001", "a/copy", "A/A_0001", "a/more/a_0001"])
@pytest.mark.parametrize("suffix", [".mat", ".npz"])
def test_a_recording_outside_the_layout(tmp_path, name, suffix):
    root = tmp_path if suffix == ".mat" else tmp_path / "events_np"
    (root / f"{name}{suffix}").parent.mkdir(parents=True, exist_ok=True)
    write(root / f"{name}{suffix}", recording(0))
    tree(root, "b_0001", suffix=suffix)
    with pytest.raises(EventZooError, match=r"are called <letter>/<letter>_<number of four digits>") as error:
        ASLDVS(str(tmp_path))
    assert name in str(error.value)


def test_missing_folder(tmp_path):
    with pytest.raises(DatasetNotFoundError, match=r"(?s)ASLDVS: no test recordings under .*nowhere.*PIX2NVS.*a/a_0001\.mat"):
        ASLDVS(str(tmp_path / "nowhere"), "test")


def test_no_such_split_or_protocol(tmp_path):
    with pytest.raises(EventZooError, match="ASLDVS has the splits train, val, test, not 'validation'"):
        ASLDVS(str(tmp_path), "validation")
    with pytest.raises(EventZooError, match="ASLDVS has the protocols random and last-fifth, not 'first-fifth'"):
        ASLDVS(str(tmp_path), protocol="first-fifth")


def test_at_another_split_keeps_the_protocol(tmp_path):
    tree(tmp_path, *numbered("a", *range(1, 11)))
    dataset = ASLDVS(str(tmp_path), "train", "last-fifth").at_split("test")
    assert [sample.key for sample in dataset] == ["a/a_0009", "a/a_0010"]


def test_verify_names_a_broken_file(tmp_path):
    tree(tmp_path, *numbered("a", *range(1, 6)))
    broken = tmp_path / "a" / "a_0003.mat"
    broken.write_bytes(broken.read_bytes()[:-2])
    with pytest.raises(EventFileError, match=r"a_0003\.mat"):
        ASLDVS(str(tmp_path), "train", "last-fifth").verify()


def test_verify_names_a_file_without_events(tmp_path):
    write(tree(tmp_path, "a_0001", "a_0002") / "a" / "a_0002.mat", Events.empty(SIZE))
    with pytest.raises(EventZooError, match=r"a_0002\.mat: the recording holds no events"):
        ASLDVS(str(tmp_path), "test", "last-fifth").verify()


@pytest.mark.parametrize("layout", ["mat", "npz"])
def test_what_is_exported_is_read(tmp_path, layout):
    for split in SPLITS:
        ASLDVS.export(tmp_path, split, [Sample(recording(number), label, str(number)) for number, label in enumerate((9, 3, 9, 3))], layout)
    for split in SPLITS:
        loaded = list(ASLDVS(str(tmp_path), split))
        assert [sample.label for sample in loaded] == [3, 3, 9, 9]
        assert [sample.events for sample in loaded] == [recording(number) for number in (1, 3, 0, 2)]
