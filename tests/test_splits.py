"""The published lists of splits, and what the datasets make of files of these names."""

import csv
import gzip
import importlib.util
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


def load_script():
    specification = importlib.util.spec_from_file_location("splits_make", REPOSITORY / "splits" / "make.py")
    script = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(script)
    return script


script = load_script()
LISTS = list(script.published())
lists = pytest.mark.parametrize(("name", "dataset", "files"), LISTS, ids=[name for name, _, _ in LISTS])


def listed(name):
    path = REPOSITORY / "splits" / name
    text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()
    rows = list(csv.DictReader(text.splitlines()))
    return [(row["key"], row["split"]) for row in rows]


@lists
def test_a_list_has_every_recording_once(name, dataset, files):
    assert [key for key, _ in listed(name)] == [str(Path(file).with_suffix("")) for file in files]
    assert len(set(files)) == len(files)
    shares = [sum(split == wanted for _, split in listed(name)) / len(files) for wanted in ("train", "val", "test")]
    assert sum(shares) == 1
    assert 0.63 < shares[0] < 0.81  # ASL-DVS's are 64 %
    assert min(shares) > 0.09


@lists
@pytest.mark.parametrize("step", [pytest.param(1, marks=pytest.mark.slow), 37])
def test_the_datasets_say_the_same(name, dataset, files, step):
    """Of some recordings as of all, as a recording's split depends on its own name alone."""
    assert list(script.splits_of(dataset, files[::step]).items()) == listed(name)[::step]


def test_the_other_sizes_of_digits_go_with_them(tmp_path):
    """Those of the same class and number, whatever their names begin with."""
    rows = listed("mnist_dvs.csv")[::37]
    for key, _ in rows:
        _, digit, _, number = Path(key).name.split("_")
        path = tmp_path / f"grabbed_data{digit}" / "scale4" / f"any_{number}.aedat"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    for split in ("train", "val", "test"):
        found = [(path.parents[1].name, path.stem[-4:]) for path, _ in script.MNISTDVS(str(tmp_path), split, "scale4").files]
        assert found == [(key.split("/")[0], key[-4:]) for key, listed_as in rows if listed_as == split]


def test_photographs_are_those_that_others_list(realdata):
    others = set()
    for path in sorted((realdata / "splits").glob("Caltech101_*.csv")):
        with path.open() as file:
            others |= {f"Caltech101/{Path(row['events_file_path']).with_suffix('').as_posix()}" for row in csv.DictReader(file)}
    assert others == {key for key, _ in listed("ncaltech101.csv")}
