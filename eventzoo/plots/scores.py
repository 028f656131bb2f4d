"""Pictures of how good a model is."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's palette, which the colour-blind can tell apart, without its yellow, which is faint on white.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
_STYLES = ("-", "--", ":")
_MOST_CURVES = 10  # of classes; more cannot be told apart
_EXTREMES = 4  # best and worst classes that are drawn where there are more
_MATRIX, _LARGEST_CELL, _SMALLEST_CELL = 5.0, 1.1, 0.13  # inches: sides of a confusion matrix and of its cells
_SMALLEST_LETTERS = 5.0  # points
_APART = 1.25  # the ratio of numbers on a logarithmic axis below which they would overlap


def draw_confusion(confusion: NDArray[np.int64], classes: Sequence[str]) -> "Figure":
    """Which class is taken for which. A row is a right class; its shades are shares of its samples; the numbers are samples.

    Where there are too many classes for numbers, the shades stand alone.

    Args:
        confusion: Samples by right class and answered class, `[classes, classes]`.
        classes: Their names.

    Raises:
        ImportError: matplotlib is not installed.
    """
    from matplotlib.colors import PowerNorm
    from matplotlib.figure import Figure

    count, most = len(classes), int(confusion.max(initial=0))
    cell = min(max(_MATRIX / count, _SMALLEST_CELL), _LARGEST_CELL)
    letters = cell * 72 * 0.85 / (0.6 * len(f"{most:,}"))  # points, of the largest number
    font = 9 if cell > 0.2 else 6
    names, margin, bar_width = max(map(len, classes)) * font * 0.57 / 72 + 0.1, 0.4, 1.1  # inches
    side = count * cell
    width, height = names + 2 * margin + side + bar_width, names + 2 * margin + side
    figure = Figure(figsize=(max(width, 4.0), height))
    width = figure.get_figwidth()
    axis = figure.add_axes(((names + margin) / width, (names + margin) / height, side / width, side / height))
    totals = confusion.sum(1, keepdims=True)
    shares = confusion / np.maximum(totals, 1)
    image = axis.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, 0, 1))  # so that rare confusions are seen at all
    axis.set_xticks(range(count), classes, rotation=90, fontsize=font)
    axis.set_yticks(range(count), classes, fontsize=font)
    axis.set(xlabel="the model's answer", ylabel="right class")
    axis.set_title(f"{int(confusion.trace()):,} of {int(totals.sum()):,} right", fontsize=10)
    axis.tick_params(length=2)
    bar = figure.add_axes(((names + margin + side + 0.15) / width, (names + margin) / height, 0.15 / width, min(side, 4) / height))
    figure.colorbar(image, cax=bar, label="share of the right class")
    if letters >= _SMALLEST_LETTERS:
        for row, column in np.argwhere(confusion > 0).tolist():
            colour = "white" if shares[row, column] > 0.3 else "black"
            number = f"{int(confusion[row, column]):,}"
            axis.text(column, row, number, ha="center", va="center", color=colour, fontsize=min(letters, 10))
    else:  # lines to follow from a cell to its names
        axis.set_xticks(np.arange(count) - 0.5, minor=True)
        axis.set_yticks(np.arange(count) - 0.5, minor=True)
        axis.grid(which="minor", linewidth=0.3, alpha=0.3)
        axis.tick_params(which="minor", length=0)
    return figure


def draw_precision_recall(recall: NDArray[np.float64], curves: Mapping[str, NDArray[np.float64]], without_boxes: int = 0) -> "Figure":
    """Precision by recall of each class at an IoU of 0.5, with the average precision in the legend, and their mean.

    Of more than 10 classes, the 4 best, the 4 worst and the mean are drawn.

    Args:
        recall: `[R]`.
        curves: Precision at each recall `[R]`, by the name of the class.
        without_boxes: Number of classes that have no boxes, and so no curve.

    Raises:
        ImportError: matplotlib is not installed.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.8), layout="constrained")
    axis = figure.subplots()
    names = sorted(curves, key=lambda name: -float(curves[name].mean()))
    some = len(names) > _MOST_CURVES
    shown = [*names[:_EXTREMES], *names[-_EXTREMES:]] if some else names
    cycle = _EXTREMES if some else len(_COLOURS)
    for number, name in enumerate(shown):
        label = f"{name}  {curves[name].mean():.3f}"
        axis.plot(recall, curves[name], _STYLES[number // cycle], color=_COLOURS[number % cycle], linewidth=1.4, label=label)
    if names:
        mean = np.mean(list(curves.values()), 0)
        axis.plot(recall, mean, "-", color="black", linewidth=2.5, label=f"mean  {mean.mean():.3f}")
        figure.legend(loc="outside right upper", fontsize=9, title="AP50")
    title = f"Precision and recall at IoU 0.5, {len(names)} classes"
    if some:
        title += f"\nthe {_EXTREMES} best drawn through, the {_EXTREMES} worst dashed"
    if without_boxes:
        title += f"\n{without_boxes} classes without boxes left out"
    axis.set_title(title, fontsize=10)
    axis.set(xlabel="recall", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.03))
    axis.grid(alpha=0.3)
    return figure


def draw_by_events(events: Sequence[int], scores: Mapping[str, Sequence[float]], title: str) -> "Figure":
    """How good a model is after the first events of recordings.

    Args:
        events: Numbers of events.
        scores: Values at each, by the name of what is measured, 0 to 1.
        title: What was measured.

    Raises:
        ImportError: matplotlib is not installed.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axis = figure.subplots()
    for number, (name, values) in enumerate(scores.items()):
        axis.plot(events, values, "os^"[number] + _STYLES[number], color=_COLOURS[number], markersize=4, label=name)
    axis.set_xscale("log")
    ticks: list[int] = []
    for count in reversed(events):
        if not ticks or ticks[-1] >= _APART * count:
            ticks.append(count)
    axis.set_xticks(ticks, [f"{count:,}" for count in ticks], rotation=45, ha="right")
    axis.set_xticks([], minor=True)
    axis.set(xlabel="first events of a recording (all it has, where it has fewer)", ylim=(0, 1.02))
    axis.set_ylabel(next(iter(scores)) if len(scores) == 1 else "")
    axis.set_title(title, fontsize=10)
    axis.grid(alpha=0.3)
    if len(scores) > 1:
        axis.legend(fontsize=9)
    return figure
