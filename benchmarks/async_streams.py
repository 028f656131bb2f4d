"""ECN event by event on one core: how many events a second, how exact, and what a long stream costs.

    EVENTZOO_REALDATA=<folder> python benchmarks/async_streams.py  # ten minutes, of which half is compiling

The network is the one of configs/ecn_nmnist.yaml, with random weights and statistics as after training, once with windows and once with
traces; its recordings are ten of N-MNIST. Then N-Caltech101's on one of its recordings.
"""

import race  # isort: skip  # noqa: F401  # pins the threads

import itertools
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from asynchronous import number, table

import eventzoo
from eventzoo.asynchronous import Window
from eventzoo.events import Events
from eventzoo.model import EventModel
from eventzoo.tasks.heads import ClassificationHead

ROUNDS, COMPARED, SECONDS = 7, 20, 30
NMNIST = {"sensor_size": (34, 34), "levels": 3, "filters": 32, "first_pooled": 1, "horizon": 320_000}
NCALTECH101 = {"sensor_size": (120, 90), "levels": 5, "filters": 16, "first_pooled": 3, "horizon": 320_000}


def model(memory: str, streams: dict, network: dict) -> EventModel:
    torch.manual_seed(0)
    representation = eventzoo.representations.EventStream(levels=network["levels"], memory=memory, **streams)
    backbone = eventzoo.backbones.ECN(memory=memory, **network)
    for norm in (module for module in backbone.modules() if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm3d)):
        norm.running_mean.normal_(0, 0.1)
        norm.running_var.uniform_(0.5, 1.5)
    head = ClassificationHead().connect(backbone, 10)
    return EventModel(representation, backbone, head, [str(i) for i in range(10)], network["sensor_size"])


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def in_slices(stream, events: Events, length: int) -> None:
    """Push what comes in every so many microseconds."""
    bounds = np.searchsorted(events.t, np.arange(events.t[0], events.t[-1] + 1 + length, length))
    for first, last in itertools.pairwise(bounds):
        if last > first:
            stream.push(events[first:last])


def difference(made: EventModel, stream, events: Events) -> float:
    """Largest difference from the synchronous network, as a share of its largest output, on prefixes that end anywhere."""
    stream.reset()
    found, answers = 0.0, stream.push_each(events)
    for count in np.random.default_rng(0).choice(len(events), COMPARED, replace=False) + 1:
        expected = made.output(events[:count])
        found = max(found, float(np.abs(answers[count - 1] - expected).max() / np.abs(expected).max()))
    return found


def report(title: str, made: EventModel, recordings: list[Events]) -> None:
    stream = made.asynchronous(strict=True)

    def fresh(push: Callable[[Events], object], events: Events) -> float:
        stream.reset()
        return seconds(lambda: push(events)) / len(events)

    ways = {
        "one by one, an answer after each": stream.push_each,
        "what comes in a millisecond": lambda events: in_slices(stream, events, 1000),
        "all at once": stream.push,
        "synchronous forward": made.output,
    }
    took = {way: np.array([[fresh(push, events) for events in recordings] for _ in range(ROUNDS)]) for way, push in ways.items()}
    first = np.median(took["one by one, an answer after each"])
    rows = []
    for way, times in took.items():
        middle, high = np.percentile(times, (50, 90))
        rows.append((way, number(1e6 * middle), number(1e6 * high), f"{1 / middle:,.0f}", f"{middle / first:.2f}"))
    print(f"\n{title}: {len(recordings)} recordings, {np.mean([len(events) for events in recordings]):,.0f} events on average")
    table(title, ("median µs an event", "90 % within", "events/s", "ratio"), *rows)
    worst = max(difference(made, stream, events) for events in recordings)
    operations = sum(layer.per_event for layer in stream.flops)
    print(f"{operations / 1e3:.0f} kFLOP an event; largest difference from the synchronous network: {worst:.2g} of its largest output")


def long_stream(made: EventModel, recordings: list[Events]) -> None:
    """The recordings over and over, one after the other, with the recording itself forgotten after half a second."""
    stream = made.asynchronous(Window(microseconds=500_000, history=True), strict=True)
    end, events, rows = 0, 0, []
    while end < SECONDS * 1_000_000:
        took = pushed = 0.0
        for recording in recordings:
            moved = recording.t - recording.t[0] + end
            later = Events(recording.x, recording.y, moved, recording.p, recording.sensor_size, trusted=True)
            took, pushed = took + seconds(lambda later=later: stream.push_each(later)), pushed + len(later)
            end = int(moved[-1]) + 1
        events += int(pushed)
        size = sum(array.nbytes for array in stream.state_dict().values())
        rows.append((f"{end / 1e6:.1f} s, {events:,} events", number(1e6 * took / pushed), f"{size / 2**20:.1f}", f"{len(stream):,}"))
    table("a stream without end", ("µs an event", "state, MiB", "events in the window"), *rows[:: max(len(rows) // 4, 1)])


def main() -> None:
    torch.set_num_threads(1)
    root = os.environ.get("EVENTZOO_REALDATA")
    if not root:
        raise SystemExit("set EVENTZOO_REALDATA to the folder that holds N-MNIST/Train and N-Caltech101/Caltech101")
    paths = [sorted(Path(root, "N-MNIST", "Train", str(digit)).glob("*.bin"))[0] for digit in range(10)]
    recordings = [eventzoo.read(path, sensor_size=(34, 34)) for path in paths]
    for memory in ("window", "trace"):
        made = model(memory, {}, NMNIST)
        report(f"N-MNIST, {memory}", made, recordings)
        long_stream(made, recordings)
    path = next(Path(root, "N-Caltech101").glob("Caltech101/*/*.bin"))
    events = eventzoo.read(path)
    halved = Events(events.x // 2, events.y // 2, events.t, events.p, (120, 90))
    report("N-Caltech101, window", model("window", {"decay_time": 1000, "threshold": 1.25, "reset_potential": -2.0}, NCALTECH101), [halved])


if __name__ == "__main__":
    main()
