"""Every built-in dataset, in its layout on disk, keeps the promises of datasets."""

import numpy as np
import pytest

from eventzoo import datasets, registry
from eventzoo.data.boxes import Boxes
from eventzoo.data.dataset import FolderDataset, Sample
from eventzoo.plugins.datasets.moving_shapes import MovingShapes
from eventzoo.testing import check_dataset

BUILT_IN = [name for name, claims in registry.entries("datasets").items() if claims[0].package == "eventzoo"]
SETTINGS = {
    "ASLDVS": [{}],
    "CIFAR10DVS": [{}],
    "DVSGesture": [{}],
    "Gen1": [{}],
    "MNISTDVS": [{}],
    "MovingShapes": [{"size": 10}, {"size": 4, "task": "detection"}],
    "NCaltech101": [{}, {"task": "detection"}],
    "NCars": [{}],
    "NMNIST": [{}],
}


def samples(dataset, make_events, count):
    """Recordings with a label and a box, for datasets of either task."""
    width, height = dataset.sensor_size
    for number in range(count):
        events = make_events(60, dataset.sensor_size, number, duration=700_000)
        label = number % len(dataset.classes)
        box = Boxes(np.array([[2, 3, width // 2, height // 2]]), np.array([label]), np.array([events.t[-1]]))
        yield Sample(events, label, str(number), box)


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_dataset_keeps_its_promises(name, make_events, tmp_path):
    dataset = getattr(datasets, name)
    if issubclass(dataset, FolderDataset):
        for split in ("train", "val", "test"):
            dataset.export(tmp_path, split, samples(dataset, make_events, 3))
    for settings in SETTINGS[name]:
        where = {"root": str(tmp_path)} if issubclass(dataset, FolderDataset) else {}
        check_dataset(dataset(**where, **settings), samples=3)


def test_every_sample_of_a_small_dataset():
    check_dataset(MovingShapes("val", size=3), samples=0)
