"""ASL-DVS: the hands of five people who spell in American Sign Language, seen by an event camera."""

import hashlib
import re
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from eventzoo.data.dataset import FileDataset, Sample, Split, held_out, label_of
from eventzoo.errors import EventZooError
from eventzoo.events import Events
from eventzoo.io import read, write

Layout = Literal["mat", "npz"]
Protocol = Literal["random", "last-fifth"]

_LAST_X, _LAST_Y = 239, 179
_UNPACKED_FOLDERS = ("ICCV2019_DVS_dataset", "extract")  # what the archive and SpikingJelly call them
_ARRAY_FOLDER = "events_np"
_NAME = re.compile(r"([a-z])_([0-9]{4})")


class ASLDVS(FileDataset):
    """ASL-DVS: 100,800 recordings of the 24 letters that are signed without moving (no j, no z), 0.1 to 0.5 s each.

    Bi, Chadha, Abbas, Bourtsoulatze and Andreopoulos, "Graph-Based Object Classification for Neuromorphic Vision Sensing",
    ICCV 2019. Two layouts, told by what is in the folder:

    - as published: `<letter>/<letter>_<number of four digits>.mat`, in the root or in a folder `ICCV2019_DVS_dataset` or `extract`
      inside it. In these files x runs from right to left and y from the bottom up; it is turned here.
    - as SpikingJelly converts them: `events_np/<letter>/<letter>_<number>.npz`. It has turned them already. Both give the same
      events under the same keys; where both are there, the published files are read.

    Hands are upright, x runs from the left and y from the top. Events are sorted by time, should some come late.

    The publishers give no splits; they tested on a fifth drawn at random. Two protocols:

    - `random`: a fifth of the recordings is `test`, a fifth of the others `val`, the rest `train`, by the SHA-256 of a recording's
      name. So the same recording is always in the same split, whichever others are there.
    - `last-fifth`, of Event2Vec: of each letter's n recordings in the order of their names, those after the first int(0.8 n) are
      `test`, 840 of 4,200. Of the others, those whose number is a multiple of five are `val` (Event2Vec has no `val`), the rest is
      `train`. As the letters have been recorded person by person, these are harder than random ones; missing files move the bounds.

    Samples are ordered by letter, then number.

    Args:
        root: Folder of the dataset. Default: the folder `ASL-DVS` inside `$EVENTZOO_DATA`, or inside `data`.
        split: `train`, `val` or `test`.
        protocol: How recordings belong to splits.

    Raises:
        DatasetNotFoundError: There are no recordings of this split.
        EventZooError: There is no such split or protocol, or a file has a strange name.
    """

    sensor_size = (_LAST_X + 1, _LAST_Y + 1)
    classes = tuple("abcdefghiklmnopqrstuvwxy")
    folder = "ASL-DVS"
    instructions = (
        "Get ICCV2019_DVS_dataset.zip as https://github.com/PIX2NVS/NVS2Graph says, unpack it and the archives in it into one folder, so "
        "that it holds a/a_0001.mat and so on; or let SpikingJelly make events_np/a/a_0001.npz and so on of it."
    )

    def __init__(self, root: str | None = None, split: Split = "train", protocol: Protocol = "random") -> None:
        if protocol not in get_args(Protocol):
            raise EventZooError(f"ASLDVS has the protocols {' and '.join(get_args(Protocol))}, not {protocol!r}")
        self.protocol = protocol
        super().__init__(root, split)

    def _find(self) -> list[tuple[Path, int]]:
        self.root = next((self.root / name for name in _UNPACKED_FOLDERS if (self.root / name).is_dir()), self.root)
        paths = list(self.root.glob("?/**/*.mat"))
        if not paths and (self.root / _ARRAY_FOLDER).is_dir():
            self.root /= _ARRAY_FOLDER  # so that a sample has the same key in both layouts
            paths = list(self.root.glob("?/**/*.npz"))
        found = sorted((*self._label_and_number(path), path) for path in paths)
        wanted = _in_last_fifth if self.protocol == "last-fifth" else _at_random
        return [(path, label) for (label, _, path), split in zip(found, wanted(found), strict=True) if split == self.split]

    def _label_and_number(self, path: Path) -> tuple[int, int]:
        name, folder = _NAME.fullmatch(path.stem), path.relative_to(self.root).parent.as_posix()
        if not name or name[1] != folder or folder not in self.classes:
            raise EventZooError(
                f"{path}: recordings of ASL-DVS are called <letter>/<letter>_<number of four digits>, such as a/a_0001.mat, without "
                "the letters j and z; remove or rename this file"
            )
        return self.classes.index(folder), int(name[2])

    def _read(self, path: Path) -> Events:
        events = read(path, sensor_size=self.sensor_size, sort=True)
        return _turned(events) if path.suffix == ".mat" else events

    @classmethod
    def export(cls, root: Path, split: Split, recordings: Iterable[Sample], layout: Layout = "mat") -> None:
        """Write recordings in one of the layouts, under names for the protocol `random`. As `FolderDataset.export`."""
        names = {letter: _names(letter, split) for letter in cls.classes}
        for sample in recordings:
            letter, events = cls.classes[label_of(sample)], sample.events
            folder = root / letter if layout == "mat" else root / _ARRAY_FOLDER / letter
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f"{next(names[letter])}.{layout}"
            if layout == "mat":
                write(path, _turned(events))
            else:
                np.savez_compressed(path, t=events.t, x=events.x, y=events.y, p=events.p.astype(np.uint8))


def _names(letter: str, split: Split) -> Iterator[str]:
    """The names that draw a split."""
    return (name for name in (f"{letter}_{number:04d}" for number in count(1)) if _drawn(name) == split)


def _turned(events: Events) -> Events:
    """The events after half a turn of the sensor."""
    return Events(_LAST_X - events.x, _LAST_Y - events.y, events.t, events.p, events.sensor_size, trusted=True)


def _drawn(name: str) -> Split:
    """The split that a recording's name draws."""
    digest = int.from_bytes(hashlib.sha256(name.encode()).digest())
    if digest % 5 == 0:
        return "test"
    return "val" if digest // 5 % 5 == 0 else "train"


def _at_random(found: list[tuple[int, int, Path]]) -> list[Split]:
    return [_drawn(path.stem) for _, _, path in found]


def _in_last_fifth(found: list[tuple[int, int, Path]]) -> list[Split]:
    """The splits of recordings that are sorted by label and number."""
    labels = np.array([label for label, _, _ in found], np.int64)
    splits: list[Split] = []
    for label, number, _ in found:
        first, stop = np.searchsorted(labels, [label, label + 1])
        is_test = len(splits) - first >= (stop - first) * 4 // 5
        splits.append("test" if is_test else "val" if held_out(number) else "train")
    return splits
