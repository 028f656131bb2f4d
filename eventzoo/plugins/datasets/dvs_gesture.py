"""DVS128 Gesture: people who gesture with their arms in front of an event camera, in five kinds of light."""

import csv
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np

from eventzoo.data.dataset import FolderDataset, Sample, Split, held_out, label_of, numbers
from eventzoo.errors import EventFileError, EventZooError
from eventzoo.io import read, write

Layout = Literal["aedat", "npz"]

UPSTREAM_ORDER = tuple(sorted(range(11), key=str))
"""(0, 1, 10, 2, 3, …, 9): output `i` of a network that was trained on SpikingJelly's copy means the class `UPSTREAM_ORDER[i]` here.

SpikingJelly names the classes' folders 0 to 10, and torchvision numbers folders by their names as text, so that the folder 10
comes third. All published weights of Event2Vec are in this order; `logits[..., np.argsort(UPSTREAM_ORDER)]` has ours.
"""

_ARCHIVE_FOLDER = "DvsGesture"
_LISTS = {"train": "trials_to_train.txt", "val": "trials_to_train.txt", "test": "trials_to_test.txt"}
_ARRAY_FOLDERS = {"train": "train", "val": "train", "test": "test"}
_TRIAL = re.compile(r"user([0-9]{1,6})_([a-z_]+)")
_ARRAY_NAME = re.compile(r"(user[0-9]{1,6}_[a-z_]+)_([0-9]{1,6})\.npz")
_COLUMNS = ["class", "startTime_usec", "endTime_usec"]
_NUMBER = re.compile(r"\s*([0-9]{1,18})\s*")


class _Clip(NamedTuple):
    """Where a sample lies. In this order they are sorted; `start` and `stop` are microseconds, None for the whole file."""

    label: int
    user: int
    trial: str
    number: int
    path: Path
    start: int | None
    stop: int | None


class DVSGesture(FolderDataset):
    """DVS128 Gesture: 11 gestures of 29 people, each a few seconds long, seen by a DVS of 128×128 pixels.

    Amir et al., "A Low Power, Fully Event-Based Gesture Recognition System", CVPR 2017. Two layouts:

    - `aedat`, as published: `<trial>.aedat` (AEDAT 3.1), `<trial>_labels.csv` with the columns `class` (from 1), `startTime_usec` and
      `endTime_usec`, and the lists `trials_to_train.txt` and `trials_to_test.txt`, in the root or in a folder `DvsGesture` inside it.
      A trial, such as `user01_led`, holds all gestures of a person in one light. A sample is what happened from a row's start until
      before its end, read without decoding what is before; times are those of the trial.
    - `npz`, as SpikingJelly cuts them out: `events_np/{train,test}/<class from 0>/<trial>_<number>.npz`. They are the same samples.

    The publishers' test people (24 to 29) are `test`. Of the others, those whose number is a multiple of five are `val`, the rest is
    `train`: nobody is in two of them. Samples are ordered by class, person, trial and row.

    One published row is known to be wrong: in `user22_led`, class 9 ends after the next class has begun. It is kept as it is, as in
    SpikingJelly. A label is the published class less one, in both layouts; networks trained elsewhere may have `UPSTREAM_ORDER`.

    Args:
        root: Folder of the dataset. Default: the folder `DVS128Gesture` inside `$EVENTZOO_DATA`, or inside `data`.
        split: `train`, `val` or `test`.
        layout: How the recordings lie in the folder.

    Raises:
        DatasetNotFoundError: There are no recordings of this split.
        EventFileError: A list or a table of labels is not what it should be, or a trial that is listed is missing.
        EventZooError: There is no such split or layout, or a file has a strange name.
    """

    sensor_size = (128, 128)
    classes = (
        "hand_clapping",
        "right_hand_wave",
        "left_hand_wave",
        "right_arm_clockwise",
        "right_arm_counter_clockwise",
        "left_arm_clockwise",
        "left_arm_counter_clockwise",
        "arm_roll",
        "air_drums",
        "air_guitar",
        "other_gestures",
    )
    folder = "DVS128Gesture"
    instructions = (
        "Get DvsGesture.tar.gz from https://research.ibm.com/interactive/dvsgesture and unpack it, so that the folder holds "
        "trials_to_train.txt, user01_led.aedat, user01_led_labels.csv and so on, or holds DvsGesture, which does; for layout='npz', "
        "let SpikingJelly make events_np/train/0 and so on of it."
    )

    def __init__(self, root: str | None = None, split: Split = "train", layout: Layout = "aedat") -> None:
        super().__init__(root, split)
        if layout not in get_args(Layout):
            raise EventZooError(f"DVSGesture has the layouts {' and '.join(get_args(Layout))}, not {layout!r}")
        self.layout = layout
        if (self.root / _ARCHIVE_FOLDER).is_dir() and layout == "aedat":
            self.root /= _ARCHIVE_FOLDER  # so that a sample's key does not depend on where the archive was unpacked
        self._clips = sorted(self._find_arrays() if layout == "npz" else self._find_rows())
        if not self._clips:
            raise self._not_found()

    def _wanted(self, user: int) -> bool:
        return self.split == "test" or held_out(user) == (self.split == "val")

    def _find_arrays(self) -> Iterator[_Clip]:
        for path in self.root.glob(f"events_np/{_ARRAY_FOLDERS[self.split]}/*/*.npz"):
            name, folder = _ARRAY_NAME.fullmatch(path.name), path.parent.name
            if not name or folder not in map(str, range(len(self.classes))):
                raise EventZooError(
                    f"{path}: recordings of DVS128 Gesture are called <class, 0 to 10>/<trial>_<number>.npz, such as 3/user01_led_0.npz; "
                    "remove or rename this file"
                )
            user = _user(self.root, name[1])
            if self._wanted(user):
                yield _Clip(int(folder), user, name[1], int(name[2]), path, None, None)

    def _find_rows(self) -> Iterator[_Clip]:
        file = self.root / _LISTS[self.split]
        for trial in _trials(file) if file.is_file() else []:
            user = _user(file, trial)
            if not self._wanted(user):
                continue
            path = self.root / f"{trial}.aedat"
            if not path.is_file():
                raise EventFileError(file, f"lists {path.name}, which is not in {self.root}; unpack the dataset again")
            for number, (label, start, stop) in enumerate(_rows(_labels_of(path), len(self.classes))):
                yield _Clip(label, user, trial, number, path, start, stop)

    def __len__(self) -> int:
        return len(self._clips)

    def __getitem__(self, index: int) -> Sample:
        clip = self._clips[index]
        key = f"{clip.trial}/{clip.number}" if self.layout == "aedat" else clip.path.relative_to(self.root).with_suffix("").as_posix()
        return Sample(read(clip.path, sensor_size=self.sensor_size, start=clip.start, stop=clip.stop, sort=True), clip.label, key)

    def source_files(self) -> list[Path]:
        """The recordings, their labels and the list of trials."""
        paths = sorted({clip.path for clip in self._clips})
        return paths if self.layout == "npz" else [*paths, *map(_labels_of, paths), self.root / _LISTS[self.split]]

    def verify(self) -> None:
        """Read every sample. Raises `EventFileError` for the first that is broken, `EventZooError` for one without events."""
        for index in range(len(self)):
            sample = self[index]
            if not len(sample.events):
                raise EventZooError(f"{self._clips[index].path}: sample {sample.key} holds no events")

    @classmethod
    def export(cls, root: Path, split: Split, recordings: Iterable[Sample], layout: Layout = "aedat") -> None:
        """Write recordings in one of the layouts, each as a trial of its own. As `FolderDataset.export`."""
        root.mkdir(parents=True, exist_ok=True)
        light = "natural" if split == "test" else "led"  # so that `test` shares no trial with the others
        for user, sample in zip(numbers(split), recordings, strict=False):
            trial, label, events = f"user{user:02d}_{light}", label_of(sample), sample.events
            if layout == "npz":
                path = root / "events_np" / _ARRAY_FOLDERS[split] / str(label) / f"{trial}_0.npz"
                path.parent.mkdir(parents=True, exist_ok=True)
                np.savez(path, t=events.t, x=events.x.astype(np.int64), y=events.y.astype(np.int64), p=events.p.astype(np.int64))
                continue
            path = root / f"{trial}.aedat"
            write(path, events, encoding="aedat3")
            start, stop = (int(events.t[0]), int(events.t[-1]) + 1) if len(events) else (0, 1)
            _labels_of(path).write_text(f"{','.join(_COLUMNS)}\n{label + 1},{start},{stop}\n")
            file = root / _LISTS[split]
            listed = dict.fromkeys([*(_trials(file) if file.is_file() else []), trial])
            file.write_text("".join(f"{name}.aedat\n" for name in listed))


def _user(file: Path, trial: str) -> int:
    name = _TRIAL.fullmatch(trial)
    if not name:
        raise EventZooError(f"{file}: {trial!r} is no trial of DVS128 Gesture, such as user01_led")
    return int(name[1])


def _labels_of(path: Path) -> Path:
    return path.with_name(f"{path.stem}_labels.csv")


def _trials(file: Path) -> list[str]:
    """The trials that a list names."""
    try:
        return [line.strip().removesuffix(".aedat") for line in file.read_text("utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:  # ValueError: not UTF-8
        raise EventFileError(file, f"cannot be read: {error}; copy it again") from error


def _rows(file: Path, classes: int) -> list[tuple[int, int, int]]:
    """Label, start and end of each gesture of a trial."""
    rows = []
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.reader(lines)
            if next(reader, None) != _COLUMNS:
                raise EventFileError(file, f"is no table of gestures: its first line must be {','.join(_COLUMNS)}", 0)
            for row in filter(None, reader):
                values = [int(match[1]) for cell in row if (match := _NUMBER.fullmatch(cell))]
                if len(row) != 3 or len(values) != 3 or not 1 <= values[0] <= classes or values[1] >= values[2]:
                    raise EventFileError(
                        file, f"line {reader.line_num}: {row} is no class from 1 to {classes}, with its start and its later end"
                    )
                rows.append((values[0] - 1, values[1], values[2]))
    except (OSError, ValueError, csv.Error) as error:  # ValueError: not UTF-8
        raise EventFileError(file, f"cannot be read as CSV: {error}; copy it again") from error
    return rows
