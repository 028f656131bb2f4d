"""N-Cars: cars and background, seen by an event camera behind a windscreen."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from eventzoo.data.dataset import FileDataset, Sample, Split, held_out, label_of, numbers
from eventzoo.errors import EventFileError, EventZooError
from eventzoo.events import Events
from eventzoo.io import read, write

Layout = Literal["dat", "text"]

_FOLDERS = ("cars", "background")  # in the order of the classes
_PUBLISHED = {"train": "n-cars_train", "val": "n-cars_train", "test": "n-cars_test"}
_NAME = re.compile(r"obj_(\d+)_td", re.ASCII)
_TEXT_FOLDERS = {"train": ("train", "training"), "val": ("val", "validation"), "test": ("test", "testing")}  # of rpg_asynet, and of AEGNN
_EVENTS, _IS_CAR = "events.txt", "is_car.txt"


class NCars(FileDataset):
    """N-Cars: 24,029 recordings of 100 ms, of cars and of what else a car's driver sees, cut out of an ATIS's view.

    Sironi, Brambilla, Bourdis, Lagorce and Benosman, "HATS: Histograms of Averaged Time Surfaces for Robust Event-based
    Object Classification", CVPR 2018. Two layouts, told by what is in the folder:

    - as published by Prophesee: `n-cars_train/{cars,background}/obj_<number>_td.dat` and `n-cars_test/...`, in the root or in a folder
      `Prophesee_Dataset_n_cars` inside it. The 8,607 test recordings are `test`. Of the 15,422 training recordings, those whose number is
      a multiple of five are `val` and the others `train`.
    - as rpg_asynet and AEGNN read them, a private copy as text: `train`, `val` and `test`, or `training`, `validation` and `testing`, and
      in each `<sequence>/events.txt` (lines `x y t p`, microseconds) with `<sequence>/is_car.txt` (1 or 0). These are the splits.

    Where both are there, the published files are read. Samples are ordered by class, cars first, then number or name.
    """

    sensor_size = (120, 100)
    classes = ("car", "background")
    folder = "N-Cars"
    instructions = (
        "Get Prophesee_Dataset_n_cars.zip from https://www.prophesee.ai/2018/03/13/dataset-n-cars/ and unpack it, so that the folder "
        "holds n-cars_train/cars/obj_004396_td.dat and so on, or holds Prophesee_Dataset_n_cars, which does; a copy as text has "
        "train/<sequence>/events.txt and train/<sequence>/is_car.txt and so on instead."
    )

    def _find(self) -> list[tuple[Path, int]]:
        if (self.root / "Prophesee_Dataset_n_cars").is_dir():
            self.root /= "Prophesee_Dataset_n_cars"  # so that a sample's key does not depend on where the archive was unpacked
        if any((self.root / folder).is_dir() for folder in _PUBLISHED.values()):
            return self._find_published()
        paths = (path for folder in _TEXT_FOLDERS[self.split] for path in self.root.glob(f"{folder}/*/{_EVENTS}"))
        return [(path, label) for label, path in sorted((_label_beside(path), path) for path in paths)]

    def _find_published(self) -> list[tuple[Path, int]]:
        found = [(*self._class_and_number(path), path) for path in self.root.glob(f"{_PUBLISHED[self.split]}/**/*.dat")]
        wanted = (entry for entry in found if self.split == "test" or held_out(entry[1]) == (self.split == "val"))
        return [(path, label) for label, _, path in sorted(wanted)]

    def _class_and_number(self, path: Path) -> tuple[int, int]:
        name, folder = _NAME.fullmatch(path.stem), path.parent.name
        if folder not in _FOLDERS or len(path.relative_to(self.root).parts) != 3 or not name:
            raise EventZooError(
                f"{path}: N-Cars' recordings are called cars/obj_<number>_td.dat or background/obj_<number>_td.dat; "
                "remove or rename this file"
            )
        return _FOLDERS.index(folder), int(name[1])

    def _read(self, path: Path) -> Events:
        return read(path, sensor_size=self.sensor_size, encoding="xytp" if path.name == _EVENTS else "dat", sort=True)

    def source_files(self) -> list[Path]:
        """The recordings, and of a copy as text the labels."""
        labels = [path.with_name(_IS_CAR) for path, _ in self.files if path.name == _EVENTS]
        return [*super().source_files(), *labels]

    @classmethod
    def export(cls, root: Path, split: Split, recordings: Iterable[Sample], layout: Layout = "dat") -> None:
        """Write recordings in one of the layouts. As `FolderDataset.export`."""
        for number, sample in zip(numbers(split), recordings, strict=False):
            label = label_of(sample)
            if layout == "dat":
                path = root / _PUBLISHED[split] / _FOLDERS[label] / f"obj_{number:06d}_td.dat"
            else:
                path = root / _TEXT_FOLDERS[split][0] / f"sequence_{number:05d}" / _EVENTS
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path, sample.events, encoding="dat" if layout == "dat" else "xytp")
            if layout == "text":
                path.with_name(_IS_CAR).write_text(f"{int(cls.classes[label] == 'car')}\n")


def _label_beside(path: Path) -> int:
    """The label of a recording as text, by the file beside it."""
    file = path.with_name(_IS_CAR)
    try:
        text = file.read_text("utf-8").strip()
    except (OSError, ValueError) as error:  # ValueError: not UTF-8
        raise EventFileError(file, f"cannot be read: {error}; each {_EVENTS} of N-Cars needs one beside it") from error
    if text not in ("0", "1"):
        raise EventFileError(file, f"holds {text[:20]!r}, not 1 for a car or 0 for background")
    return _FOLDERS.index("cars" if text == "1" else "background")
