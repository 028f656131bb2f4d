"""Pictures of recordings and of what they cost."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from eventzoo.io.inspection import Inspection
from eventzoo.plots.events import count_image


def draw_inspection(found: Inspection, path: Path) -> Path:
    """Draw what a recording shows: its events over the sensor, and their rate over time.

    Returns:
        The PNG file.

    Raises:
        ImportError: matplotlib is not installed.
    """
    from matplotlib.figure import Figure

    width, height = found.sensor_size
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    view, rate = figure.subplots(1, 2, width_ratios=(1, 1.2))
    view.imshow(count_image(found.counts), interpolation="nearest")
    hot = found.hot_pixels
    view.set_title(
        f"{found.events:,} events at {width}×{height} (ON red, OFF blue{', hot pixels circled' if len(hot) else ''})", fontsize=10
    )
    view.set(xlabel="x [pixels]", ylabel="y [pixels]")
    view.scatter(*hot.T, s=60, facecolors="none", edgecolors="black")
    seconds = np.arange(len(found.rates)) * found.interval / 1e6
    rate.step(seconds, found.rates / found.interval, where="post", linewidth=0.8)
    rate.set(xlabel=f"time since the first event [s], in steps of {found.interval / 1e3:g} ms", ylabel="million events/s", ylim=(0, None))
    rate.set_title(f"{found.path.name} ({found.encoding})", fontsize=10)
    figure.savefig(path, dpi=110)
    return path


def draw_cost(
    path: Path,
    unit: str,
    events: Sequence[int],
    asynchronous: Sequence[float],
    synchronous: Sequence[float],
    title: str,
    xlabel: str,
    band: tuple[Sequence[float], Sequence[float]] | None = None,
) -> Path:
    """Draw what an event costs an asynchronous model, and what a synchronous forward costs, while the graph grows.

    Args:
        path: The picture, its suffix tells the format.
        unit: What the costs are counted in.
        events: Numbers of events.
        asynchronous: Cost of an event at each, its median where there is a band.
        synchronous: Cost of a forward at each; NaN where it is not known.
        title: What was measured.
        xlabel: What the numbers of events are.
        band: 10th and 90th percentile of the cost of an event.

    Raises:
        ImportError: matplotlib is not installed.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axis = figure.subplots()
    axis.loglog(events, synchronous, "s--", color="tab:gray", markersize=4, label="synchronous forward on the window")
    axis.loglog(
        events, asynchronous, "o-", color="tab:purple", markersize=4, label="one event, asynchronous" + (", median" if band else "")
    )
    if band is not None:
        axis.fill_between(events, *band, color="tab:purple", alpha=0.2, linewidth=0, label="10th to 90th percentile")
    axis.set(xlabel=xlabel, ylabel=unit)
    axis.xaxis.set_major_formatter("{x:,.0f}")
    axis.set_title(title, fontsize=10)
    axis.grid(which="major", alpha=0.4)
    axis.grid(which="minor", alpha=0.12)
    known = [value for value in (*asynchronous, *synchronous) if value > 0]
    if known:  # room for the legend, and no axis of less than a decade, where noise would look like an effect
        axis.set_ylim(min(known) / 2, max(known) * 5)
    axis.legend(loc="upper left", fontsize=9, framealpha=0.9)
    figure.savefig(path, dpi=110)
    return path
