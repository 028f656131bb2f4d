"""Pictures of event streams: their levels side by side, and who looks at whom."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eventzoo.events import Events
from eventzoo.kernels.event_streams import halved
from eventzoo.nn.event_stream import StreamBatch
from eventzoo.plots.events import event_image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

Kind = Literal["strided", "inplace", "pointwise"]

_COLOUR = np.array([0.45, 0.1, 0.55])  # purple, of ON and OFF alike
_INCHES = 2.1  # width of a stream
_TITLE, _FOOT, _HEAD, _CLOCK = 0.42, 0.32, 0.45, 0.25  # inches: above and below streams, at the top and, of a GIF, at the bottom
_BINS = 200  # of a matrix, a side: as many as a panel has room for
_CLOSE = 40  # rows of a larger one that are drawn close up, too
_LOOKS_AT = {
    "strided": "3×3 pixels below",
    "inplace": "a plus of 9 pixels",
    "pointwise": "its own pixel",
}


class Neighbourhood(NamedTuple):
    """Which events of one stream the events of another look at.

    Attributes:
        level: The level of those that look, from 1.
        kind: Strided edges come from the level below, the others from the level itself.
        inputs: Events that can be looked at.
        outputs: Events that look.
        row: The event that looks, of each edge; int64 `[E]`.
        column: The event that it looks at; int64 `[E]`.
        weight: exp(-age), float64 `[E]`.
    """

    level: int
    kind: Kind
    inputs: int
    outputs: int
    row: NDArray[np.int64]
    column: NDArray[np.int64]
    weight: NDArray[np.float64]

    @property
    def per_event(self) -> float:
        """Edges of an event that looks, on average; 0 if there is none."""
        return len(self.row) / max(self.outputs, 1)

    @property
    def filled(self) -> float:
        """Share of the pairs of events that have an edge; 0 if there is no pair."""
        return len(self.row) / max(self.inputs * self.outputs, 1)


def streams_of(events: Events, batch: StreamBatch) -> list[Events]:
    """The streams of all levels as events on grids of their own, at microseconds from the recording's first event on.

    Args:
        events: The recording, which is level 0.
        batch: What an `EventStream` makes of it alone. Its levels have no polarity: all their events are ON.
    """
    streams = [Events(events.x, events.y, events.t - events.t[:1], events.p, events.sensor_size, trusted=True)]
    for level in batch.levels:
        x, y, t = level.x.numpy(), level.y.numpy(), level.t.numpy()
        streams.append(Events(x, y, t, np.ones(len(t), np.bool_), halved(streams[-1].sensor_size), trusted=True))
    return streams


def neighbourhood_of(batch: StreamBatch, level: int, kind: Kind) -> Neighbourhood:
    """The edges of one kind at a level from 1 on."""
    at = batch.levels[level - 1]
    edges = getattr(at, kind)
    outputs = len(at.t)
    inputs = outputs
    if kind == "strided":
        inputs = len(batch.polarity) if level == 1 else len(batch.levels[level - 2].t)
    row = np.repeat(np.arange(outputs), np.diff(edges.start.numpy()))
    return Neighbourhood(level, kind, inputs, outputs, row, edges.source.numpy().astype(np.int64), np.exp(-edges.age.double().numpy()))


def draw_streams(streams: Sequence[Events], title: str, rows: int = 5) -> "Figure":
    """The streams side by side, the recording cut into equal parts that follow each other downwards.

    Args:
        streams: Level 0 and the others, as `streams_of` gives them.
        title: What they are.
        rows: Parts.

    Raises:
        ImportError: matplotlib is not installed.
    """
    figure, axes = _panels(streams, title, rows, foot=_FOOT)
    bounds = _bounds(streams, rows)
    for row, (start, stop) in enumerate(pairwise(bounds)):
        axes[row][0].set_ylabel(_between(start, stop), fontsize=9)
        for column, stream in enumerate(streams):
            part = _part(stream, start, stop)
            _show(axes[row][column], part, column)
            axes[row][column].set_xlabel(_counted(part), fontsize=8)
    return figure


def animate_streams(streams: Sequence[Events], title: str, path: Path, frames: int = 20, fps: int = 4) -> Path:
    """Write the streams side by side as a GIF that is repeated for ever, the recording cut into equal parts.

    Args:
        streams: Level 0 and the others, as `streams_of` gives them.
        title: What they are.
        path: The GIF, which is written when all its frames are drawn.
        frames: Parts.
        fps: Parts that are shown in a second.

    Raises:
        ImportError: matplotlib is not installed.
    """
    from matplotlib.animation import PillowWriter

    figure, ((*axes,),) = _panels(streams, title, 1, foot=_FOOT + _CLOCK)
    clock = figure.text(0.5, 0.08 / figure.get_figheight(), "", ha="center", va="bottom", fontsize=10, fontweight="bold")
    bounds = _bounds(streams, frames)
    images: list[AxesImage] = []
    writer = PillowWriter(fps)
    with writer.saving(figure, path, dpi=90):
        for start, stop in pairwise(bounds):
            for column, stream in enumerate(streams):
                part = _part(stream, start, stop)
                if len(images) <= column:
                    images.append(_show(axes[column], part, column))
                images[column].set_data(_image(part, column))
                axes[column].set_xlabel(_counted(part), fontsize=8)
            clock.set_text(_between(start, stop))
            writer.grab_frame()
    return path


def draw_neighbourhoods(chosen: Sequence[Sequence[Neighbourhood]], title: str, longest: float | None) -> "Figure":
    """Matrices with a row an event that looks and a column an event that it may look at, and histograms of the edges' weights.

    Where there are more events than pixels, the strongest weight is drawn of those that share one.

    Args:
        chosen: Neighbourhoods that stand side by side, in each of one or more rows; all rows are equally long.
        title: What they are of.
        longest: The age that edges end at, in decay times; None if they do not.

    Raises:
        ImportError: matplotlib is not installed.
    """
    from matplotlib.figure import Figure

    columns = len(chosen[0])
    figure = Figure(figsize=(1.4 + 3.1 * columns, 0.6 + 4.9 * len(chosen)), layout="constrained")
    meaning = ("each row is an event, each dot in it an event that it looks at;", "the longer ago that was, the less it weighs")
    figure.suptitle(f"{title}\n({(' ' if columns > 1 else chr(10)).join(meaning)})", fontsize=10)
    axes = figure.subplots(2 * len(chosen), columns, squeeze=False, height_ratios=(1.7, 1) * len(chosen))
    for number, row in enumerate(chosen):
        for column, found in enumerate(row):
            image = _draw_matrix(axes[2 * number, column], found)
            _draw_weights(axes[2 * number + 1, column], found, longest)
    figure.colorbar(image, ax=axes, label="weight of an edge, exp(−age in decay times)", shrink=0.5, aspect=40)
    return figure


def _panels(streams: Sequence[Events], title: str, rows: int, foot: float) -> "tuple[Figure, NDArray[np.object_]]":
    """A figure with a panel a stream, side by side, in several rows; above the first row stands what they are."""
    from matplotlib.figure import Figure

    width, height = streams[0].sensor_size
    side = _INCHES * height / width
    size = len(streams) * (_INCHES + 0.15) + 0.4, _HEAD + _TITLE + rows * (side + _FOOT) - _FOOT + foot
    figure = Figure(figsize=size)
    figure.text(
        0.5, 1 - 0.08 / size[1], f"{title}\n(recording: ON events red, OFF blue; each level: purple)", ha="center", va="top", fontsize=10
    )
    figure.subplots_adjust(
        left=0.35 / size[0],
        right=1 - 0.15 / size[0],
        bottom=foot / size[1],
        top=1 - (_HEAD + _TITLE) / size[1],
        wspace=0.15 / _INCHES,
        hspace=_FOOT / side,
    )
    axes = figure.subplots(rows, len(streams), squeeze=False)
    for level, (axis, stream) in enumerate(zip(axes[0], streams, strict=True)):
        width, height = stream.sensor_size
        axis.set_title(f"{f'level {level}' if level else 'recording'}\n{width}×{height}, {_counted(stream)}", fontsize=9)
    return figure, axes


def _bounds(streams: Sequence[Events], parts: int) -> NDArray[np.float64]:
    """Microseconds at which each part begins, and at which the last one ends."""
    return np.linspace(0, int(streams[0].t[-1]) + 1 if len(streams[0]) else 1, parts + 1)


def _part(stream: Events, start: float, stop: float) -> Events:
    first, last = np.searchsorted(stream.t, (start, stop)).tolist()
    return stream[first:last]


def _between(start: float, stop: float) -> str:
    decimals = 1 if stop - start >= 1000 else 3
    return f"{start / 1e3:,.{decimals}f} to {stop / 1e3:,.{decimals}f} ms"


def _counted(stream: Events) -> str:
    return f"{len(stream):,} event{'' if len(stream) == 1 else 's'}"


def _show(axis: "Axes", stream: Events, level: int) -> "AxesImage":
    axis.set(xticks=[], yticks=[])
    for spine in axis.spines.values():
        spine.set_color("lightgray")
    return axis.imshow(_image(stream, level), interpolation="nearest")


def _image(stream: Events, level: int) -> NDArray[np.uint8]:
    """uint8 `[height, width, 3]`."""
    if level == 0:
        return event_image(stream)
    width, height = stream.sensor_size
    counts = np.zeros((height, width, 1))
    np.add.at(counts, (stream.y, stream.x), 1)
    strength = (counts / max(counts.max(), 1)) ** 0.5
    pixels: NDArray[np.uint8] = ((1 - strength * (1 - _COLOUR)) * 255).astype(np.uint8)
    return pixels


def _draw_matrix(axis: "Axes", found: Neighbourhood) -> "AxesImage":
    from matplotlib.ticker import MaxNLocator

    below = "the recording" if found.level == 1 else f"level {found.level - 1}"
    source = below if found.kind == "strided" else f"level {found.level}"
    share = f", {found.filled:.2%} of all pairs" if len(found.row) else ""
    axis.set_title(f"level {found.level}, {found.kind}: {_LOOKS_AT[found.kind]}\n{len(found.row):,} edges{share}", fontsize=9)
    axis.set_xlabel(f"event of {source} that it looks at", fontsize=8)
    axis.set_ylabel(f"event of level {found.level}", fontsize=8)
    axis.tick_params(labelsize=7)
    image = _show_matrix(axis, found, (0, found.outputs), (0, found.inputs), _BINS)
    for side in (axis.xaxis, axis.yaxis):
        side.set_major_locator(MaxNLocator(6, integer=True))
        side.set_major_formatter("{x:,.0f}")
    if not len(found.row):
        axis.set(xticks=[], yticks=[])
        axis.text(0.5, 0.5, "no events" if found.outputs == 0 else "no edges", ha="center", va="center", transform=axis.transAxes)
    middle = found.outputs // 2 - _CLOSE // 2
    looked_at = found.column[(found.row >= middle) & (found.row < middle + _CLOSE)]
    if found.outputs > _BINS and len(looked_at):  # the band is too thin to be read; no event looks at what is to come, so there is room
        close = axis.inset_axes((0.52, 0.5, 0.46, 0.42))
        _show_matrix(close, found, (middle, middle + _CLOSE), (int(looked_at.min()), int(looked_at.max()) + 1), _BINS // 2)
        close.set_title(f"rows {middle:,} to {middle + _CLOSE - 1:,}", fontsize=7, pad=2)
        close.set(xticks=[], yticks=[])
        for spine in close.spines.values():
            spine.set_color("gray")
    return image


def _show_matrix(axis: "Axes", found: Neighbourhood, rows: tuple[int, int], columns: tuple[int, int], most: int) -> "AxesImage":
    """Rows and columns of a matrix from a first to a last, exclusive, in pixels, `most` a side."""
    inside = (found.row >= rows[0]) & (found.row < rows[1])
    sizes = [max(stop - start, 1) for start, stop in (rows, columns)]
    pixels = [min(size, most) for size in sizes]
    row, column = (
        (index[inside] - start) * count // size
        for index, (start, _), count, size in zip((found.row, found.column), (rows, columns), pixels, sizes, strict=True)
    )
    matrix = np.full(pixels, -1.0)
    np.maximum.at(matrix, (row, column), found.weight[inside])
    extent = (columns[0], columns[0] + sizes[1], rows[0] + sizes[0], rows[0])
    return axis.imshow(np.ma.masked_less(matrix, 0), "viridis_r", vmin=0, vmax=1, aspect="auto", interpolation="nearest", extent=extent)


def _draw_weights(axis: "Axes", found: Neighbourhood, longest: float | None) -> None:
    if not len(found.weight):
        axis.set_axis_off()
        return
    from matplotlib.ticker import MaxNLocator

    least = 0.0 if longest is None else float(np.exp(-longest))
    axis.hist(found.weight, bins=np.linspace(least, 1, 41).tolist(), color=tuple(_COLOUR))
    if longest is not None:
        axis.axvline(least, color="black", linestyle="--", linewidth=0.8, label=f"the window ends at exp(−{longest:g})")
        axis.legend(fontsize=7, loc="upper center")
    axis.set(xlim=(0, 1))
    axis.yaxis.set_major_locator(MaxNLocator("auto", integer=True))
    axis.yaxis.set_major_formatter("{x:,.0f}")
    axis.set_xlabel("weight", fontsize=8)
    axis.set_ylabel("edges", fontsize=8)
    axis.tick_params(labelsize=7)
