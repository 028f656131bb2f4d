"""What a model says, as the commands write and show it: of classifiers and of detectors."""

from typing import TYPE_CHECKING

from eventzoo.tasks.results import ClassificationResult, Detections, Result

if TYPE_CHECKING:
    from rich.bar import Bar
    from rich.console import RenderableType

_SHOWN = 8  # the most probable classes, or the best boxes
_TOLD = 3  # boxes, in words


def entry(result: Result) -> dict[str, object]:
    """An answer for a line of JSON."""
    if isinstance(result, ClassificationResult):
        return {"label": result.label, "class_id": result.class_id, "probabilities": result.probabilities.tolist()}
    return {
        "boxes": result.boxes.tolist(),
        "scores": result.scores.tolist(),
        "class_ids": result.class_ids.tolist(),
        "labels": list(result.labels),
    }


def in_words(result: Result) -> str:
    """An answer in a line: the class, or the best boxes and where they are."""
    if isinstance(result, ClassificationResult) or len(result) == 0:
        return str(result)
    told = [f"{result.labels[index]} ({result.scores[index]:.1%}) at {', '.join(_place(result, index))}" for index in _best(result, _TOLD)]
    return "; ".join([*told, *_rest(result, _TOLD)])


def picture(result: Result, classes: tuple[str, ...]) -> "RenderableType":
    """An answer for a terminal: the classes with their probabilities as bars, or the boxes with their scores, the best first."""
    from rich.table import Table

    shown = Table.grid(padding=(0, 2))
    if isinstance(result, ClassificationResult):
        most = sorted(range(len(classes)), key=lambda index: -result.probabilities[index])[:_SHOWN]
        for class_id in sorted(most):  # in their own order, so that they stay where they are
            share, first = float(result.probabilities[class_id]), class_id == result.class_id
            shown.add_row(f"[bold]{classes[class_id]}[/bold]" if first else classes[class_id], _bar(share, first), f"{share:6.1%}")
        return shown
    for index in _best(result, _SHOWN):
        share = float(result.scores[index])
        shown.add_row(f"[bold]{result.labels[index]}[/bold]", _bar(share, first=True), f"{share:6.1%}", *_place(result, index))
    for line in _rest(result, _SHOWN) if len(result) else ["nothing"]:
        shown.add_row(line)
    return shown


def _best(result: Detections, most: int) -> range:
    return range(min(most, len(result)))


def _rest(result: Detections, shown: int) -> list[str]:
    return [f"and {len(result) - shown:,} more"] if len(result) > shown else []


def _place(result: Detections, index: int) -> tuple[str, str]:
    """Where a box is, in whole pixels."""
    left, top, right, bottom = result.boxes[index]
    return f"x {left:.0f}–{right:.0f}", f"y {top:.0f}–{bottom:.0f}"


def _bar(share: float, first: bool) -> "Bar":
    from rich.bar import Bar

    return Bar(1, 0, share, width=40, color="green" if first else "bright_black")
