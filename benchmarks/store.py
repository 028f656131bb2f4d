"""A training epoch from the prepared store beside building each sample, on one core.

    [EVENTZOO_REALDATA=<folder>] python benchmarks/store.py

With $EVENTZOO_REALDATA on its N-MNIST recordings, without it on MovingShapes. Then: how long a store of 10,000 samples as large as
N-MNIST's takes to open.
"""

from race import race  # isort: skip  # pins the threads

import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from eventzoo.data.dataset import EventDataset, Sample, Split
from eventzoo.data.pipeline import Pipeline
from eventzoo.data.preparing import find_store, prepare
from eventzoo.data.representation import Representation
from eventzoo.data.store import Store
from eventzoo.data.transforms import EventTransform, EveryKth, RandomRotation, RandomScale, RandomShift, RandomSubsample
from eventzoo.events import Events
from eventzoo.plugins.datasets.moving_shapes import MovingShapes
from eventzoo.plugins.datasets.nmnist import NMNIST
from eventzoo.plugins.representations.event_graph import EventGraph
from eventzoo.plugins.representations.histogram import Histogram

AUGMENTED: Sequence[EventTransform] = (RandomSubsample(1024), RandomRotation(10), RandomScale(0.9, 1.1), RandomShift(2))


class Noise(EventDataset):
    """Samples as large as N-MNIST's, all alike but for their names."""

    sensor_size = (34, 34)
    classes = ("noise",)

    def __init__(self, split: Split = "train", size: int = 10_000) -> None:
        self.split, self.size = split, size
        rng = np.random.default_rng(0)
        t = np.sort(rng.integers(0, 310_000, 4180))
        self.events = Events(rng.integers(0, 34, 4180), rng.integers(0, 34, 4180), t, rng.random(4180) < 0.5, (34, 34))

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Sample:
        return Sample(self.events, 0, f"{index:05d}")

    def verify(self) -> None:
        """Nothing to verify."""


def epoch(pipeline: Pipeline) -> None:
    for index in range(len(pipeline)):
        pipeline[0, index]


def compare(root: Path, title: str, dataset: EventDataset, transforms: Sequence[EventTransform], representation: Representation) -> None:
    fresh, stored = (Pipeline(dataset, transforms, representation, realisations=1) for _ in range(2))
    prepare(root, stored).raise_for_failures()
    stored.store = find_store(root, stored)
    start = time.perf_counter()
    epoch(stored)
    first = time.perf_counter() - start
    medians = race(
        f"{title}, {len(fresh):,} samples", {"from the store": lambda: epoch(stored), "built anew": lambda: epoch(fresh)}, rounds=5
    )
    print(f"\nfirst epoch of a process, with checksums: {first * 1e3:.3g} ms, ratio {medians['built anew'] / first:.1f}")


def opening(root: Path) -> None:
    folder = prepare(root, Pipeline(Noise(), [RandomShift(2)], Histogram())).folder
    times = []
    for _ in range(9):
        start = time.perf_counter()
        Store(folder)
        times.append(time.perf_counter() - start)
    start = time.perf_counter()
    Store(folder).read(9_999)
    first = (time.perf_counter() - start) * 1e3
    print(f"\nopening {len(Store(folder)):,} samples: {statistics.median(times) * 1e3:.3g} ms, and one is read after {first:.3g} ms")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        realdata = os.environ.get("EVENTZOO_REALDATA")
        dataset = NMNIST(str(Path(realdata) / "N-MNIST")) if realdata else MovingShapes()
        name = type(dataset).__name__
        graph = EventGraph(radius=4.0, max_neighbors=16, time_scale=3e-5, causal=True)
        compare(root, f"{name}, the recipe's training samples (one realisation)", dataset, AUGMENTED, graph)
        compare(root, f"{name}, the recipe's evaluation samples", dataset, [EveryKth(4)], graph)
        compare(root, f"{name}, all events, symmetric graph", dataset.at_split("val"), [], EventGraph())
        compare(root, f"{name}, histograms", dataset, [], Histogram())
        opening(root)


if __name__ == "__main__":
    main()
