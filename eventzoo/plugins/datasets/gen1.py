"""Gen1: cars and pedestrians on the road, seen by an event camera behind a windscreen."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eventzoo.data.boxes import Boxes
from eventzoo.data.dataset import FolderDataset, Sample, Split
from eventzoo.errors import EventFileError, EventZooError
from eventzoo.io import read, read_windows, write
from eventzoo.io.npy import read_npy

_ARCHIVE_FOLDER = "detection_dataset_duration_60s_ratio_1.0"
_EVENTS, _BOXES = "_td.dat", "_bbox.npy"
_LABEL_DTYPE = np.dtype(
    [
        *(("ts", "<u8"), ("x", "<f4"), ("y", "<f4"), ("w", "<f4"), ("h", "<f4")),
        *(("class_id", "u1"), ("confidence", "<f4"), ("track_id", "<u4")),
    ],
    align=True,
)
_EVENTS_AT_ONCE = 1 << 20  # to verify
_FARTHEST = 1e5  # pixels: labels reach beyond the sensor, but not this far


class Gen1(FolderDataset):
    """Gen1: 39 hours of driving in recordings of 60 s, with 228,123 boxes around cars and 27,658 around pedestrians.

    De Tournemire, Nitti, Perot, Migliore and Sironi, "A Large Scale Event-based Detection Dataset for Automotive", arXiv:2001.08499,
    2020. Layout, as published by Prophesee: `train`, `val` and `test`, each with `<name>_td.dat` and `<name>_bbox.npy`, in the root or
    in the folder `detection_dataset_duration_60s_ratio_1.0` inside it. The boxes are records of `t` (`ts` in older files,
    microseconds), `x`, `y`, `w`, `h`, `class_id`, and two fields that are not needed here.

    A sample is one labelled time with all its boxes, and the events of the `window` that ends there: those with
    `t - window <= time < t`. Samples are ordered by name, then time. Only the boxes' files are read when the dataset is opened.

    Boxes are first clipped to the sensor, as labels reach beyond it. Then the accepted filter follows, that of Prophesee's toolbox for
    this sensor: boxes in the first half of a second, with a diagonal below 30 pixels or a side below 10 are left out. A time that has
    no box left is no sample: that is how detectors are evaluated on this dataset (Gehrig and Scaramuzza, "Recurrent Vision
    Transformers for Object Detection with Event Cameras", CVPR 2023).

    Args:
        root: Folder of the dataset. Default: the folder `Gen1` inside `$EVENTZOO_DATA`, or inside `data`.
        split: `train`, `val` or `test`.
        window: Microseconds before the labelled time whose events are given.
        skip: Only labels after this time of their recording are used, microseconds.
        min_diagonal: Least diagonal of a box, pixels.
        min_side: Least width and height of a box, pixels.

    Raises:
        DatasetNotFoundError: There are no recordings of this split.
        EventFileError: A recording lacks its boxes or its events, or boxes cannot be read.
        EventZooError: `window` is not positive.
    """

    sensor_size = (304, 240)
    classes = ("car", "pedestrian")
    task = "detection"
    folder = "Gen1"
    instructions = (
        "Get the archives of the Gen1 automotive detection dataset from "
        "https://www.prophesee.ai/2020/01/24/prophesee-gen1-automotive-detection-dataset/ and unpack them, so that the folder holds "
        f"{_ARCHIVE_FOLDER}/train/<name>_td.dat with <name>_bbox.npy beside it, or train, val and test themselves."
    )

    def __init__(
        self,
        root: str | None = None,
        split: Split = "train",
        window: int = 100_000,
        skip: int = 500_000,
        min_diagonal: float = 30,
        min_side: float = 10,
    ) -> None:
        super().__init__(root, split)
        if window < 1:
            raise EventZooError(f"Gen1: the window must be at least 1 µs, not {window}")
        self.window, self.skip, self.min_diagonal, self.min_side = window, skip, min_diagonal, min_side
        if (self.root / _ARCHIVE_FOLDER).is_dir():
            self.root /= _ARCHIVE_FOLDER  # so that a sample's key does not depend on where the archive was unpacked
        self.recordings = self._find()
        if not self.recordings:
            raise self._not_found()
        self._labels = [self._wanted(_read_labels(_boxes_of(path))) for path in self.recordings]
        self._first = np.cumsum([0, *(len(np.unique(labels.t)) for labels in self._labels)])

    def _find(self) -> list[Path]:
        """The recordings' events, by name."""
        recordings = sorted((self.root / self.split).glob("*" + _EVENTS))
        labels = set((self.root / self.split).glob("*" + _BOXES))
        for path in recordings:
            if _boxes_of(path) not in labels:
                raise EventFileError(_boxes_of(path), f"there is no such file, which holds the boxes of {path.name}; copy it again")
        for path in sorted(labels - {_boxes_of(recording) for recording in recordings}):
            raise EventFileError(path, "holds the boxes of a recording that is not here; copy that again, or remove this file")
        return recordings

    def _wanted(self, labels: Boxes) -> Boxes:
        """The boxes that pass the filter, clipped, in order of time."""
        labels = labels[np.argsort(labels.t, kind="stable")].clipped(self.sensor_size)
        sides = labels.sizes
        large = (np.hypot(*sides.T) >= self.min_diagonal) & (sides >= self.min_side).all(1)
        return labels[large & (labels.t > self.skip)]

    def __len__(self) -> int:
        return int(self._first[-1])

    def __getitem__(self, index: int) -> Sample:
        index = range(len(self))[index]
        recording = int(self._first.searchsorted(index, side="right")) - 1
        path, labels = self.recordings[recording], self._labels[recording]
        time = int(np.unique(labels.t)[index - self._first[recording]])
        events = read(path, sensor_size=self.sensor_size, start=max(0, time - self.window), stop=time, sort=True)
        return Sample(events, None, f"{self.split}/{_name(path)}/{time}", labels[labels.t == time])

    def source_files(self) -> list[Path]:
        """Events and boxes of the recordings."""
        return [file for path in self.recordings for file in (path, _boxes_of(path))]

    def verify(self) -> None:
        """Read every recording from beginning to end.

        Raises:
            EventFileError: For the first that is broken, or that ends before the last of its labelled windows begins.
        """
        for path, labels in zip(self.recordings, self._labels, strict=True):
            end = 0
            for events in read_windows(path, sensor_size=self.sensor_size, count=_EVENTS_AT_ONCE):
                end = int(events.t[-1])
            if len(labels) and end < labels.t[-1] - self.window:
                raise EventFileError(path, f"its events end at {end:,} µs, its labels at {labels.t[-1]:,} µs; copy it again")

    @classmethod
    def export(cls, root: Path, split: Split, recordings: Iterable[Sample]) -> None:
        """Write recordings with their boxes, each box at its own time. As `FolderDataset.export`."""
        folder = root / _ARCHIVE_FOLDER / split
        folder.mkdir(parents=True, exist_ok=True)
        for number, sample in enumerate(recordings):
            boxes = Boxes.empty() if sample.boxes is None else sample.boxes
            labels = np.zeros(len(boxes), _LABEL_DTYPE)
            labels["ts"], labels["class_id"], labels["confidence"] = boxes.t, boxes.class_ids, 1
            labels["x"], labels["y"] = boxes.xyxy[:, :2].T
            labels["w"], labels["h"] = boxes.sizes.T
            write(folder / f"recording_{number:06d}{_EVENTS}", sample.events)
            np.save(folder / f"recording_{number:06d}{_BOXES}", labels)


def _name(path: Path) -> str:
    return path.name.removesuffix(_EVENTS)


def _boxes_of(path: Path) -> Path:
    return path.with_name(_name(path) + _BOXES)


def _read_labels(path: Path) -> Boxes:
    """All boxes in a file, as they stand there."""
    records = read_npy(path)
    names = records.dtype.names or ()
    time = "t" if "t" in names else "ts"
    missing = [name for name in (time, "x", "y", "w", "h", "class_id") if name not in names or records.dtype[name].kind not in "iuf"]
    if missing or records.ndim != 1:
        raise EventFileError(path, f"is no list of boxes: it lacks the fields {', '.join(missing) or 'of records'}")
    x, y, w, h = (records[name].astype(np.float64) for name in ("x", "y", "w", "h"))
    t, class_ids = (_whole(path, records, name) for name in (time, "class_id"))
    wrong = ~(np.abs([x, y, w, h]) < _FARTHEST).all(0) | (w < 0) | (h < 0) | (class_ids < 0) | (class_ids >= len(Gen1.classes)) | (t < 0)
    if wrong.any():
        at = int(wrong.argmax())
        raise EventFileError(path, f"box {at:,} is impossible: {dict(zip(names, records[at].tolist(), strict=True))}; copy the file again")
    return Boxes(np.stack((x, y, x + w, y + h), 1).astype(np.float32), class_ids, t)


def _whole(path: Path, records: NDArray[Any], name: str) -> NDArray[np.int64]:
    with np.errstate(invalid="ignore"):
        whole: NDArray[np.int64] = records[name].astype(np.int64)
    if (whole != records[name]).any():
        raise EventFileError(path, f"the field {name} holds {records[name][whole != records[name]][0]}, no whole number")
    return whole
