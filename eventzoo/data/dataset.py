"""What a dataset is: a fixed, labelled list of recordings."""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import ClassVar, Literal, Self, get_args

from torch.utils.data import Dataset

from eventzoo.data.boxes import Boxes
from eventzoo.errors import DatasetNotFoundError, EventZooError
from eventzoo.events import Events
from eventzoo.specs import Part

Split = Literal["train", "val", "test"]
TaskName = Literal["classification", "detection"]


@dataclass(frozen=True)
class Sample:
    """One recording with its answer.

    Attributes:
        events: The recording.
        label: Index into the dataset's `classes`; None in detection, where each box has one.
        key: Stable name of the sample, unique within its dataset: `"train/3/00108"`.
        boxes: The objects in detection, none of them or several; None in classification.
        mixed_with: Label of the sample that this one is mixed with, and the share of the events that come from it; None if none is.
    """

    events: Events
    label: int | None
    key: str
    boxes: Boxes | None = None
    mixed_with: tuple[int, float] | None = None

    @property
    def target(self) -> int | Boxes:
        """The label, or the boxes."""
        answer = self.label if self.boxes is None else self.boxes
        if answer is None:
            raise EventZooError(f"sample {self.key} has neither label nor boxes")
        return answer


class EventDataset(Part, Dataset[Sample], ABC):
    """Base of all datasets: map-style, in a fixed order. Never shuffles, never augments.

    A subclass is constructed with `split` and keeps it; everything else about its construction is its own.

    Attributes:
        sensor_size: `(width, height)` in pixels.
        classes: Names of the classes; a label is an index into them.
        task: What its samples carry: a label each, or boxes.
        split: Which part of the data this is.
    """

    sensor_size: ClassVar[tuple[int, int]]
    classes: ClassVar[tuple[str, ...]]
    task: TaskName = "classification"
    split: Split

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, index: int) -> Sample: ...

    @abstractmethod
    def verify(self) -> None:
        """Read every sample, and raise the first error with the name of the file that it is in."""

    def source_files(self) -> list[Path]:
        """The files that samples are read from, in a fixed order: prepared samples are stale when one of them changes."""
        return []

    @classmethod
    def classes_for(cls, task: TaskName) -> tuple[str, ...]:  # noqa: ARG003  # for those who override it
        """Names of the classes at a task, for those who have no recordings: not every class has boxes."""
        return cls.classes

    def at_split(self, split: Split) -> Self:
        """The same dataset at another split."""
        return type(self)(**{**self.init_args, "split": split})


class FolderDataset(EventDataset):
    """Base of the datasets that lie in a folder, in the layout in which their authors publish them.

    Args:
        root: Folder of the dataset. Default: the dataset's usual folder name inside `$EVENTZOO_DATA`, or inside `data`.
        split: `train`, `val` or `test`.

    Attributes:
        folder: The usual name of the dataset's folder.
        instructions: Where the data comes from and how it must lie, for the error when it is missing.
    """

    folder: ClassVar[str]
    instructions: ClassVar[str]

    def __init__(self, root: str | None = None, split: Split = "train") -> None:
        if split not in get_args(Split):
            raise EventZooError(f"{type(self).__name__} has the splits {', '.join(get_args(Split))}, not {split!r}")
        self.root = Path(root) if root is not None else Path(os.environ.get("EVENTZOO_DATA", "data")) / self.folder
        self.split = split

    @classmethod
    def export(cls, root: Path, split: Split, recordings: Iterable[Sample]) -> None:  # noqa: ARG003  # for those who override it
        """Write recordings in this dataset's on-disk layout, so that the dataset at `split` reads them back.

        Recordings of a class are read back in the order given, with the same events. Other files in the folder are left as they
        are, so that one folder takes all splits.

        Args:
            root: Folder of the dataset; made if it does not exist.
            split: The split that the recordings shall be found in: their numbers, names or lists are chosen for that.
            recordings: Samples of this dataset's `sensor_size`, with labels or boxes as its `task` has them.

        Raises:
            EventZooError: The dataset cannot be written.
        """
        raise EventZooError(f"{cls.__name__} cannot be written: its class has no export")

    def _not_found(self) -> DatasetNotFoundError:
        """The error to raise where the split has no recordings."""
        return DatasetNotFoundError(
            f"{type(self).__name__}: no {self.split} recordings under {self.root.absolute()}. {self.instructions} "
            "Then give the folder as root, or set EVENTZOO_DATA to the folder that holds it."
        )


class FileDataset(FolderDataset):
    """Base of the datasets with one labelled recording a file.

    A subclass sets `folder` and `instructions`, lists its files with `_find`, and reads one with `_read`.

    Args:
        root: Folder of the dataset. Default: the dataset's usual folder name inside `$EVENTZOO_DATA`, or inside `data`.
        split: `train`, `val` or `test`.
    """

    def __init__(self, root: str | None = None, split: Split = "train") -> None:
        super().__init__(root, split)
        self.files = self._find()
        if not self.files:
            raise self._not_found()

    @abstractmethod
    def _find(self) -> list[tuple[Path, int]]:
        """The split's files with their labels, in a fixed order; empty if there are none."""

    @abstractmethod
    def _read(self, path: Path) -> Events:
        """The recording in a file."""

    def __len__(self) -> int:
        return len(self.files)

    def source_files(self) -> list[Path]:
        """The recordings."""
        return [path for path, _ in self.files]

    def __getitem__(self, index: int) -> Sample:
        path, label = self.files[index]
        return Sample(self._read(path), label, path.relative_to(self.root).with_suffix("").as_posix())

    def verify(self) -> None:
        """Read every recording. Raises `EventFileError` for the first that is broken, `EventZooError` for one without events."""
        for path, _ in self.files:
            if not len(self._read(path)):
                raise EventZooError(f"{path}: the recording holds no events")


def label_of(sample: Sample) -> int:
    """The label of a sample that needs one, whether or not it has boxes as well.

    Raises:
        EventZooError: It has none.
    """
    if sample.label is None:
        raise EventZooError(f"sample {sample.key} has no label, which a dataset with one object a recording needs")
    return sample.label


def held_out(number: int) -> bool:
    """Whether a training recording belongs to the validation split where a dataset publishes none: every fifth by its number."""
    return number % 5 == 0


def split_of(number: int) -> Split:
    """Where a recording belongs if its dataset publishes no splits at all: every tenth by its number to `test`, other fifths to `val`."""
    if number % 10 == 0:
        return "test"
    return "val" if held_out(number) else "train"


def numbers(split: Split) -> Iterator[int]:
    """The numbers, from 1 on, that recordings of a split have where `held_out` tells `train` from `val`; `test` has any."""
    return (number for number in count(1) if split == "test" or held_out(number) == (split == "val"))
