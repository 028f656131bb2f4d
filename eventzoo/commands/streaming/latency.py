"""eventzoo latency: how long the answer to an event takes, beside a synchronous forward."""

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from eventzoo.commands import tables
from eventzoo.commands.streaming import inputs
from eventzoo.events import Events

if TYPE_CHECKING:
    from eventzoo.asynchronous import AsyncModel

MOST = 500
"""Events that are pushed singly and timed at each size of the graph, unless all are."""
_REPEATS, _BUDGET = 5, 2.0  # of the synchronous forward: at most so often, and no more once so many seconds are spent
_TOO_LONG = 10.0  # seconds: forwards that would take longer are left out
_COLUMNS = ("events_pushed", "events_in_graph", "timed", "p10_us", "median_us", "p90_us", "p99_us", "max_us", "synchronous_us", "ratio")


@dataclass(frozen=True)
class Timed:
    """Durations at one size of the graph.

    Attributes:
        pushed: The events that were pushed when the last one was timed.
        in_graph: Events in the window then.
        single: Microseconds of each push of one event.
        synchronous: Median of a synchronous forward on the window then, microseconds; NaN where it would take too long.
    """

    pushed: int
    in_graph: int
    single: NDArray[np.float64]
    synchronous: float

    def percentile(self, share: float) -> float:
        """Percentile of the pushes in microseconds."""
        return float(np.percentile(self.single, share))

    @property
    def ratio(self) -> float:
        """Pushes in the time of a synchronous forward, by medians."""
        return self.synchronous / self.percentile(50)


def run(args: list[str]) -> None:
    """Measure, and print, write and draw what was found."""
    given = _parser().parse_args(args)
    tables.check_outputs(given.csv, given.plot)
    events, stream = inputs.measured(given)
    with _one_thread():
        sizes = measure(stream, events, every=given.every)
    _show(sizes, inputs.subject(stream, given.input))
    if given.csv is not None:
        tables.write_csv(given.csv, _COLUMNS, map(_row, sizes))
    if given.plot is not None:
        from eventzoo.plots import draw_cost

        picture = draw_cost(
            given.plot,
            "microseconds",
            [size.pushed for size in sizes],
            [size.percentile(50) for size in sizes],
            [size.synchronous for size in sizes],
            band=([size.percentile(10) for size in sizes], [size.percentile(90) for size in sizes]),
            title=inputs.subject(stream, given.input),
            xlabel=inputs.axis(stream),
        )
        print(f"picture: {picture}")


def _row(size: Timed) -> tuple[object, ...]:
    durations = (*(size.percentile(share) for share in (10, 50, 90, 99, 100)), size.synchronous, size.ratio)
    return (size.pushed, size.in_graph, len(size.single), *(round(value, 3) for value in durations))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "eventzoo latency",
        description="Push events of a recording one at a time, at a series of sizes of the graph, and time each push, from the call to the "
        "current answer; beside a synchronous forward (the graph is built and the network run) on the same window.",
        epilog="example: eventzoo latency --model local-dir:runs/aegnn_shapes/version_0/model --input recording.dat --plot latency.png",
    )
    inputs.add_arguments(parser)
    parser.add_argument("--every", action="store_true", help=f"time every event, not only up to {MOST} at each size of the graph")
    output = parser.add_argument_group("output")
    output.add_argument("--csv", type=Path, metavar="FILE", help=f"a line for each size of the graph: {', '.join(_COLUMNS)}")
    output.add_argument("--plot", type=Path, metavar="FILE", help="draw latency against events in the graph: .png, .svg or .pdf")
    return parser


def measure(stream: "AsyncModel", events: Events, every: bool = False) -> list[Timed]:
    """Push a recording to a model that is new or reset, events singly before each size of the graph and together in between.

    Args:
        stream: The model.
        events: The recording.
        every: Whether all events are pushed singly.
    """
    sizes: list[Timed] = []
    done, expected = 0, 0.0
    for stop in inputs.growing(len(events)):
        alone = stop - done if every else min(MOST, -(-(stop - done) // 2))
        stream.push(events[done : stop - alone])
        single = np.array([_microseconds(stream.push, events[at : at + 1]) for at in range(stop - alone, stop)])
        window = stream.events
        synchronous = float("nan")
        if expected < _TOO_LONG:
            if not sizes:
                stream.model.predict(window)  # whatever torch does but once
            synchronous = _repeated(partial(stream.model.predict, window))
            expected = synchronous / 1e6 * 2  # the next size is no larger than that
        sizes.append(Timed(stop, len(window), single, synchronous))
        done = stop
        inputs.progress(done, len(events))
    return sizes


def _repeated(function: Callable[[], object]) -> float:
    """Median duration of a few calls in microseconds."""
    took: list[float] = []
    while len(took) < _REPEATS and sum(took) < _BUDGET * 1e6:
        took.append(_microseconds(function))
    return float(np.median(took))


@contextmanager
def _one_thread() -> Iterator[None]:
    """As the asynchronous model has it. Threads of torch that wait for each other on a busy machine would measure that."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _microseconds(function: Callable[..., object], *args: object) -> float:
    start = time.perf_counter_ns()
    function(*args)
    return (time.perf_counter_ns() - start) / 1e3


def _show(sizes: list[Timed], what: str) -> None:
    tables.show(
        f"Microseconds for the answer to an event pushed singly, and for a synchronous forward, on one thread each: {what}",
        ("pushed", "in graph", "timed", "median", "90 %", "99 %", "longest", "synchronous", "ratio"),
        [
            (
                f"{size.pushed:,}",
                f"{size.in_graph:,}",
                f"{len(size.single):,}",
                *(f"{size.percentile(share):,.0f}" for share in (50, 90, 99, 100)),
                *(("–", "–") if np.isnan(size.synchronous) else (f"{size.synchronous:,.0f}", f"{size.ratio:,.1f}")),
            )
            for size in sizes
        ],
    )
    if any(np.isnan(size.synchronous) for size in sizes):
        print(f"–: a synchronous forward could take more than {_TOO_LONG:g} s, and was left out")
