"""Writes the lists of this folder: which recordings our datasets put into which split.

python splits/make.py
"""

import gzip
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from eventzoo.data.dataset import FileDataset
from eventzoo.plugins.datasets.asl_dvs import ASLDVS
from eventzoo.plugins.datasets.cifar10_dvs import CIFAR10DVS
from eventzoo.plugins.datasets.mnist_dvs import MNISTDVS
from eventzoo.plugins.datasets.ncaltech101 import NCaltech101

# fmt: off
NCALTECH101_COUNTS = (  # recordings of each class, which are numbered from 1 on
    55, 800, 42, 42, 467, 47, 54, 46, 33, 128, 98, 43, 85, 91, 50, 43, 123, 47, 59, 62, 107, 47, 69, 73, 70, 50, 51, 57, 67, 52, 65,
    68, 75, 64, 53, 64, 85, 435, 67, 67, 45, 34, 34, 51, 99, 100, 42, 54, 88, 80, 31, 64, 86, 114, 61, 81, 200, 78, 41, 66, 43, 40,
    87, 32, 76, 798, 55, 35, 39, 47, 38, 45, 53, 34, 57, 82, 59, 49, 40, 63, 39, 84, 57, 35, 64, 45, 86, 59, 64, 35, 85, 49, 86, 75,
    239, 37, 59, 34, 56, 39, 60,
)
# fmt: on


def published() -> Iterator[tuple[str, type[FileDataset], list[str]]]:
    """Name of each list, its dataset, and the files of the dataset as published, in the list's order."""
    digits = [(digit, number) for digit in MNISTDVS.classes for number in range(1, 1001)]
    yield "mnist_dvs.csv", MNISTDVS, [f"grabbed_data{digit}/scale16/mnist_{digit}_scale16_{number:04d}.aedat" for digit, number in digits]
    things = [(name, number) for name in CIFAR10DVS.classes for number in range(1000)]
    yield "cifar10_dvs.csv", CIFAR10DVS, [f"{name}/cifar10_{name}_{number}.aedat" for name, number in things]
    photographs = [
        (name, number + 1) for name, count in zip(NCaltech101.classes, NCALTECH101_COUNTS, strict=True) for number in range(count)
    ]
    yield "ncaltech101.csv", NCaltech101, [f"Caltech101/{name}/image_{number:04d}.bin" for name, number in photographs]
    letters = [(letter, number) for letter in ASLDVS.classes for number in range(1, 4201)]
    yield "asl_dvs.csv.gz", ASLDVS, [f"{letter}/{letter}_{number:04d}.mat" for letter, number in letters]


def splits_of(dataset: type[FileDataset], files: list[str]) -> dict[str, str]:
    """The split of each file by the key of its sample, as the dataset finds the files in a folder."""
    with TemporaryDirectory() as folder:
        for file in files:
            path = Path(folder, file)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        found = {}
        for split in ("train", "val", "test"):
            part = dataset(folder, split)
            found.update({path.relative_to(part.root).with_suffix("").as_posix(): split for path, _ in part.files})
    return {key: found[key] for key in (file.rpartition(".")[0] for file in files)}


if __name__ == "__main__":
    for name, dataset, files in published():
        text = "key,split\n" + "".join(f"{key},{split}\n" for key, split in splits_of(dataset, files).items())
        data = gzip.compress(text.encode(), mtime=0) if name.endswith(".gz") else text.encode()
        (Path(__file__).parent / name).write_bytes(data)
        print(f"{name}: {len(files):,} recordings")
