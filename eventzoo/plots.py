"""Pictures. They need matplotlib, which comes with the extra `viz`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from eventzoo.data.dataset import EventDataset
from eventzoo.events import Events
from eventzoo.io.inspection import Inspection

if TYPE_CHECKING:
    from eventzoo.model import EventModel


def event_image(events: Events) -> NDArray[np.uint8]:
    """Events on white: ON red, OFF blue, both dark; the more events, the stronger.

    Returns:
        uint8 `[height, width, 3]`.
    """
    width, height = events.sensor_size
    counts = np.zeros((2, height, width))
    np.add.at(counts, (events.p.astype(int), events.y, events.x), 1)
    return _count_image(counts)


def _count_image(counts: NDArray[Any]) -> NDArray[np.uint8]:
    scale = max(np.quantile(counts[counts > 0], 0.95), 1) if counts.any() else 1
    off, on = np.clip(counts / scale, 0, 1) ** 0.5
    image = np.stack([1 - off, 1 - np.maximum(on, off) * 0.85, 1 - on], -1)
    pixels: NDArray[np.uint8] = (np.clip(image, 0, 1) * 255).astype(np.uint8)
    return pixels


def draw_predictions(model: "EventModel", dataset: EventDataset, path: Path, rows: int = 3, columns: int = 6) -> Path | None:
    """Draw recordings spread evenly over a dataset, with what they show and what the model says.

    Returns:
        The PNG file, or None where matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    chosen = np.linspace(0, len(dataset) - 1, min(rows * columns, len(dataset))).astype(int)
    figure = Figure(figsize=(2 * columns, 2.3 * rows + 0.4), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.axis("off")
    right = 0
    for axis, index in zip(axes, chosen, strict=False):
        sample = dataset[int(index)]
        result = model.predict(sample.events)
        correct = result.class_id == sample.label
        right += correct
        axis.imshow(event_image(sample.events), interpolation="nearest")
        answer = str(result) if correct or sample.label is None else f"{result}, is {dataset.classes[sample.label]}"
        axis.set_title(answer, fontsize=9, color="black" if correct else "crimson")
    figure.suptitle(f"{type(dataset).__name__}, held-out recordings: {right} of {len(chosen)} right (ON red, OFF blue)", fontsize=10)
    figure.savefig(path, dpi=110)
    return path


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
    view.imshow(_count_image(found.counts), interpolation="nearest")
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
