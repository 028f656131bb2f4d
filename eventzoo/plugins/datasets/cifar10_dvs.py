"""CIFAR10-DVS: small photographs that move over a screen, in front of an event camera that stands still."""

import re
from collections.abc import Iterable
from itertools import count
from pathlib import Path
from typing import Literal, get_args

from eventzoo.data.dataset import FileDataset, Sample, Split, held_out, label_of, split_of
from eventzoo.errors import EventZooError
from eventzoo.events import Events
from eventzoo.io import read, write

Scheme = Literal["default", "TEBN"]

_NAME = re.compile(r"cifar10_([a-z]+)_([0-9]{1,4})\.aedat")
_TEBN_TEST = 100  # recordings of each class


class CIFAR10DVS(FileDataset):
    """CIFAR10-DVS: 10,000 pictures of CIFAR-10, a thousand of each class, seen by a DVS of 128×128 pixels for 1.2 to 1.5 s.

    Li, Liu, Ji, Li and Shi, "CIFAR10-DVS: An Event-Stream Dataset for Object Classification", Frontiers in Neuroscience 11:309,
    2017. Layout, as published: `<class>/cifar10_<class>_<id>.aedat`, with ids from 0 to 999.

    The publishers give no splits, and there are two schemes. By `default`, a recording is `test` if its id is a multiple of ten,
    `val` if it is another multiple of five, and else `train`. `TEBN` is what most spiking networks are compared on (Duan et al.,
    "Temporal Effective Batch Normalization in Spiking Neural Networks", NeurIPS 2022): ids 0 to 99 are `test`, the others train, and those
    of them that are multiples of five are held out here as `val`. Samples are ordered by class, then id.

    Classes have CIFAR-10's own order, which is the alphabet's and that of SpikingJelly and Tonic; TensorFlow's events-tfds has
    ship, truck, frog and horse at the end. Pictures are upright, as those two libraries show them: what `read` gives has x and y
    exchanged.

    Events of a recording are sorted by time: older recorders let some come late.

    Args:
        root: Folder of the dataset. Default: the folder `CIFAR10-DVS` inside `$EVENTZOO_DATA`, or inside `data`.
        split: `train`, `val` or `test`.
        scheme: What belongs to which split.

    Raises:
        DatasetNotFoundError: There are no recordings of this split.
        EventZooError: There is no such split or scheme, or a file has a strange name.
    """

    sensor_size = (128, 128)
    classes = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    folder = "CIFAR10-DVS"
    instructions = (
        "Get airplane.zip to truck.zip from https://figshare.com/articles/dataset/CIFAR10-DVS_New/4724671 and unpack them into one folder, "
        "so that it holds airplane/cifar10_airplane_0.aedat and so on."
    )

    def __init__(self, root: str | None = None, split: Split = "train", scheme: Scheme = "default") -> None:
        if scheme not in get_args(Scheme):
            raise EventZooError(f"CIFAR10DVS has the schemes {' and '.join(get_args(Scheme))}, not {scheme!r}")
        self.scheme = scheme
        super().__init__(root, split)

    def _find(self) -> list[tuple[Path, int]]:
        found = sorted((*self._label_and_id(path), path) for path in self.root.glob("*/*.aedat"))
        return [(path, label) for label, number, path in found if _split(number, self.scheme) == self.split]

    def _label_and_id(self, path: Path) -> tuple[int, int]:
        name, folder = _NAME.fullmatch(path.name), path.parent.name
        if not name or name[1] != folder or folder not in self.classes:
            raise EventZooError(
                f"{path}: CIFAR10-DVS's recordings are called <class>/cifar10_<class>_<id>.aedat, such as cat/cifar10_cat_7.aedat; "
                "remove or rename this file"
            )
        return self.classes.index(folder), int(name[2])

    def _read(self, path: Path) -> Events:
        return _exchanged(read(path, sensor_size=self.sensor_size, sort=True))

    @classmethod
    def export(cls, root: Path, split: Split, recordings: Iterable[Sample], scheme: Scheme = "default") -> None:
        """Write recordings for one of the schemes. As `FolderDataset.export`."""
        ids = {name: (number for number in count() if _split(number, scheme) == split) for name in cls.classes}
        for sample in recordings:
            name = cls.classes[label_of(sample)]
            path = root / name / f"cifar10_{name}_{next(ids[name])}.aedat"
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path, _exchanged(sample.events), encoding="aedat2")


def _exchanged(events: Events) -> Events:
    return Events(events.y, events.x, events.t, events.p, events.sensor_size, trusted=True)


def _split(number: int, scheme: Scheme) -> Split:
    if scheme == "default":
        return split_of(number)
    if number < _TEBN_TEST:
        return "test"
    return "val" if held_out(number) else "train"
