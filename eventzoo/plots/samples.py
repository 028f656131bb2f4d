"""Pictures of samples with their right answers and a model's."""

from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from eventzoo.data.boxes import Boxes
from eventzoo.data.dataset import EventDataset, Sample
from eventzoo.data.transforms import apply
from eventzoo.plots.events import event_image
from eventzoo.tasks.results import ClassificationResult, Detections, Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text
    from matplotlib.transforms import Bbox

    from eventzoo.model import EventModel

# Of Okabe and Ito's palette, which the colour-blind can tell apart; neither is near the red and blue of the events.
_TRUE, _FOUND = "black", "#009E73"
_WRONG = "crimson"
_FADED = 0.55  # of the events' colours below boxes
_MOST_BOXES = 20  # that are drawn of a sample's detections: more hide what they are about
_LETTER = 9 * 0.6  # points, the mean width of a title's letters
_INCHES = {"classification": 2.0, "detection": 3.0}  # width of a sample
_COLUMNS = {"classification": 6, "detection": 4}


def draw_sample(axis: "Axes", sample: Sample, result: Result, classes: Sequence[str], note: str = "") -> None:
    """Draw a sample's events, its right answer and a model's.

    In classification both are in the title, which is red where they differ. In detection right boxes are dashed and black, with
    their class below; found ones are drawn through and green, with class and score above; at most 20 of them, the best.

    Args:
        axis: Where to; its size should be final, as the places of the boxes' names depend on it.
        sample: The sample as the network sees it: boxes are in the pixels of its events.
        result: What the model says of it.
        classes: Names of the classes.
        note: A line above all else.
    """
    image = event_image(sample.events)
    if isinstance(result, Detections):
        image = 255 - ((255 - image) * _FADED).astype(np.uint8)
    axis.set(xticks=[], yticks=[])
    for spine in axis.spines.values():
        spine.set_color("lightgray")
    axis.imshow(image, interpolation="nearest")
    room = int(axis.get_window_extent().width / axis.figure.dpi * 72 / _LETTER)  # in letters
    lines, colour = [note if len(note) <= room else f"…{note[1 - room :]}"] if note else [], "black"  # a key's end tells more
    if isinstance(result, ClassificationResult):
        lines.append(f"{_short(result.label, room - 9)} ({result.probabilities[result.class_id]:.1%})")
        if sample.label is not None and sample.label != result.class_id:
            lines.append(f"is {_short(classes[sample.label], room - 3)}")
            colour = _WRONG
    axis.set_title("\n".join(lines), fontsize=9, color=colour)
    if isinstance(result, Detections):
        _draw_boxes(axis, sample.boxes or Boxes.empty(), result, classes)


def draw_samples(
    samples: Sequence[Sample], results: Sequence[Result], classes: Sequence[str], title: str, notes: Sequence[str] | None = None
) -> "Figure":
    """Samples side by side, each as `draw_sample` draws it.

    Args:
        samples: At least one.
        results: What the model says of each.
        classes: Names of the classes.
        title: What they are.
        notes: A line above each.

    Raises:
        ImportError: matplotlib is not installed.
    """
    from matplotlib.figure import Figure

    task = "detection" if isinstance(results[0], Detections) else "classification"
    notes = notes or [""] * len(samples)
    columns = min(_COLUMNS[task], len(samples))
    rows = -(-len(samples) // columns)
    width, sensor = _INCHES[task], samples[0].events.sensor_size
    height = width * sensor[1] / sensor[0]
    above = 0.16 * (bool(notes[0]) + 2 * (task == "classification")) + 0.14  # inches, of the titles
    gap, head = 0.12, 0.45  # inches
    size = columns * (width + gap) + gap, rows * (height + above + gap) + head
    figure = Figure(figsize=size)
    # No layout engine: places of names are chosen by the axes' final size.
    figure.subplots_adjust(
        left=gap / size[0],
        right=1 - gap / size[0],
        bottom=gap / size[1],
        top=1 - (head + above) / size[1],
        wspace=gap / width,
        hspace=(above + gap) / height,
    )
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes[len(samples) :]:
        axis.axis("off")
    for axis, sample, result, note in zip(axes, samples, results, notes, strict=False):
        draw_sample(axis, sample, result, classes, note)
    legend = "ON events red, OFF blue"
    if task == "detection":
        legend += "; right boxes dashed black, found ones green with their scores"
    figure.text(0.5, 1 - 0.08 / size[1], f"{title}\n({legend})", ha="center", va="top", fontsize=10)
    return figure


def draw_predictions(model: "EventModel", dataset: EventDataset, path: Path, rows: int = 3) -> Path | None:
    """Draw recordings spread evenly over a dataset, with what they show and what the model says.

    Returns:
        The PNG file, or None where matplotlib is not installed.
    """
    if find_spec("matplotlib") is None:
        return None
    chosen = np.linspace(0, len(dataset) - 1, min(rows * _COLUMNS[dataset.task], len(dataset))).astype(int)
    samples = [apply(model.transforms, dataset[index], np.random.default_rng(0)) for index in chosen.tolist()]
    results = [model.result(model.output(sample.events)) for sample in samples]
    title = f"{type(dataset).__name__}, held-out recordings"
    if dataset.task == "classification":
        right = sum(result.class_id == sample.label for sample, result in zip(samples, results, strict=True))  # type: ignore[union-attr]
        title += f": {right} of {len(chosen)} right"
    draw_samples(samples, results, model.classes, title).savefig(path, dpi=110)
    return path


def _short(name: str, letters: int) -> str:
    return name if len(name) <= letters else f"{name[: letters - 1]}…"


def _draw_boxes(axis: "Axes", right: Boxes, found: Detections, classes: Sequence[str]) -> None:
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import Normal, Stroke

    halo = [Stroke(linewidth=3.5, foreground="white"), Normal()]  # over events of any colour
    names = [f"{label} {score:.2f}" for label, score in zip(found.labels, found.scores, strict=True)][:_MOST_BOXES]
    drawn = [
        *((box, name, _FOUND) for box, name in zip(found.boxes, names, strict=False)),
        *((box, classes[class_id], _TRUE) for box, class_id in zip(right.xyxy, right.class_ids.tolist(), strict=True)),
    ]  # the dashed ones last, so that both are seen where they coincide
    for box, _, colour in drawn:
        (left, top), (width, height) = box[:2] - 0.5, box[2:] - box[:2]  # a pixel's centre is at its whole number
        style = (0, (4, 2.5)) if colour == _TRUE else "solid"
        patch = Rectangle((left, top), width, height, fill=False, edgecolor=colour, linewidth=1.6, linestyle=style, path_effects=halo)
        axis.add_patch(patch)
    axis.apply_aspect()  # else the names' extents would be those in the axes before the image gave them its aspect
    placed: list[Text] = []
    for box, name, colour in drawn:
        left, top, right_edge, bottom = (box - 0.5).tolist()
        outside, inside = ((left, top, "left", "bottom"), (left, top, "left", "top"))
        below, within = ((left, bottom, "left", "top"), (left, bottom, "left", "bottom"))
        flipped = [(right_edge, y, "right", va) for _, y, _, va in (outside, below, inside, within)]
        first = [below, within, outside, inside] if colour == _TRUE else [outside, inside, below, within]
        placed.append(_placed(axis, name, colour, [*first, *flipped], placed))


def _placed(axis: "Axes", name: str, colour: str, places: Iterable[tuple[float, float, str, str]], others: Sequence["Text"]) -> "Text":
    """A name, at that of some places where it overlaps the others and leaves the axes least."""
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.6}
    weight = "normal" if colour == _TRUE else "bold"  # green letters are faint
    text = axis.text(0, 0, name, fontsize=7, fontweight=weight, color=colour, bbox=box, clip_on=True)
    taken, view = [other.get_window_extent() for other in others], axis.get_window_extent()

    def hidden(place: tuple[float, float, str, str]) -> float:
        """Pixels of the picture that the name would share with others, or lose beyond the axes."""
        x, y, ha, va = place
        text.set(x=x, y=y, ha=ha, va=va)
        own = text.get_window_extent()
        area = own.width * own.height
        shared = sum(_overlap(own, other) for other in taken)
        return round(shared + area - _overlap(own, view))

    best = min(places, key=hidden)
    hidden(best)
    return text


def _overlap(a: "Bbox", b: "Bbox") -> float:
    return float(max(min(a.x1, b.x1) - max(a.x0, b.x0), 0) * max(min(a.y1, b.y1) - max(a.y0, b.y0), 0))
