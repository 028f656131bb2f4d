"""N-MNIST: handwritten digits shown to an event camera that moves in three saccades."""

from collections.abc import Iterable
from pathlib import Path

from eventzoo.data.dataset import FileDataset, Sample, Split, held_out, label_of, numbers
from eventzoo.errors import EventZooError
from eventzoo.events import Events
from eventzoo.io import read, write


class NMNIST(FileDataset):
    """N-MNIST: MNIST's 70,000 digits, recorded through an ATIS's window of 34×34 pixels for 0.3 s each.

    Orchard, Jayawant, Cohen and Thakor, "Converting Static Image Datasets to Spiking Neuromorphic Datasets Using
    Saccades", Frontiers in Neuroscience 9:437, 2015. Layout, as published: `Train/<digit>/<id>.bin` and `Test/<digit>/<id>.bin`.

    The publishers' 10,000 test recordings are `test`. Of their 60,000 training recordings, those whose id is a multiple of
    five are `val` and the others `train`. Samples are ordered by digit, then id.

    Args:
        root: Folder of the dataset. Default: the dataset's usual folder name inside `$EVENTZOO_DATA`, or inside `data`.
        split: `train`, `val` or `test`.
        first: Take only training recordings whose id is at most this; None for all.
    """

    sensor_size = (34, 34)
    classes = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
    folder = "N-MNIST"
    instructions = (
        "Get Train.zip and Test.zip from https://www.garrickorchard.com/datasets/n-mnist and unpack both into one folder, "
        "so that it holds Train/0/00002.bin and so on."
    )

    def __init__(self, root: str | None = None, split: Split = "train", first: int | None = None) -> None:
        self.first = first
        super().__init__(root, split)

    def _find(self) -> list[tuple[Path, int]]:
        found = [(*self._digit_and_id(path), path) for path in self.root.glob(f"{'Test' if self.split == 'test' else 'Train'}/**/*.bin")]
        if self.split != "test":
            found = [entry for entry in found if held_out(entry[1]) == (self.split == "val")]
            found = [entry for entry in found if self.first is None or entry[1] <= self.first]
        return [(path, digit) for digit, _, path in sorted(found)]

    def _digit_and_id(self, path: Path) -> tuple[int, int]:
        digit, name = path.parent.name, path.stem
        if digit not in self.classes or len(path.relative_to(self.root).parts) != 3 or not (name.isascii() and name.isdigit()):
            raise EventZooError(
                f"{path}: N-MNIST's recordings are called <digit>/<id>.bin, such as 3/00108.bin; remove or rename this file"
            )
        return self.classes.index(digit), int(name)

    def _read(self, path: Path) -> Events:
        return read(path, sensor_size=self.sensor_size)

    @classmethod
    def export(cls, root: Path, split: Split, recordings: Iterable[Sample]) -> None:
        """Write recordings as `<digit>/<id>.bin`. As `FolderDataset.export`."""
        for number, sample in zip(numbers(split), recordings, strict=False):
            folder = root / ("Test" if split == "test" else "Train") / cls.classes[label_of(sample)]
            folder.mkdir(parents=True, exist_ok=True)
            write(folder / f"{number:05d}.bin", sample.events)
