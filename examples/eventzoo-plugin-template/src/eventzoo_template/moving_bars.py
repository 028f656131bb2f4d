"""MovingBars: bars that move in four directions."""

from typing import get_args

import numpy as np

from eventzoo.data.dataset import EventDataset, Sample, Split
from eventzoo.errors import EventZooError
from eventzoo.events import Events

SIDE = 16  # pixels
WIDTH = 3  # of a bar, pixels
NOISE = 0.3  # share of the events that happen at any time
SIZES = {"train": 400, "val": 100, "test": 100}


class MovingBars(EventDataset):
    """A bar sweeps over a sensor of 16×16 pixels: ON events where its front passes, OFF events where its end does, and noise.

    A sample depends on `seed`, `split` and its index alone.

    Args:
        split: `train`, `val` or `test`.
        size: Number of recordings. Default: 400 for `train`, 100 for `val` and `test`.
        seed: Seed of the recordings.
    """

    sensor_size = (SIDE, SIDE)
    classes = ("right", "left", "down", "up")

    def __init__(self, split: Split = "train", size: int | None = None, seed: int = 0) -> None:
        if split not in get_args(Split):
            raise EventZooError(f"MovingBars has the splits {', '.join(get_args(Split))}, not {split!r}")
        self.split, self.seed = split, seed
        self.size = SIZES[split] if size is None else size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Sample:
        index = range(self.size)[index]  # an IndexError beyond the last
        rng = np.random.default_rng([self.seed, get_args(Split).index(self.split), index])
        label, count, pixel_time = index % 4, rng.integers(150, 300), rng.uniform(1_000, 3_000)  # microseconds
        along, across, on = rng.integers(0, SIDE, count), rng.integers(0, SIDE, count), rng.random(count) < 0.5
        t = (along + np.where(on, 0, WIDTH)) * pixel_time
        noise = rng.random(count) < NOISE
        t[noise] = rng.uniform(0, (SIDE + WIDTH) * pixel_time, noise.sum())
        order = np.argsort(t, kind="stable")
        along, across, on, t = along[order], across[order], on[order], t[order].astype(np.int64)
        if self.classes[label] in ("left", "up"):
            along = SIDE - 1 - along
        x, y = (along, across) if self.classes[label] in ("right", "left") else (across, along)
        return Sample(Events(x, y, t, on, self.sensor_size), label, f"{self.split}/{index:04d}")

    def verify(self) -> None:
        """Make every sample."""
        for index in range(self.size):
            self[index]
