"""`MovingShapes.export` writes data in the layout of every dataset that lies in a folder, and the dataset reads it back."""

import numpy as np
import pytest

from eventzoo import registry
from eventzoo.data.dataset import FolderDataset
from eventzoo.errors import EventZooError
from eventzoo.plugins.datasets.gen1 import Gen1
from eventzoo.plugins.datasets.moving_shapes import MovingShapes
from eventzoo.plugins.datasets.ncaltech101 import NCaltech101

SIZES = {"train": 6, "val": 2, "test": 1}
FOLDER_DATASETS = [
    part
    for name, entries in registry.entries("datasets").items()
    if entries[0].package == "eventzoo" and issubclass(part := registry.get("datasets", name), FolderDataset)
]


@pytest.fixture
def exported(monkeypatch):
    """Exports, and gives the recordings that the dataset was given for each split."""

    def export(dataset, folder, **arguments):
        given, write = {}, dataset.export

        def note(root, split, recordings):
            given[split] = list(recordings)
            write(root, split, given[split])

        with monkeypatch.context() as patch:
            patch.setattr(dataset, "export", note)
            MovingShapes.export(folder, dataset.__name__.lower(), **arguments)
        return given

    return export


def events_inside(sample):
    """The share of a sample's last events that lie in its boxes, give or take a pixel."""
    events = sample.events.between(int(sample.events.t[-1]) - 20_000, int(sample.events.t[-1]) + 1)
    left, top, right, bottom = sample.boxes.xyxy.T
    x, y = events.x[:, None], events.y[:, None]
    return ((x >= left - 2) & (x < right + 1) & (y >= top - 2) & (y < bottom + 1)).any(1).mean()


@pytest.mark.parametrize("dataset", FOLDER_DATASETS, ids=lambda dataset: dataset.__name__)
def test_loaders_read_what_was_exported(dataset, tmp_path, exported):
    given = exported(dataset, tmp_path, **SIZES)
    assert {split: len(recordings) for split, recordings in given.items()} == SIZES
    for split, recordings in given.items():
        loaded = dataset(str(tmp_path), split)
        loaded.verify()
        assert loaded.source_files()
        if dataset.task == "classification":
            in_order = sorted(recordings, key=lambda sample: sample.label)
            assert [sample.label for sample in loaded] == [sample.label for sample in in_order]
            assert [sample.events for sample in loaded] == [sample.events for sample in in_order]


@pytest.mark.parametrize("dataset", FOLDER_DATASETS, ids=lambda dataset: dataset.__name__)
def test_the_same_seed_gives_the_same_recordings(dataset, tmp_path, exported):
    one, two, three = (exported(dataset, tmp_path / str(at), train=1, val=0, test=0, seed=seed) for at, seed in enumerate((5, 5, 6)))
    assert one["train"][0].events == two["train"][0].events != three["train"][0].events
    assert one["train"][0].boxes == two["train"][0].boxes


def test_gen1_has_the_boxes_at_their_times(tmp_path, exported):
    given = exported(Gen1, tmp_path, train=4, val=0, test=0)["train"]
    loaded = list(Gen1(str(tmp_path)))
    labelled = [(sample, time) for sample in given for time in np.unique(sample.boxes.t[sample.boxes.t > 500_000])]
    assert [time for _, time in labelled] == [int(sample.boxes.t[0]) for sample in loaded]
    assert {int(time) for _, time in labelled} == {600_000, 900_000, 1_200_000, 1_500_000}
    for sample, (recording, time) in zip(loaded, labelled, strict=True):
        expected = recording.boxes[recording.boxes.t == time]
        assert sample.boxes.class_ids.tolist() == expected.class_ids.tolist()
        np.testing.assert_allclose(sample.boxes.xyxy, expected.xyxy, atol=1e-3)
        assert sample.events == recording.events.between(time - 100_000, time)
    assert np.median([events_inside(sample) for sample in loaded]) > 0.6  # the rest is noise


def test_ncaltech101_has_the_box_at_the_end(tmp_path, exported):
    given = exported(NCaltech101, tmp_path, train=10, val=0, test=0)["train"]
    loaded = list(NCaltech101(str(tmp_path), task="detection"))
    expected = sorted(
        (sample for sample in given if NCaltech101.classes[sample.label] != "BACKGROUND_Google"), key=lambda sample: sample.label
    )
    assert len(loaded) == len(expected) == 8
    for sample, recording in zip(loaded, expected, strict=True):
        assert sample.events == recording.events
        np.testing.assert_allclose(sample.boxes.xyxy, recording.boxes.xyxy, atol=0.51)  # annotations are in whole pixels
        assert events_inside(sample) > 0.6


def test_the_duration_may_be_chosen(tmp_path, exported):
    (sample,) = exported(Gen1, tmp_path, train=1, val=0, test=0, duration=200_000)["train"]
    assert 190_000 < sample.events.t[-1] <= 200_000
    assert np.unique(sample.boxes.t).tolist() == [40_000, 80_000, 120_000, 160_000, 200_000]


@pytest.mark.parametrize(
    ("layout", "arguments", "message"),
    [
        ("gen2", {}, "no dataset named 'gen2'. Did you mean Gen1"),
        ("movingshapes", {}, "MovingShapes has no layout on disk"),
        ("Gen1", {"duration": 99_999}, "at least 100,000 µs"),
        ("Gen1", {"val": -1}, "no number negative"),
        ("Gen1", {"seed": -1}, "no number negative"),
    ],
)
def test_wrong_arguments(tmp_path, layout, arguments, message):
    with pytest.raises(EventZooError, match=message):
        MovingShapes.export(tmp_path, layout, **arguments)
    assert not list(tmp_path.iterdir())


def test_a_dataset_that_cannot_be_written_says_so(tmp_path, monkeypatch):
    monkeypatch.delattr(Gen1, "export")
    with pytest.raises(EventZooError, match="Gen1 cannot be written: its class has no export"):
        MovingShapes.export(tmp_path, "gen1", train=1)
