"""Time of ECN's event streams: the neurons that thin them out, the edges, both with the rest of the representation, and batches.

    EVENTZOO_REALDATA=<folder> python benchmarks/event_streams.py

N-MNIST with the settings of its network: all recordings found, each timed by the fastest of five runs, of which the median is reported.
And one large synthetic recording: 300,000 events of uniform noise over 100 ms on 120×90 pixels, with ASL-DVS's settings.
"""

from race import race  # isort: skip  # pins the threads

import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import eventzoo
from eventzoo.events import Events
from eventzoo.kernels.event_streams import PLUS, POINT, STRIDED, Stream, halved, neighborhoods, spatial_lif
from eventzoo.representations import EventStream

ROUNDS, BATCH = 5, 32
NMNIST = EventStream(levels=3)
LARGE = EventStream(levels=5, decay_time=1000, threshold=1.0)


def main() -> None:
    root = os.environ.get("EVENTZOO_REALDATA")
    if root:
        paths = sorted(Path(root, "N-MNIST").glob("Train/*/*.bin"))
        recordings = [eventzoo.read(path, sensor_size=(34, 34)) for path in paths]
        report(f"N-MNIST, {len(recordings):,} recordings", NMNIST, recordings)
        values = [NMNIST(events) for events in recordings[:: max(len(recordings) // BATCH, 1)][:BATCH]]
        race(f"N-MNIST, {len(values)} recordings as a batch", {"collate": lambda: NMNIST.collate(values)}, rounds=41, rehearse=True)
    else:
        print("without EVENTZOO_REALDATA, N-MNIST is left out")
    report("300,000 events of noise", LARGE, [noise(300_000)])


def report(title: str, part: EventStream, recordings: list[Events]) -> None:
    """Print the median times over recordings."""
    rows: dict[str, list[float]] = {"spatial LIF": [], "edges": [], "EventStream": []}
    sizes, counts = [], []
    for events in recordings:
        lifs, edges = calls(part, events)
        value = part(events)
        sizes.append([len(events), *(len(level.t) for level in value.levels)])
        counts.append([[len(kind.source) for kind in (level.strided, level.inplace, level.pointwise)] for level in value.levels])
        rows["spatial LIF"].append(fastest(lambda lifs=lifs: [spatial_lif(*arguments) for arguments in lifs]))
        rows["edges"].append(fastest(lambda edges=edges: [neighborhoods(*arguments) for arguments in edges]))
        rows["EventStream"].append(fastest(lambda events=events: part(events)))
    size, count = np.mean(sizes, 0), np.mean(counts, 0)
    print(f"\n{title}: {', '.join(f'{number:,.0f}' for number in size)} events on average at levels 0 to {len(count)};")
    print(f"strided, in-place and pointwise edges: {'; '.join(', '.join(f'{number:,.0f}' for number in level) for level in count)}\n")
    print("| step | median ms | million events/s | ns/event | ns/edge |\n|---|---|---|---|---|")
    for name, times in rows.items():
        seconds = statistics.median(times)
        rate = statistics.median(length / spent for (length, *_), spent in zip(sizes, times, strict=True))
        of_edge = statistics.median(spent / np.sum(number) for number, spent in zip(counts, times, strict=True))
        edge = f"{of_edge * 1e9:.3g}" if name != "spatial LIF" else ""
        print(f"| {name} | {seconds * 1e3:.3g} | {rate / 1e6:.3g} | {1e9 / rate:.3g} | {edge} |")


def calls(part: EventStream, events: Events) -> tuple[list[Any], list[Any]]:
    """The arguments of all calls of `spatial_lif`, and of `neighborhoods`, for one recording."""
    below, size = Stream(events.t - events.t[:1], events.x.copy(), events.y.copy()), events.sensor_size
    lifs, edges = [], []
    for level in range(1, part.levels + 1):
        decay, longer, longest = (part.max_decays * time for time in part.decay_times(level))
        lifs.append((below, size, part.decay_times(level)[0], part.threshold, part.reset_potential))
        stream, _ = spatial_lif(*lifs[-1])
        of_below, visible = (np.searchsorted(times, stream.t, side="right") for times in (below.t, stream.t))
        edges.append((below, size, stream, of_below, STRIDED, decay, part.capacity))
        below, size = stream, halved(size)
        edges += [(below, size, below, visible, *rest, part.capacity) for rest in ((PLUS, longer), (POINT, longest))]
    return lifs, edges


def fastest(run: Callable[[], Any]) -> float:
    """Seconds of the fastest run."""
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def noise(count: int) -> Events:
    rng = np.random.default_rng(0)
    t = np.sort(rng.integers(0, 100_000, count))
    return Events(rng.integers(0, 120, count), rng.integers(0, 90, count), t, rng.random(count) < 0.5, (120, 90))


if __name__ == "__main__":
    main()
