"""MNIST-DVS: handwritten digits that move over a screen, in front of an event camera that stands still."""

import re
from collections.abc import Iterable
from itertools import count
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from eventzoo.data.dataset import FileDataset, Sample, Split, label_of, split_of
from eventzoo.errors import EventFileError, EventZooError
from eventzoo.events import Events
from eventzoo.io import read, write

Version = Literal["scale4", "scale8", "scale16", "text"]

_LAST = 127  # column and row
_FOLDER = re.compile(r"grabbed_data([0-9])")
_NAME = re.compile(r".*?([0-9]{4})\.aedat")
_CLIP_NAME = re.compile(r"m([0-9])([0-9]+)\.txt")


class MNISTDVS(FileDataset):
    """MNIST-DVS: 10,000 digits of MNIST at three sizes, each seen by a DVS of 128×128 pixels for 2 to 3 s.

    Serrano-Gotarredona and Linares-Barranco, "Poker-DVS and MNIST-DVS. Their History, How They Were Made, and Other Details",
    Frontiers in Neuroscience 9:481, 2015. Layout, as published: `grabbed_data<digit>/scale<4, 8 or 16>/<name><number>.aedat`, in which
    the number has four digits and `scale04` may stand for `scale4`. The version `text` is of clips of 200 ms in files
    `m<digit><number>.txt`: lines `x y t p`, the last of which, `0 0 <t> 0`, marks the end and is no event.

    The publishers give no splits: a recording is `test` if its number is a multiple of ten, `val` if it is another multiple of
    five, and else `train`. Samples are ordered by digit, then number.

    Digits stand upright. The camera had been turned by a quarter: what `read` gives of an `.aedat` file is turned back here, and so is
    what the publishers' script `dat2mat.m` gives of it, which is what the text clips hold.

    Events of a recording are sorted by time: recorders of 2013 let some come late.

    Args:
        root: Folder of the dataset. Default: the folder `MNIST-DVS` inside `$EVENTZOO_DATA`, or inside `data`.
        split: `train`, `val` or `test`.
        version: Size of the digits, or the text clips.

    Raises:
        DatasetNotFoundError: There are no recordings of this split.
        EventZooError: There is no such split or version, or a file has a strange name.
    """

    sensor_size = (128, 128)
    classes = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
    folder = "MNIST-DVS"
    instructions = (
        "Get grabbed_data0.zip to grabbed_data9.zip from http://www2.imse-cnm.csic.es/caviar/MNISTDVS.html and unpack them into one "
        "folder, so that it holds grabbed_data0/scale4, grabbed_data0/scale8 and so on; for version='text', it holds m00.txt and so on."
    )

    def __init__(self, root: str | None = None, split: Split = "train", version: Version = "scale16") -> None:
        if version not in get_args(Version):
            raise EventZooError(f"MNISTDVS has the versions {', '.join(get_args(Version))}, not {version!r}")
        self.version = version
        super().__init__(root, split)

    def _find(self) -> list[tuple[Path, int]]:
        find = self._find_clips if self.version == "text" else self._find_recordings
        return [(path, digit) for digit, number, path in sorted(find()) if split_of(number) == self.split]

    def _find_recordings(self) -> Iterable[tuple[int, int, Path]]:
        """Digit, number and path."""
        scale = self.version.removeprefix("scale")
        for path in self.root.glob("grabbed_data*/*/*.aedat"):
            if path.parent.name.removeprefix("scale").removeprefix("0") != scale:
                continue
            folder, name = _FOLDER.fullmatch(path.parents[1].name), _NAME.fullmatch(path.name)
            if not folder or not name:
                raise EventZooError(
                    f"{path}: MNIST-DVS's recordings are called grabbed_data<digit>/<scale>/<name><number of four digits>.aedat; "
                    "remove or rename this file"
                )
            yield int(folder[1]), int(name[1]), path

    def _find_clips(self) -> Iterable[tuple[int, int, Path]]:
        """Digit, number and path."""
        for path in self.root.glob("m*.txt"):
            name = _CLIP_NAME.fullmatch(path.name)
            if not name:
                raise EventZooError(f"{path}: the clips of MNIST-DVS are called m<digit><number>.txt; remove or rename this file")
            yield int(name[1]), int(name[2]), path

    def _read(self, path: Path) -> Events:
        if path.suffix == ".txt":
            return _turned_clip(_without_end(path, read(path, sensor_size=self.sensor_size, encoding="xytp")))
        events = read(path, sensor_size=self.sensor_size, sort=True)
        return Events(events.y, _LAST - events.x, events.t, events.p, self.sensor_size, trusted=True)

    @classmethod
    def export(cls, root: Path, split: Split, recordings: Iterable[Sample], version: Version = "scale16") -> None:
        """Write recordings in one of the versions. As `FolderDataset.export`."""
        numbers = {digit: (number for number in count(1) if split_of(number) == split) for digit in range(len(cls.classes))}
        for sample in recordings:
            digit, events = label_of(sample), sample.events
            number = next(numbers[digit])
            if version == "text":
                path, encoding = root / f"m{digit}{number}.txt", "xytp"
                events = _with_end(_turned_clip(events))
            else:
                path, encoding = root / f"grabbed_data{digit}" / version / f"mnist_{digit}_{version}_{number:04d}.aedat", "aedat2"
                events = Events(_LAST - events.y, events.x, events.t, events.p, cls.sensor_size)
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path, events, encoding=encoding)


def _turned_clip(events: Events) -> Events:
    """A clip turned upright, or back."""
    return Events(_LAST - events.y, _LAST - events.x, events.t, events.p, events.sensor_size, trusted=True)


def _without_end(path: Path, events: Events) -> Events:
    """A clip's events without the line that marks its end."""
    if not len(events) or events.x[-1] or events.y[-1] or events.p[-1]:
        raise EventFileError(path, "the last line is not 0 0 <t> 0, which marks a clip's end: truncated; copy or download the file again")
    return events[:-1]


def _with_end(events: Events) -> Events:
    time = int(events.t[-1]) if len(events) else 0
    x, y, t, p = (np.append(column, end) for column, end in ((events.x, 0), (events.y, 0), (events.t, time), (events.p, False)))
    return Events(x, y, t, p, events.sensor_size)
