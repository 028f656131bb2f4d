"""N-Caltech101: photographs of a hundred kinds of things, shown to an event camera that moves in three saccades."""

import csv
import re
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import ClassVar, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from eventzoo.data.boxes import Boxes
from eventzoo.data.dataset import FileDataset, Sample, Split, held_out, label_of, split_of
from eventzoo.errors import EventFileError, EventZooError
from eventzoo.events import Events
from eventzoo.io import read, write
from eventzoo.io.npy import read_npy

Task = Literal["classification", "detection"]

_BACKGROUND = "BACKGROUND_Google"
_EVENTS_FOLDER, _BOXES_FOLDER = "Caltech101", "Caltech101_annotations"
_ARRAY_FOLDERS = {"train": "training", "val": "validation", "test": "testing"}
_NAME = re.compile(r"image_(\d{1,9})\.bin", re.ASCII)
_COLUMNS = ["events_file_path", "class_index"]
_LAST_TIME = 100_000_000  # microseconds, to notice times that are not in seconds; the recordings last a third of one

_CORNERS_END = 20  # bytes
_FARTHEST = 1_000  # pixels: boxes reach beyond the sensor, but not this far

# Where the camera's saccades have moved the picture, from their beginning on: microseconds, pixels to the right, pixels down
_SACCADE_TIMES, _SACCADE_X, _SACCADE_Y = (0, 100_000, 200_000, 300_000), (0, 3.5, 7, 0), (0, 7, 0, 0)


class NCaltech101(FileDataset):
    """N-Caltech101: Caltech101's photographs on a screen, seen by an ATIS for 0.3 s each; 8,709 recordings of 101 classes.

    Orchard, Jayawant, Cohen and Thakor, "Converting Static Image Datasets to Spiking Neuromorphic Datasets Using
    Saccades", Frontiers in Neuroscience 9:437, 2015. Layout, as published: `Caltech101/<class>/image_<number>.bin` and, for
    detection, `Caltech101_annotations/<class>/annotation_<number>.bin`. For classification, the copy with splits of Gehrig et al.,
    "End-to-End Learning of Representations for Asynchronous Event-Based Data", ICCV 2019, is read too:
    `{training,validation,testing}/<class>/<name>.npy`, each an array `[N, 4]` of x, y, time in seconds and polarity.

    The publishers give no splits. Without `split_files`, a recording is `test` if its number is a multiple of ten, `val` if it
    is another multiple of five, and else `train`. Samples are ordered by class, then number, whatever the order of the lists.

    In detection, a sample has one box, that around the object when the last of its events happened: the annotated one, moved by what
    the saccades have moved the picture until then (Messikommer, Gehrig, Loquercio and Scaramuzza, "Event-based Asynchronous Sparse
    Convolutional Networks", ECCV 2020), and clipped to the sensor. The background has no boxes: it is left out, and the classes
    after it have lower labels than in classification.

    Args:
        root: Folder of the dataset. Default: the folder `N-Caltech101` inside `$EVENTZOO_DATA`, or inside `data`.
        split: `train`, `val` or `test`.
        task: `classification` or `detection`.
        split_files: CSV file of each split by the split's name, with the columns `events_file_path` (`<class>/image_<number>.bin`) and
            `class_index` (from 0, in the order of the 101 `classes`). If there is none for `val`, the listed recordings of `train` whose
            number is a multiple of five are `val`.
        start: Only events at or after this time, microseconds.
        stop: Only events before this time, microseconds.

    Raises:
        DatasetNotFoundError: There are no recordings of this split.
        EventFileError: A list of a split is not what it should be, or a recording that it names, or its box, is missing.
        EventZooError: There is no such split or task, or a file has a strange name.
    """

    sensor_size = (240, 180)
    # fmt: off
    classes: ClassVar[tuple[str, ...]] = (
        "accordion", "airplanes", "anchor", "ant", "BACKGROUND_Google", "barrel", "bass", "beaver", "binocular", "bonsai", "brain",
        "brontosaurus", "buddha", "butterfly", "camera", "cannon", "car_side", "ceiling_fan", "cellphone", "chair", "chandelier",
        "cougar_body", "cougar_face", "crab", "crayfish", "crocodile", "crocodile_head", "cup", "dalmatian", "dollar_bill", "dolphin",
        "dragonfly", "electric_guitar", "elephant", "emu", "euphonium", "ewer", "Faces_easy", "ferry", "flamingo", "flamingo_head",
        "garfield", "gerenuk", "gramophone", "grand_piano", "hawksbill", "headphone", "hedgehog", "helicopter", "ibis", "inline_skate",
        "joshua_tree", "kangaroo", "ketch", "lamp", "laptop", "Leopards", "llama", "lobster", "lotus", "mandolin", "mayfly", "menorah",
        "metronome", "minaret", "Motorbikes", "nautilus", "octopus", "okapi", "pagoda", "panda", "pigeon", "pizza", "platypus", "pyramid",
        "revolver", "rhino", "rooster", "saxophone", "schooner", "scissors", "scorpion", "sea_horse", "snoopy", "soccer_ball", "stapler",
        "starfish", "stegosaurus", "stop_sign", "strawberry", "sunflower", "tick", "trilobite", "umbrella", "watch", "water_lilly",
        "wheelchair", "wild_cat", "windsor_chair", "wrench", "yin_yang",
    )
    # fmt: on
    folder = "N-Caltech101"
    instructions = (
        "Get Caltech101.zip and Caltech101_annotations.zip from https://www.garrickorchard.com/datasets/n-caltech101 and unpack both "
        "into one folder, so that it holds Caltech101/accordion/image_0001.bin and so on."
    )

    def __init__(
        self,
        root: str | None = None,
        split: Split = "train",
        task: Task = "classification",
        split_files: dict[str, str] | None = None,
        start: int | None = None,
        stop: int | None = None,
    ) -> None:
        if task not in get_args(Task):
            raise EventZooError(f"NCaltech101 has the tasks {', '.join(get_args(Task))}, not {task!r}")
        if split_files is not None and not {"train", "test"} <= set(split_files) <= set(get_args(Split)):
            raise EventZooError(
                f"NCaltech101: split_files needs a file each for train and test, and may have one for val; it has {split_files}"
            )
        self.task, self.split_files, self.start, self.stop = task, split_files, start, stop
        self.classes = self.classes_for(task)  # type: ignore[misc]
        super().__init__(root, split)
        if task == "detection":
            for path in self._annotations():
                if not path.is_file():
                    raise EventFileError(
                        path, "there is no such file, which holds the box of a recording; unpack Caltech101_annotations.zip"
                    )

    @classmethod
    def classes_for(cls, task: Task) -> tuple[str, ...]:
        """Names of the classes at a task: in detection, all but the background."""
        return tuple(name for name in cls.classes if task == "classification" or name != _BACKGROUND)

    def _find(self) -> list[tuple[Path, int]]:
        if self.task == "classification" and self.split_files is None and not (self.root / _EVENTS_FOLDER).is_dir():
            found = sorted((self._label(path), path.name, path) for path in self.root.glob(f"{_ARRAY_FOLDERS[self.split]}/*/*.npy"))
            return [(path, label) for label, _, path in found]
        numbered = sorted(
            (self._label(path), _number(path), path) for path in self.root.glob(f"{_EVENTS_FOLDER}/*/*.bin") if self._used(path)
        )
        if self.split_files is None:
            return [(path, label) for label, number, path in numbered if split_of(number) == self.split]
        listed = self._listed(self.split_files, {path for _, _, path in numbered})
        return [(path, label) for label, _, path in numbered if path in listed]

    def _used(self, path: Path) -> bool:
        return self.task == "classification" or path.parent.name != _BACKGROUND

    def _label(self, path: Path) -> int:
        if path.parent.name not in self.classes:
            raise EventZooError(
                f"{path}: {path.parent.name!r} is no class of N-Caltech101, such as accordion; remove or rename this folder"
            )
        return self.classes.index(path.parent.name)

    def _listed(self, files: dict[str, str], found: set[Path]) -> set[Path]:
        """The recordings that the split's file lists."""
        file = Path(files.get(self.split, files["train"]))
        listed, folders = set(), {str(index): name for index, name in enumerate(type(self).classes)}
        for line, (name, class_index) in enumerate(_rows(file), 2):
            if name.count("/") != 1 or name.split("/")[0] != folders.get(class_index):
                raise EventFileError(file, f"line {line}: {name!r} with the index {class_index!r} is no recording of that class")
            path = self.root / _EVENTS_FOLDER / name
            if not self._used(path):
                continue
            if path not in found:
                raise EventFileError(
                    file, f"line {line} lists {name}, which is not in {self.root / _EVENTS_FOLDER}; unpack the dataset again"
                )
            if self.split == "test" or "val" in files or held_out(_number(path)) == (self.split == "val"):
                listed.add(path)
        return listed

    def _read(self, path: Path) -> Events:
        if path.suffix == ".npy":
            return self._read_array(path)
        return read(path, sensor_size=self.sensor_size, start=self.start, stop=self.stop, sort=True)

    def _read_array(self, path: Path) -> Events:
        array = read_npy(path)
        if array.ndim != 2 or array.shape[1] != 4 or array.dtype.kind != "f":
            raise EventFileError(path, f"is no array [N, 4] of floating-point numbers, but {array.shape} of {array.dtype}")
        x, y, seconds, p = array.T.astype(np.float64)
        t = np.rint(seconds * 1e6)
        if not (np.abs(t) < _LAST_TIME).all():
            raise EventFileError(path, f"its times, the third column, are not seconds below {_LAST_TIME // 1_000_000}")
        try:
            events = Events(x, y, t, p, self.sensor_size)
        except EventZooError as error:
            raise EventFileError(path, str(error)) from error
        start = -_LAST_TIME if self.start is None else self.start
        return events.between(start, _LAST_TIME if self.stop is None else self.stop)

    def __getitem__(self, index: int) -> Sample:
        sample = super().__getitem__(index)
        if self.task == "classification":
            return sample
        path, class_id = self.files[index]
        return Sample(sample.events, None, sample.key, self._box(path, class_id, sample.events))

    def _box(self, path: Path, class_id: int, events: Events) -> Boxes:
        """The box around a recording's object at the last event."""
        time = int(events.t[-1]) if len(events) else self.start or 0
        moved = _read_corners(_annotation_of(path)) + _saccade_shift(time)
        xyxy = np.concatenate((moved.min(0), moved.max(0)))[None]
        return Boxes(xyxy.astype(np.float32), np.array([class_id]), np.array([time])).clipped(self.sensor_size)

    def _annotations(self) -> list[Path]:
        return [_annotation_of(path) for path, _ in self.files]

    def source_files(self) -> list[Path]:
        """The recordings, in detection their annotations, and the lists of the splits."""
        annotations = self._annotations() if self.task == "detection" else []
        return [*super().source_files(), *annotations, *map(Path, (self.split_files or {}).values())]

    def verify(self) -> None:
        """Read every recording and, in detection, every box. As `FileDataset.verify`."""
        super().verify()
        if self.task == "detection":
            for path in self._annotations():
                _read_corners(path)

    @classmethod
    def export(cls, root: Path, split: Split, recordings: Iterable[Sample]) -> None:
        """Write recordings with labels, and for those with a box its annotation, in whole pixels. As `FolderDataset.export`."""
        numbers = {name: (number for number in count(1) if split_of(number) == split) for name in cls.classes}
        for sample in recordings:
            name = cls.classes[label_of(sample)]
            path = root / _EVENTS_FOLDER / name / f"image_{next(numbers[name]):04d}.bin"
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path, sample.events)
            if sample.boxes and name != _BACKGROUND:
                _write_corners(_annotation_of(path), sample.boxes.xyxy[-1] - np.tile(_saccade_shift(int(sample.events.t[-1])), 2))


def _number(path: Path) -> int:
    name = _NAME.fullmatch(path.name)
    if not name:
        raise EventZooError(f"{path}: N-Caltech101's recordings are called image_<number>.bin; remove or rename this file")
    return int(name[1])


def _rows(file: Path) -> Iterator[tuple[str, str]]:
    """Path and class index of the recordings that a split's file lists."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            rows = csv.DictReader(lines)
            if not set(_COLUMNS) <= set(rows.fieldnames or ()):
                raise EventFileError(file, f"lists no recordings: its first line must name the columns {' and '.join(_COLUMNS)}", 0)
            for row in rows:
                yield row[_COLUMNS[0]] or "", row[_COLUMNS[1]] or ""
    except (OSError, ValueError, csv.Error) as error:  # ValueError: not UTF-8
        raise EventFileError(file, f"cannot be read as CSV: {error}") from error


def _annotation_of(path: Path) -> Path:
    name = f"annotation_{path.stem.removeprefix('image_')}.bin"
    return path.parents[2] / _BOXES_FOLDER / path.parent.name / name


def _saccade_shift(time: int) -> NDArray[np.float64]:
    """How far the picture has moved `time` microseconds after the beginning, pixels to the right and down, float64 `[2]`."""
    return np.array([np.interp(time, _SACCADE_TIMES, shifts) for shifts in (_SACCADE_X, _SACCADE_Y)])


def _read_corners(path: Path) -> NDArray[np.int64]:
    """The corners of an annotated box, x and y in pixels, int64 `[4, 2]`.

    A file is of little-endian int16: rows and columns of a matrix, the matrix column by column, which is x and y of one corner
    after the other; then the same for the object's outline. The box may have its first corner again as its fifth.
    Source: the ReadMe of the annotations, as the readers in use understand it.
    """
    try:
        with path.open("rb") as file:
            words = np.frombuffer(file.read(_CORNERS_END), "<i2")
    except (OSError, ValueError) as error:  # ValueError: half a word
        raise EventFileError(path, f"cannot be read: {error}; copy it again") from error
    if len(words) < _CORNERS_END // 2:
        raise EventFileError(
            path, f"truncated: it has {2 * len(words)} bytes, and a box's corners end at byte {_CORNERS_END}", 2 * len(words)
        )
    corners: NDArray[np.int64] = words[2:].astype(np.int64).reshape(4, 2)
    if int(words[0]) * int(words[1]) < corners.size or (np.ptp(corners, 0) <= 0).any() or (np.abs(corners) > _FARTHEST).any():
        raise EventFileError(
            path, f"does not begin with the four corners of a box, but with the numbers {words.tolist()}; copy it again", 0
        )
    return corners


def _write_corners(path: Path, xyxy: NDArray[np.float64]) -> None:
    left, top, right, bottom = np.rint(xyxy).astype(int)
    outline = [2, 5, *(left, top), *(right, top), *(right, bottom), *(left, bottom), *(left, top)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(np.array(outline * 2, "<i2").tobytes())
