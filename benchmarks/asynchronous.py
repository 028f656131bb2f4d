"""The asynchronous engine on one core: AEGNN of N-Cars size, event by event, beside its own synchronous forward.

    python benchmarks/asynchronous.py all                # a quarter of an hour
    python benchmarks/asynchronous.py latency symmetric  # some sections
    python benchmarks/asynchronous.py length --picture docs/async_length.png

The recordings are those of `moving_edge`: 10,000 events in 100 ms, on and on. Weights and statistics of the batch normalisation are
random: they do not change what an event costs. Windows "with history" are those whose features are final. What is compared is
run in turn, so that a burst of noise touches all of it, and medians are reported.
"""

import race  # isort: skip  # noqa: F401  # pins the threads
from moving_edge import SENSOR, moving_edge  # isort: skip

import argparse
import csv
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numba
import numpy as np
import torch

import eventzoo
from eventzoo.asynchronous import AsyncModel, Window
from eventzoo.events import Events
from eventzoo.kernels.asynchronous.products import add_product
from eventzoo.model import EventModel
from eventzoo.tasks.heads import ClassificationHead
from eventzoo.testing import synchronous_output
from eventzoo.zoo.checkpoints.aegnn import import_aegnn

IN_GRAPH, CHUNK, ROUNDS = 10_000, 1_000, 7
WARM = 200  # events before those that are timed, so that what they need is in the caches
LENGTHS = (1_000, 10_000, 100_000, 1_000_000)


def aegnn(causal: bool, positions: str) -> EventModel:
    """AEGNN of N-Cars size, r = 3, up to 32 earlier neighbours."""
    torch.manual_seed(0)
    backbone = eventzoo.backbones.AEGNN(sensor_size=SENSOR, coarse_positions=positions)
    for norm in (module for module in backbone.modules() if isinstance(module, torch.nn.BatchNorm1d)):
        norm.running_mean.normal_(0, 0.1)
        norm.running_var.uniform_(0.5, 1.5)
    graph = eventzoo.representations.EventGraph(radius=3.0, max_neighbors=32, causal=causal)
    return EventModel(graph, backbone, ClassificationHead().connect(backbone, 2), ["background", "car"], SENSOR)


class Contender:
    """A model with a window, which always starts from the same 10,000 events."""

    def __init__(self, model: EventModel, window: Window, recording: Events, in_graph: int = IN_GRAPH) -> None:
        self.name = "growing, all events" if window == Window() else str(window).replace(", features final", ", with history")
        self.model, self.stream = model, model.asynchronous(window, strict=True)
        self.stream.push(recording[:in_graph])
        self._filled, self._next = self.stream.state_dict(), recording[in_graph:]
        self.singly, self.each, self.whole = list[float](), list[float](), list[float]()

    def _begin(self) -> AsyncModel:
        """The stream, filled, and its arrays back in the core's caches."""
        self.stream.load_state_dict(self._filled)
        self.stream.push_each(self._next[:WARM])
        return self.stream

    def time_singly(self, count: int) -> None:
        """Microseconds that a push of one event takes."""
        events = [self._next[i : i + 1] for i in range(WARM, WARM + count)]
        push = self._begin().push
        for event in events:
            start = time.perf_counter_ns()
            push(event)
            self.singly.append((time.perf_counter_ns() - start) / 1e3)

    def time_chunks(self, count: int = CHUNK) -> None:
        """Microseconds an event where a chunk is pushed: with an answer to each event, and with one to the chunk."""
        chunk = self._next[WARM : WARM + count]
        for push, times in ((self.stream.push_each, self.each), (self.stream.push, self.whole)):
            self._begin()
            start = time.perf_counter_ns()
            push(chunk)
            times.append((time.perf_counter_ns() - start) / 1e3 / len(chunk))

    def work(self, count: int) -> dict[str, tuple[float, float, int]]:
        """Operations and sites that an event costs on average by layer, and the sites that there are."""
        stream = self._begin()
        before = {layer.name: layer for layer in stream.flops}
        old = stream.num_events
        stream.push_each(self._next[WARM : WARM + count])
        new = stream.num_events
        return {
            layer.name: (
                (layer.per_event * new - before[layer.name].per_event * old) / count,
                (layer.sites_per_event * new - before[layer.name].sites_per_event * old) / count,
                layer.sites,
            )
            for layer in stream.flops
        }


class Forward:
    """The synchronous forward of a model on 10,000 events."""

    def __init__(self, model: EventModel, events: Events) -> None:
        self.model, self.events = model, events
        self.graph, self.network = list[float](), list[float]()

    @torch.inference_mode()
    def time(self) -> None:
        """Microseconds that the graph takes, and the network."""
        start = time.perf_counter_ns()
        batch = self.model.representation.collate([self.model.representation(self.events)])
        middle = time.perf_counter_ns()
        self.model.head(self.model.backbone(batch))
        self.graph.append((middle - start) / 1e3)
        self.network.append((time.perf_counter_ns() - middle) / 1e3)


def table(title: str, *rows: Sequence[object]) -> None:
    """A Markdown table, whose first column is headed by the title."""
    print(
        "\n" + "\n".join(f"| {' | '.join(map(str, row))} |" for row in [(title, *rows[0]), ["---"] * (len(rows[0]) + 1), *rows[1:]]),
        flush=True,
    )


def number(value: float) -> str:
    """Three digits that count."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def latency() -> None:
    recording = moving_edge(12_000, passes=1.2)
    windows = (Window(), Window(events=IN_GRAPH, history=True), Window(events=IN_GRAPH))
    rows = []
    contenders = {name: [Contender(aegnn(True, name), window, recording) for window in windows] for name in ("centre", "mean")}
    forwards = {name: Forward(group[0].model, recording[:IN_GRAPH]) for name, group in contenders.items()}
    for _ in range(ROUNDS):
        for group, forward in zip(contenders.values(), forwards.values(), strict=True):
            forward.time()
            for contender in group:
                contender.time_singly(300)
                contender.time_chunks()
    for name, group in contenders.items():
        for contender in group:
            middle, high = np.percentile(contender.singly, (50, 90))
            each, whole = np.median(contender.each), np.median(contender.whole)
            rows.append((name, contender.name, number(middle), number(high), f"{1e6 / each:,.0f}", f"{1e6 / whole:,.0f}"))
    header = ("window", "singly, µs", "90 % within", "chunks of 1,000, all answered, events/s", "answered once, events/s")
    table("causal, coarse nodes at", header, *rows)
    compare_with_forward(forwards, contenders)


def compare_with_forward(forwards: dict[str, Forward], contenders: dict[str, list[Contender]]) -> None:
    """How many single pushes a synchronous forward is worth."""
    rows = []
    for name, forward in forwards.items():
        graph, network = np.median(forward.graph), np.median(forward.network)
        for contender in contenders[name]:
            push = np.median(contender.singly)
            rows.append(
                (
                    name,
                    contender.name,
                    number(graph / 1e3),
                    number(network / 1e3),
                    number(push / 1e3),
                    number(network / push),
                    number((graph + network) / push),
                )
            )
    table("coarse nodes at", ("window", "building the graph, ms", "forward, ms", "one event, ms", "forward / event", "both / event"), *rows)


def symmetric() -> None:
    recording = moving_edge(11_000, passes=1.1)
    windows = (Window(), Window(events=IN_GRAPH))
    contenders = {name: [Contender(aegnn(False, name), window, recording) for window in windows] for name in ("mean", "centre")}
    forwards = {name: Forward(group[0].model, recording[:IN_GRAPH]) for name, group in contenders.items()}
    for _ in range(ROUNDS):
        for group, forward in zip(contenders.values(), forwards.values(), strict=True):
            forward.time()
            for contender in group:
                contender.time_singly(40)
    compare_with_forward(forwards, contenders)
    counted = {contender.name: contender.work(200) for contender in contenders["mean"]}
    rows = [
        (name, f"{sites:,}", *(f"{work[name][1]:,.1f} ({work[name][1] / max(work[name][2], 1):.1%})" for work in counted.values()))
        for name, (_, _, sites) in next(iter(counted.values())).items()
        if name.startswith(("conv", "pool", "head"))  # what follows a convolution computes the same sites
    ]
    table("symmetric, coarse nodes at mean: computed for an event", ("sites, growing", *counted), *rows)


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def repeat_product(out: np.ndarray, row: np.ndarray, matrix: np.ndarray, times: int) -> None:
    for _ in range(times):
        add_product(out, row, matrix)


def peaks() -> dict[str, float]:
    """Most GFLOP/s of one core: in a large product of matrices, and in the engine's product of a row with a convolution's weights."""
    a = torch.rand(1024, 1024)
    weight, row, out = np.ones((9 * 16, 16), np.float32), np.full(9 * 16, 1e-9, np.float32), np.zeros(16, np.float32)
    runs: dict[str, tuple[float, Callable[[], object]]] = {
        "product of 1024×1024 matrices": (2 * 1024**3, lambda: a @ a),
        "row times a convolution's weights": (20_000 * 2 * weight.size, lambda: repeat_product(out, row, weight, 20_000)),
    }
    found = {}
    for name, (operations, run) in runs.items():
        seconds = []
        for _ in range(9):
            start = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - start)
        found[name] = operations / min(seconds) / 1e9
    return found


def floor() -> None:
    rates = peaks()
    table("one core", ("GFLOP/s",), *((name, f"{rate:.1f}") for name, rate in rates.items()))
    best, ours = rates.values()
    recording = moving_edge(12_000, passes=1.2)
    full = Window(events=IN_GRAPH, history=True)
    cases = [(True, "centre", full), (True, "mean", full), (False, "centre", Window()), (False, "mean", Window())]
    rows = []
    for causal, positions, window in cases:
        contender = Contender(aegnn(causal, positions), window, recording)
        count = CHUNK if causal else 200
        for _ in range(ROUNDS):
            contender.time_chunks(count)
        taken, operations = float(np.median(contender.each)), sum(done for done, _, _ in contender.work(count).values())
        at_best, at_ours = (operations / rate / 1e3 for rate in (best, ours))
        dense = sum(layer.synchronous for layer in contender.stream.flops)
        rows.append(
            (
                f"{'causal' if causal else 'symmetric'}, {positions}",
                number(dense / 1e6),
                number(operations / 1e6),
                number(at_best),
                number(at_ours),
                number(taken),
                f"{taken / at_best:.1f}",
                f"{taken / at_ours:.1f}",
            )
        )
    header = (
        "forward, MFLOP",
        "event, MFLOP",
        "at the matrices' rate, µs",
        "at the row's rate, µs",
        "measured, µs",
        "times the one",
        "the other",
    )
    table("graph, coarse nodes at", header, *rows)


def length(longest: int, picture: Path | None) -> None:
    windows = (Window(events=1_000, history=True), Window(events=10_000, history=True), Window(microseconds=5_000, history=True))
    streams = [aegnn(True, "centre").asynchronous(window, strict=True) for window in windows]
    recording, step = moving_edge(longest, passes=longest / IN_GRAPH), 100
    times = np.empty((longest // step, len(streams)))
    for i in range(len(times)):
        chunk = recording[i * step : (i + 1) * step]
        for k, stream in enumerate(streams):
            start = time.perf_counter_ns()
            stream.push_each(chunk)
            times[i, k] = (time.perf_counter_ns() - start) / 1e3 / step
    seen = step * np.arange(1, len(times) + 1)
    names = [str(window).removesuffix(", features final") for window in windows]
    rows = []
    for first, last in zip((0, *LENGTHS), LENGTHS, strict=False):
        if first < longest:
            part = times[(seen > first) & (seen <= last)]
            rows.append((f"{first + 1:,} to {min(last, longest):,}", *map(number, np.median(part, 0))))
    table("events of the recording: µs an event, median", names, *rows)
    if picture is not None:
        _draw_length(picture, seen, times, names)


def _draw_length(picture: Path, seen: np.ndarray, times: np.ndarray, names: list[str]) -> None:
    """The picture, and its figures in a CSV file beside it."""
    from matplotlib.figure import Figure

    edges = np.unique(np.geomspace(seen[0], seen[-1], 8 * int(np.log10(seen[-1] / seen[0])) + 1).astype(int))
    bins = np.searchsorted(edges, seen)
    parts = [bins == k for k in np.unique(bins)]
    low, middle, high = (np.array([np.percentile(times[part], share, axis=0) for part in parts]) for share in (10, 50, 90))
    at = [int(seen[part].max()) for part in parts]
    with picture.with_suffix(".csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["events", *(f"µs an event, {share}, {name}" for name in names for share in ("median", "10 %", "90 %"))])
        for row in zip(at, middle, low, high, strict=True):
            writer.writerow([row[0], *(f"{row[k][n]:.2f}" for n in range(len(names)) for k in (1, 2, 3))])
    figure = Figure(figsize=(7, 4), layout="constrained")
    axis = figure.subplots()
    for n, name in enumerate(names):
        axis.semilogx(at, middle[:, n], "o-", markersize=3, label=name)
        axis.fill_between(at, low[:, n], high[:, n], alpha=0.2, linewidth=0)
    axis.set(xlabel="events since the beginning of the recording", ylabel="µs an event", ylim=(0, 1.4 * float(high.max())))
    axis.xaxis.set_major_formatter("{x:,.0f}")
    axis.set_title("Causal AEGNN, an answer after every event; median, 10th to 90th percentile", fontsize=10)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=9)
    figure.savefig(picture, dpi=110)
    print(f"\npicture: {picture}")


def memory(longest: int) -> None:
    windows = (Window(events=IN_GRAPH, history=True), Window(events=IN_GRAPH), Window(microseconds=5_000))
    streams = [aegnn(True, "centre").asynchronous(window, strict=True) for window in windows]
    recording, done, rows = moving_edge(longest, passes=longest / IN_GRAPH), 0, []
    for last in sorted({0, *LENGTHS, 2 * IN_GRAPH, 200_000, 500_000}):
        if last > longest:
            break
        for first in range(done, last, CHUNK):
            for stream in streams:
                stream.push(recording[first : first + CHUNK])
        done = last
        resident = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE")
        arrays = [sum(array.nbytes for array in stream.state_dict().values()) for stream in streams]
        rows.append((f"{last:,}", *(f"{size / 1e6:.2f}" for size in arrays), f"{resident / 1e6:.0f}"))
    table("events pushed: MB", (*map(str, windows), "whole process"), *rows)


def exactness(longest: int) -> None:
    rng = np.random.default_rng(0)
    kept = Window(events=1_000)
    cases = {
        "causal, centre": (aegnn(True, "centre"), kept, longest),
        "causal, mean": (aegnn(True, "mean"), kept, longest),
        "symmetric, mean": (aegnn(False, "mean"), kept, longest),
        "causal, mean, with history": (aegnn(True, "mean"), Window(events=1_000, history=True), min(longest, 100_000)),
    }
    recording = moving_edge(longest, passes=longest / IN_GRAPH)
    columns = {}
    for name, (model, window, last) in cases.items():
        stream, done, found, comparisons = model.asynchronous(window, strict=True), 0, [], 4 if window.history else 20
        for first, stop in zip((0, *LENGTHS), LENGTHS, strict=False):
            if stop > last:
                break
            worst = 0.0
            for at in np.linspace(first, stop, comparisons + 1).astype(int)[1:]:
                while done < at:  # 1 to 1,000 events at a time
                    count = min(int(10 ** rng.uniform(0, 3)), at - done)
                    result = stream.push(recording[done : done + count])
                    done += count
                expected = synchronous_output(model, recording[:done], window) if window.history else stream.synchronous().logits
                worst = max(worst, float(np.abs(result.logits - expected).max() / np.abs(expected).max()))
            found.append(f"{worst:.1e}")
        columns[name] = found
    rows = [
        (f"{last:,}", *(found[k] if k < len(found) else "" for found in columns.values()))
        for k, last in enumerate(LENGTHS)
        if last <= longest
    ]
    table("events pushed: largest relative difference", tuple(columns), *rows)


def trained() -> None:
    realdata = os.environ.get("EVENTZOO_REALDATA")
    checkpoint = Path(realdata or "") / "checkpoints" / "aegnn_ncars_recognition.ckpt"
    if not realdata or not checkpoint.is_file():
        print("\ntrained: skipped; EVENTZOO_REALDATA must hold checkpoints/aegnn_ncars_recognition.ckpt and N-Cars/obj_004397_td.dat")
        return
    model = import_aegnn(checkpoint).model
    events = eventzoo.read(Path(realdata) / "N-Cars" / "obj_004397_td.dat", sensor_size=SENSOR)
    contender, forward = Contender(model, Window(), events, len(events) - WARM - 100), Forward(model, events)
    for _ in range(ROUNDS):
        forward.time()
        contender.time_singly(100)
    compare_with_forward({"mean": forward}, {"mean": [contender]})
    stream = contender.stream
    stream.reset()
    answers, worst = stream.push_each(events), 0.0
    for last in np.linspace(1, len(events), 40).astype(int):
        expected = model.output(events[:last])
        worst = max(worst, float(np.abs(answers[last - 1] - expected).max() / np.abs(expected).max()))
    print(f"\n{len(events):,} events, unlimited neighbours; largest relative difference of 40 answers: {worst:.1e}")


def main() -> None:
    sections = ("latency", "symmetric", "floor", "length", "memory", "exactness", "trained")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="+", choices=(*sections, "all"))
    parser.add_argument("--longest", type=int, default=LENGTHS[-1], help="events of the long recordings, default 1,000,000")
    parser.add_argument("--picture", type=Path, help="where `length` draws to; its figures go to a CSV file beside it")
    given = parser.parse_args()
    torch.set_num_threads(1)
    runs: dict[str, Callable[[], None]] = {
        "latency": latency,
        "symmetric": symmetric,
        "floor": floor,
        "length": lambda: length(given.longest, given.picture),
        "memory": lambda: memory(given.longest),
        "exactness": lambda: exactness(given.longest),
        "trained": trained,
    }
    for name in sections:
        if name in given.sections or "all" in given.sections:
            print(f"\n## {name}", flush=True)
            runs[name]()


if __name__ == "__main__":
    main()
