"""What all benchmarks share: contenders run in turn, so that a burst of noise touches all of them; medians are reported."""

import os
import statistics
import time
from collections.abc import Callable, Mapping

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # one core, unless the caller says otherwise; import this before torch, numpy and numba


def race(title: str, contenders: Mapping[str, Callable[[], object]], rounds: int = 9, rehearse: bool = False) -> dict[str, float]:
    """Time every contender once a round, print a Markdown table, and return the medians in seconds.

    Args:
        title: What is timed.
        contenders: Functions by name; the first is the one that the others are compared with.
        rounds: Timed runs of each, after one that is not timed.
        rehearse: Run each right before it is timed, so that nobody pays for memory that its predecessor gave back to the system.
    """
    for run in contenders.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            if rehearse:
                run()
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    first = next(iter(medians.values()))
    print(f"\n| {title} | median ms | range | ratio |\n|---|---|---|---|")
    for name, seconds in times.items():
        print(f"| {name} | {medians[name] * 1e3:.3g} | {min(seconds) * 1e3:.3g}–{max(seconds) * 1e3:.3g} | {medians[name] / first:.2f} |")
    return medians
