"""Pascal VOC's average precision."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eventzoo.errors import EventZooError
from eventzoo.tasks.box_ops import box_iou
from eventzoo.tasks.metrics.base import DetectionMetric


class VOCAveragePrecision(DetectionMetric):
    """Average precision over a dataset by the rules of the Pascal VOC challenges (https://doi.org/10.1007/s11263-009-0275-4).

    The detections of a class are gone through by falling score, over all images. One is right if the true box that it overlaps
    most, at `iou_threshold` or more, was not found before. The average precision is the area under the curve of precision over
    recall, after precision is raised to the highest that any greater recall has (VOC 2010 and later), or the mean of that at the
    recalls 0, 0.1, …, 1 (VOC 2007). Overlaps are continuous; VOC's own tools count a box a pixel wider and higher.

    Args:
        classes: Names of the classes, as in the dataset.
        iou_threshold: Overlap at which a box counts as found, above 0 and up to 1.
        eleven_points: Whether to average over eleven recalls instead of taking the area.

    Raises:
        EventZooError: The threshold is out of range.
    """

    def __init__(self, classes: Sequence[str], iou_threshold: float = 0.5, eleven_points: bool = False) -> None:
        super().__init__(classes)
        check_threshold(iou_threshold)
        self.iou_threshold, self.eleven_points = iou_threshold, eleven_points

    def compute(self) -> dict[str, Tensor]:
        """`AP/<class>` of each class and `mAP`, the mean over those that have true boxes, float32 scalars; -1 where there is none."""
        scores: list[list[NDArray[np.float32]]] = [[] for _ in self.classes]
        hits: list[list[NDArray[np.bool_]]] = [[] for _ in self.classes]
        positives = np.zeros(len(self.classes), np.int64)
        for found, true in self.images():
            positives += np.bincount(true[:, 4].astype(np.int64), minlength=len(self.classes))
            found = found[np.argsort(-found[:, 4], kind="stable")]
            for class_id in np.unique(found[:, 5]).astype(np.int64):
                mine = found[found[:, 5] == class_id]
                scores[class_id].append(mine[:, 4])
                hits[class_id].append(first_hits(mine[:, :4], true[true[:, 4] == class_id, :4], self.iou_threshold))
        precisions = {
            f"AP/{name}": self._average_precision(scores[index], hits[index], int(positives[index]))
            for index, name in enumerate(self.classes)
        }
        known = [value for value in precisions.values() if value >= 0]
        values = {"mAP": sum(known) / len(known) if known else -1.0} | precisions
        return {name: torch.tensor(value, dtype=torch.float32, device=self.device) for name, value in values.items()}

    def _average_precision(self, scores: list[NDArray[np.float32]], hits: list[NDArray[np.bool_]], positives: int) -> float:
        if positives == 0:
            return -1.0
        if not scores:
            return 0.0
        ranked = np.concatenate(hits)[np.argsort(-np.concatenate(scores), kind="stable")]
        return eleven_point_mean(ranked, positives) if self.eleven_points else area_under_curve(ranked, positives)


def check_threshold(iou_threshold: float) -> None:
    """Refuse an overlap that every box or no box reaches with an EventZooError."""
    if not 0 < iou_threshold <= 1:
        raise EventZooError(f"iou_threshold is {iou_threshold}, not above 0 and up to 1")


def first_hits(found: NDArray[np.float32], true: NDArray[np.float32], iou_threshold: float) -> NDArray[np.bool_]:
    """Which detections are the first to find a true box.

    Args:
        found: Detected boxes of one class in one image, xyxy `[N, 4]`, in the order in which they count.
        true: True boxes of that class, xyxy `[M, 4]`.
        iou_threshold: Overlap with its most overlapped true box that a detection needs.

    Returns:
        bool `[N]`. A detection whose most overlapped box is already found is none, also if it overlaps another one well.
    """
    hits = np.zeros(len(found), bool)
    if len(found) and len(true):
        overlap, chosen = box_iou(torch.from_numpy(found).double(), torch.from_numpy(true).double()).max(1)
        candidates = np.flatnonzero(overlap.numpy() >= iou_threshold)
        hits[candidates[np.unique(chosen.numpy()[candidates], return_index=True)[1]]] = True
    return hits


def area_under_curve(hits: NDArray[np.bool_], positives: int) -> float:
    """Area under the falling hull of precision over recall, for detections `hits` `[N]` in order and `positives` true boxes."""
    return float(_hull(hits)[hits].sum() / positives)  # each hit adds the same step of recall


def eleven_point_mean(hits: NDArray[np.bool_], positives: int) -> float:
    """Mean of the falling hull of precision at the recalls 0, 0.1, …, 1, for detections `hits` `[N]` in order."""
    reached = np.searchsorted(10 * hits.cumsum(), np.arange(11) * positives)  # integers: 3 of 10 boxes are a recall of 0.3
    return float(np.append(_hull(hits), 0)[reached].mean())


def _hull(hits: NDArray[np.bool_]) -> NDArray[np.float64]:
    precision = hits.cumsum() / np.arange(1, len(hits) + 1)
    hull: NDArray[np.float64] = np.maximum.accumulate(precision[::-1])[::-1]
    return hull
