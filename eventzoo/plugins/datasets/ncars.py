"""N-Cars: cars and background, seen by an event camera behind a windscreen."""

import re
from pathlib import Path

from eventzoo.data.dataset import FileDataset, held_out
from eventzoo.errors import EventZooError
from eventzoo.events import Events
from eventzoo.io import read

_FOLDERS = ("cars", "background")  # in the order of the classes
_NAME = re.compile(r"obj_(\d+)_td", re.ASCII)


class NCars(FileDataset):
    """N-Cars: 24,029 recordings of 100 ms, of cars and of what else a car's driver sees, cut out of an ATIS's view.

    Sironi, Brambilla, Bourdis, Lagorce and Benosman, "HATS: Histograms of Averaged Time Surfaces for Robust Event-based
    Object Classification", CVPR 2018. Layout, as published by Prophesee: `n-cars_train/{cars,background}/obj_<number>_td.dat` and
    `n-cars_test/...`, in the root or in a folder `Prophesee_Dataset_n_cars` inside it.

    The publishers' 8,607 test recordings are `test`. Of their 15,422 training recordings, those whose number is a multiple
    of five are `val` and the others `train`. Samples are ordered by class, cars first, then number.
    """

    sensor_size = (120, 100)
    classes = ("car", "background")
    folder = "N-Cars"
    instructions = (
        "Get Prophesee_Dataset_n_cars.zip from https://www.prophesee.ai/2018/03/13/dataset-n-cars/ and unpack it, so that the folder "
        "holds n-cars_train/cars/obj_004396_td.dat and so on, or holds Prophesee_Dataset_n_cars, which does."
    )

    def _find(self) -> list[tuple[Path, int]]:
        if (self.root / "Prophesee_Dataset_n_cars").is_dir():
            self.root /= "Prophesee_Dataset_n_cars"  # so that a sample's key does not depend on where the archive was unpacked
        part = "n-cars_test" if self.split == "test" else "n-cars_train"
        found = [(*self._class_and_number(path), path) for path in self.root.glob(f"{part}/**/*.dat")]
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
        return read(path, sensor_size=self.sensor_size)
