"""Detection event by event on one core: what each head costs beside a classifier's, and how far that is from its operations alone.

    python benchmarks/async_detection.py  # some minutes

AEGNN of N-Cars size, causal, coarse nodes at their voxels' centres, with a map of 16 × 16 cells and about as many voxels, on the recordings
of `moving_edge`; the last 10,000 events, features final. Weights are random: they do not change what an event costs, but what boxes are
found. Times are those that the core was at work for this process, so that others on the machine do as little harm as can be.
"""

import race  # isort: skip  # noqa: F401  # pins the threads
from moving_edge import SENSOR, moving_edge  # isort: skip

import time
from collections.abc import Callable
from functools import partial

import numba
import numpy as np
import torch
from asynchronous import CHUNK, IN_GRAPH, ROUNDS, WARM, Contender, number, table

import eventzoo
from eventzoo.asynchronous import Window
from eventzoo.events import Events
from eventzoo.kernels.asynchronous.products import multiply_four
from eventzoo.model import EventModel
from eventzoo.tasks.heads import ClassificationHead, Head, YOLOHead, YOLOXHead

MAP, VOXELS = (16, 16), (8, 6)


def model(head: Head) -> EventModel:
    """AEGNN of N-Cars size with a head of two classes."""
    torch.manual_seed(0)
    backbone = eventzoo.backbones.AEGNN(sensor_size=SENSOR, pool_size=VOXELS, out_size=MAP, coarse_positions="centre")
    graph = eventzoo.representations.EventGraph(radius=3.0, max_neighbors=32, causal=True)
    made = EventModel(graph, backbone, head.connect(backbone, 2), ["background", "car"], SENSOR)
    for norm in (module for module in made.modules() if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d)):
        norm.running_mean.normal_(0, 0.1)
        norm.running_var.uniform_(0.5, 1.5)
    return made


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def repeat_four(out: np.ndarray, rows: np.ndarray, matrix: np.ndarray, times: int) -> None:
    for _ in range(times):
        multiply_four((out[0], out[1], out[2], out[3]), (rows[0], rows[1], rows[2], rows[3]), matrix)


def rates() -> dict[str, float]:
    """GFLOP/s of one core: in a large product of matrices, and in four rows times the weights of a convolution of 64 channels, 3 × 3."""
    a = torch.rand(1024, 1024)
    rows, weight, out = np.ones((4, 64), np.float32), np.ones((64, 9 * 64), np.float32), np.zeros((4, 9 * 64), np.float32)
    runs = {
        "product of 1024×1024 matrices": (2 * 1024**3, lambda: a @ a),
        "four rows times a convolution's weights": (1000 * 8 * weight.size, lambda: repeat_four(out, rows, weight, 1000)),
    }
    return {name: operations / min(seconds(run) for _ in range(9)) / 1e9 for name, (operations, run) in runs.items()}


def seconds(run: Callable[[], object]) -> float:
    """Seconds that the core was at work."""
    start = time.thread_time_ns()
    run()
    return (time.thread_time_ns() - start) / 1e9


class Detector(Contender):
    """A model with a head, what it takes to read its answer, and a forward of it."""

    def __init__(self, head: Head, recording: Events) -> None:
        super().__init__(model(head), Window(events=IN_GRAPH, history=True), recording)
        self.inside = recording[:IN_GRAPH]
        self.reading, self.forward = list[float](), list[float]()

    def time(self) -> None:
        """Microseconds of single pushes, of an event where all are computed, of reading an answer, and of a forward."""
        chunk, push = self._next[WARM : WARM + CHUNK], self._begin().push
        self.singly += [1e6 * seconds(partial(push, chunk[i : i + 1])) for i in range(300)]
        stream = self._begin()
        self.each.append(1e6 * seconds(partial(stream.push_each, chunk)) / CHUNK)
        output = stream.head_output()
        self.reading += [1e6 * seconds(partial(self.model.result, output)) for _ in range(20)]
        self.forward.append(1e6 * seconds(partial(self.model.output, self.inside)))


def main() -> None:
    torch.set_num_threads(1)
    recording = moving_edge(12_000, passes=1.2)
    heads = {
        "ClassificationHead": ClassificationHead(),
        "YOLOHead, 8 × 6 cells": YOLOHead(),
        "YOLOXHead, depth 0": YOLOXHead(depth=0),
        "YOLOXHead, depth 1": YOLOXHead(depth=1),
        "YOLOXHead, depth 2": YOLOXHead(depth=2),
    }
    contenders = {name: Detector(head, recording) for name, head in heads.items()}
    for _ in range(ROUNDS):
        for contender in contenders.values():
            contender.time()
    rows = []
    for name, contender in contenders.items():
        shown = (*np.percentile(contender.singly, (50, 90)), *map(np.median, (contender.reading, contender.each, contender.forward)))
        middle, high, read, each, forward = map(float, shown)
        rows.append((name, number(each), number(read), number(middle), number(high), number(forward / 1e3), number(forward / middle)))
    header = (
        *("an event, µs", "to read the answer, µs", "a push of one event, µs", "90 % within"),
        *("building the graph and forward, ms", "times as long as a push"),
    )
    table("head", header, *rows)

    best, ours = (found := rates()).values()
    table("one core", ("GFLOP/s",), *((name, f"{rate:.1f}") for name, rate in found.items()))
    rows = []
    without = float(np.median(contenders["ClassificationHead"].each))
    for name, contender in contenders.items():
        work = contender.work(CHUNK)
        operations = sum(done for layer, (done, _, _) in work.items() if layer.startswith(("head", "cat")))
        cells = max(sites for layer, (_, sites, _) in work.items() if layer.startswith("head"))
        floors = [operations / rate / 1e3 for rate in (best, ours)]
        rows.append((name, f"{cells:.1f}", number(operations / 1e6), *map(number, (*floors, float(np.median(contender.each)) - without))))
    columns = (
        "cells that a layer computes, at most",
        "MFLOP an event",
        "at the matrices' rate, µs",
        "at the four rows' rate, µs",
        "more than a classifier, µs",
    )
    table("head", columns, *rows[1:])


if __name__ == "__main__":
    main()
