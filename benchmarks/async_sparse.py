"""Sparse VGGs of asynet's sizes event by event on one core, beside forwards of the whole window.

    python benchmarks/async_sparse.py  # two minutes

The network's map is as large as the sensor, and the recordings, of line segments that move and of noise, make about as many pixels active
as asynet's authors' own figures were measured with: 4,000 events for VGG12 and 25,000 for VGG13. Weights are random, with statistics as
after training.
"""

import race  # isort: skip  # noqa: F401  # pins the threads

import time
from collections.abc import Callable
from functools import partial

import numba
import numpy as np
import torch
from asynchronous import number, table

import eventzoo
from eventzoo.asynchronous import Window
from eventzoo.events import Events
from eventzoo.kernels.asynchronous.products import multiply_four
from eventzoo.model import EventModel
from eventzoo.tasks.heads import ClassificationHead

SINGLE, ROUNDS = 200, 5
SPREAD = 0.6  # pixels
VGG13 = ((16, 16), (32, 32), (64, 64), (128, 128), (256, 256), (512,))
NETWORKS = {
    "VGG12, N-Cars": {"sensor_size": (127, 95), "events": 4_000, "classes": 2},
    "VGG13, N-Caltech101": {
        "sensor_size": (255, 191),
        "events": 25_000,
        "classes": 101,
        "stages": VGG13,
        "out_channels": 256,
    },
}


def segments(count: int, size: tuple[int, int], seed: int = 0) -> Events:
    """Eight line segments that move over the sensor for 100 ms, `SPREAD` thick to either side, and 2 % of noise."""
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(0, 100_000, count))
    line, along = rng.integers(0, 8, count), rng.uniform(-1, 1, count)
    centre, speed = rng.uniform(0.2, 0.8, (8, 2)), rng.uniform(-0.1, 0.1, (8, 2))
    angle, half = rng.uniform(0, np.pi, 8), rng.uniform(0.1, 0.3, 8)
    direction = np.stack([np.cos(angle), np.sin(angle)], 1)
    place = centre[line] + speed[line] * t[:, None] / 100_000 + (along * half[line])[:, None] * direction[line]
    place = place * size + rng.normal(0, SPREAD, (count, 2))
    noise = rng.random(count) < 0.02
    place[noise] = rng.uniform(0, size, (noise.sum(), 2))
    x, y = np.clip(np.round(place), 0, np.array(size) - 1).astype(int).T
    return Events(x, y, t, rng.random(count) < 0.5, size)


def model(name: str, sensor_size: tuple[int, int], classes: int, **settings: object) -> EventModel:
    """A network of random weights over histograms; sparse and dense ones of the same settings have the same."""
    torch.manual_seed(0)
    backbone = getattr(eventzoo.backbones, name)(sensor_size, **settings)
    for norm in (module for module in backbone.modules() if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d)):
        norm.running_mean.normal_(0, 0.1)
        norm.running_var.uniform_(0.5, 1.5)
    head = ClassificationHead().connect(backbone, classes)
    return EventModel(eventzoo.representations.Histogram(), backbone, head, [str(i) for i in range(classes)], sensor_size)


def milliseconds(run: Callable[[], object]) -> float:
    start = time.perf_counter_ns()
    run()
    return (time.perf_counter_ns() - start) / 1e6


class Pushes:
    """Single pushes into a window that is as full as it gets, always of the same events."""

    def __init__(self, made: EventModel, recording: Events, count: int, window: Window) -> None:
        self.stream = made.asynchronous(window, strict=True)
        self.stream.push(recording[:count])
        self._filled, self._coming = self.stream.state_dict(), recording[count:]
        self.took = list[float]()

    def time(self) -> None:
        self.stream.load_state_dict(self._filled)
        for i in range(20):  # the arrays come back into the core's caches
            self.stream.push(self._coming[i : i + 1])
        self.took += [milliseconds(partial(self.stream.push, self._coming[i : i + 1])) for i in range(20, 20 + SINGLE)]

    def megaflop(self) -> float:
        """Operations of an event."""
        self.stream.load_state_dict(self._filled)
        before, seen = sum(layer.per_event for layer in self.stream.flops), self.stream.num_events
        self.stream.push_each(self._coming[:SINGLE])
        after = sum(layer.per_event for layer in self.stream.flops)
        return (after * self.stream.num_events - before * seen) / SINGLE / 1e6


@numba.njit(cache=True, error_model="numpy")
def repeat_four(out: np.ndarray, rows: np.ndarray, matrix: np.ndarray, times: int) -> None:
    for _ in range(times):
        multiply_four((out[0], out[1], out[2], out[3]), (rows[0], rows[1], rows[2], rows[3]), matrix)


def rate() -> float:
    """GFLOP/s of one core in four rows times the weights of a tap of 256 to 256 channels."""
    rows, weight, out = np.ones((4, 256), np.float32), np.ones((256, 256), np.float32), np.zeros((4, 256), np.float32)
    repeat_four(out, rows, weight, 1)
    return 1000 * 8 * weight.size / min(milliseconds(lambda: repeat_four(out, rows, weight, 1000)) for _ in range(9)) / 1e6


def main() -> None:
    torch.set_num_threads(1)
    core = rate()
    print(f"one core: {core:.0f} GFLOP/s in four rows times a tap's weights")
    for name, given in NETWORKS.items():
        settings = dict(given)
        count = settings.pop("events")
        sparse, dense = model("SparseVGG", **settings), model("DenseVGG", **settings)
        recording = segments(count + 20 + SINGLE, settings["sensor_size"])
        inside = recording[:count]
        width, height = settings["sensor_size"]
        active = len(np.unique(inside.y.astype(np.int64) * width + inside.x))
        print(f"\n{name}: {count:,} events in the window, {active:,} of {width * height:,} pixels active")
        windows = {"an event, growing": Window(), "an event, one comes and one leaves": Window(events=count)}
        pushes = {label: Pushes(sparse, recording, count, window) for label, window in windows.items()}
        forwards: dict[str, list[float]] = {"dense forward of the window": [], "sparse forward of the window": []}
        for _ in range(ROUNDS):
            for one in pushes.values():
                one.time()
            for made, took in zip((dense, sparse), forwards.values(), strict=True):
                took += [milliseconds(partial(made.output, inside)) for _ in range(3)]
        first = float(np.median(pushes["an event, growing"].took))
        rows = []
        for label, one in pushes.items():
            middle, high = np.percentile(one.took, (50, 90))
            operations = one.megaflop()
            rows.append((label, number(middle), number(high), f"{middle / first:.2f}", f"{operations:.0f}", number(operations / core)))
        for label, took in forwards.items():
            middle, high = np.percentile(took, (50, 90))
            rows.append((label, number(middle), number(high), f"{middle / first:.2f}", "", ""))
        table(name, ("median ms", "90 % within", "ratio", "MFLOP", "at the core's rate, ms"), *rows)


if __name__ == "__main__":
    main()
