"""Measures of a model's answers to the samples of a data set."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eventzoo.data.boxes import Boxes
from eventzoo.tasks.metrics.voc import first_hits
from eventzoo.tasks.results import ClassificationResult, Detections, Scored

IOU = 0.5
"""Overlap at which a found box counts as right, in precision, recall and F1."""


@dataclass(frozen=True)
class Counts:
    """How many boxes were found.

    Attributes:
        hits: Found boxes that are right.
        found: Found boxes.
        true: Boxes that there are.
    """

    hits: int
    found: int
    true: int

    @property
    def precision(self) -> float:
        """Share of the found boxes that are right; 1 where none was found."""
        return self.hits / self.found if self.found else 1.0

    @property
    def recall(self) -> float:
        """Share of the boxes that were found; 1 where there are none."""
        return self.hits / self.true if self.true else 1.0

    @property
    def f1(self) -> float:
        """Harmonic mean of both; 1 where there is nothing to find and nothing was found."""
        return 2 * self.hits / (self.found + self.true) if self.found + self.true else 1.0


def hits(found: Detections, right: Boxes) -> NDArray[np.bool_]:
    """Which found boxes are right, bool `[N]`: overlapping most, by `IOU` or more, a box of their class that no better one has found."""
    result = np.zeros(len(found), np.bool_)
    for class_id in np.intersect1d(found.class_ids, right.class_ids).tolist():
        mine = found.class_ids == class_id
        result[mine] = first_hits(found.boxes[mine], right.xyxy[right.class_ids == class_id], IOU)
    return result


def counted(found: Detections, right: Boxes) -> Counts:
    """How many of a sample's boxes were found."""
    return Counts(int(hits(found, right).sum()), len(found), len(right))


def total(counts: Iterable[Counts]) -> Counts:
    """The counts of several samples together."""
    rows = np.array([(sample.hits, sample.found, sample.true) for sample in counts], np.int64).reshape(-1, 3)
    return Counts(*rows.sum(0).tolist())


def confusion(scored: Iterable[Scored], num_classes: int) -> NDArray[np.int64]:
    """Number of samples by right class and answered class, int64 `[num_classes, num_classes]`."""
    matrix = np.zeros((num_classes, num_classes), np.int64)
    for sample in scored:
        matrix[sample.target, sample.result.class_id] += 1  # type: ignore[index,union-attr]  # a classifier's
    return matrix


def class_measures(matrix: NDArray[np.int64], classes: Sequence[str]) -> dict[str, dict[str, float | None]]:
    """Of each class its number of `samples`, `precision`, `recall` and `F1`, by a confusion matrix; None for a quotient by zero."""
    right, answered, samples = matrix.diagonal(), matrix.sum(0), matrix.sum(1)
    return {
        name: {
            "samples": int(samples[index]),
            "precision": _share(right[index], answered[index]),
            "recall": _share(right[index], samples[index]),
            "F1": _share(2 * right[index], answered[index] + samples[index]),
        }
        for index, name in enumerate(classes)
    }


@dataclass(frozen=True)
class Worst:
    """A sample that a model did badly on.

    Attributes:
        index: Its place in the data set.
        scored: The sample's answers.
        note: What is bad about it.
    """

    index: int
    scored: Scored
    note: str


def worst(scored: Sequence[Scored], count: int, score_threshold: float = 0.0) -> list[Worst]:
    """The worst samples, the very worst first.

    In classification those with the lowest probability of the right class. In detection those with the lowest F1 at `IOU` of the
    boxes above the threshold; of equals, those with the highest score of a wrong box.

    Args:
        scored: The samples of a data set, in its order, from the first on.
        count: How many, where there are as many.
        score_threshold: Least score of a box, in detection.
    """
    ranked: list[tuple[tuple[float, float], Worst]] = []
    for index, (key, target, result) in enumerate(scored):
        if isinstance(target, Boxes) and isinstance(result, Detections):
            found = result.above(score_threshold)
            right = hits(found, target)
            f1 = Counts(int(right.sum()), len(found), len(target)).f1
            badness = f1, -float(found.scores[~right].max(initial=0))
            ranked.append((badness, Worst(index, Scored(key, target, found), f"{key}, F1 {f1:.2f}")))
        elif isinstance(target, int) and isinstance(result, ClassificationResult):
            ranked.append(((float(result.probabilities[target]), 0.0), Worst(index, Scored(key, target, result), key)))
    ranked.sort(key=lambda entry: entry[0])
    return [sample for _, sample in ranked[:count]]


def counts_above(scored: Iterable[Scored], score_threshold: float) -> Counts:
    """How many boxes are found with at least this score, in all samples together."""
    return total(counted(sample.result.above(score_threshold), sample.target) for sample in scored)  # type: ignore[union-attr,arg-type]  # a detector's


def _share(part: int, whole: int) -> float | None:
    return float(part / whole) if whole else None
