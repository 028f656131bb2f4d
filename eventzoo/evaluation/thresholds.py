"""Which settings of a detection head are best: intersection over union of its non-maximum suppression, and least score."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from eventzoo.data.boxes import Boxes
from eventzoo.errors import EventZooError
from eventzoo.evaluation.measures import Counts, hits
from eventzoo.model import EventModel
from eventzoo.tasks.detection import SCORE_THRESHOLD
from eventzoo.tasks.heads import DetectionHead
from eventzoo.tasks.metrics import COCOAveragePrecision

NMS_IOUS = tuple(step / 10 for step in range(2, 10))
SCORE_THRESHOLDS = tuple(step / 20 for step in range(1, 20))


@dataclass(frozen=True)
class Trial:
    """What a head does at one intersection over union of its suppression.

    Attributes:
        nms_iou: It.
        mean_precision: COCO's mAP.
        precision50: COCO's AP50.
        counts: At each of the tried score thresholds, the boxes that are found with at least that score, in all samples together.
    """

    nms_iou: float
    mean_precision: float
    precision50: float
    counts: tuple[Counts, ...]

    @property
    def best(self) -> int:
        """Which score threshold has the highest F1; of equals the first."""
        return int(np.argmax([count.f1 for count in self.counts]))


def search(
    head: DetectionHead,
    outputs: Sequence[Tensor],
    boxes: Sequence[Boxes],
    classes: Sequence[str],
    nms_ious: Sequence[float] = NMS_IOUS,
    score_thresholds: Sequence[float] = SCORE_THRESHOLDS,
) -> list[Trial]:
    """Try settings on what a network said of the samples of a data set, which it need not say again.

    Args:
        head: The head; it is not changed.
        outputs: What its `forward` returned, batch by batch.
        boxes: The right boxes of each sample.
        classes: Names of the classes.
        nms_ious: Intersections over union to try.
        score_thresholds: Least scores to try with each.

    Raises:
        EventZooError: There are no boxes to find.
    """
    true = sum(map(len, boxes))
    if not true:
        raise EventZooError("there is not a single box to find, so no setting is better than another")
    trials = []
    for nms_iou in nms_ious:
        trial = copy.copy(head)
        trial.nms_iou = nms_iou
        found = [detections for output in outputs for detections in trial.detections(output, classes, SCORE_THRESHOLD)]
        precision = COCOAveragePrecision(classes)
        precision.update(found, boxes)
        numbers = precision.compute()
        # Whether a box is a hit depends on better ones alone, so that one matching serves all thresholds.
        right = np.concatenate([hits(*sample) for sample in zip(found, boxes, strict=True)])
        scores = np.concatenate([detections.scores for detections in found])
        counts = [Counts(int((right & (scores >= least)).sum()), int((scores >= least).sum()), true) for least in score_thresholds]
        trials.append(Trial(nms_iou, float(numbers["mAP"]), float(numbers["AP50"]), tuple(counts)))
    return trials


def best(trials: Sequence[Trial]) -> Trial:
    """The one with the highest F1 at its best score threshold; of equals the one with the highest mAP, and of equals the first."""
    return max(trials, key=lambda trial: (trial.counts[trial.best].f1, trial.mean_precision))


def with_settings(model: EventModel, score_threshold: float, nms_iou: float) -> EventModel:
    """A detector with other settings of its head: the same weights, and a specification that has these settings."""
    settings = {**model.head.init_args, "score_threshold": score_threshold, "nms_iou": nms_iou}
    head = type(model.head)(**settings).connect(model.backbone, len(model.classes))
    head.load_state_dict(model.head.state_dict())
    return EventModel(model.representation, model.backbone, head, model.classes, model.sensor_size, model.transforms)
