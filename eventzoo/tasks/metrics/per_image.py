"""The measure of detection that AEGNN's authors used."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric

from eventzoo.data.boxes import Boxes
from eventzoo.tasks.metrics.base import check_lengths
from eventzoo.tasks.metrics.voc import area_under_curve, check_threshold, first_hits
from eventzoo.tasks.results import Detections


class MeanPerImageAveragePrecision(Metric):
    """Mean over images of the mean average precision within the image: for comparison with AEGNN's published numbers only.

    **It is optimistic and is neither COCO's nor Pascal VOC's mAP.** Within an image only the classes count that its true boxes
    have, so that a detection of any other class costs nothing, however sure it is; and scores are never compared across images.
    A detector that reports every class everywhere can reach 1. Use `COCOAveragePrecision` for anything else.

    Detections count in their given order, each for the true box of its class that it overlaps most, boxes taken as a pixel wider
    and higher than they are; the average precision is the area under the falling hull of precision over recall. Images without
    true boxes are left out; without any other image the value is -1. This follows `compute_map` of
    https://github.com/uzh-rpg/aegnn and the package mapcalc 0.2.2 that it calls, but for the mean over batches of means over
    their images, which makes upstream's value depend on the batch size.

    Args:
        iou_threshold: Overlap at which a box counts as found, above 0 and up to 1.

    Raises:
        EventZooError: The threshold is out of range.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    total: Tensor
    images: Tensor

    def __init__(self, iou_threshold: float = 0.5) -> None:
        super().__init__()
        check_threshold(iou_threshold)
        self.iou_threshold = iou_threshold
        self.add_state("total", torch.tensor(0, dtype=torch.float32), dist_reduce_fx="sum")
        self.add_state("images", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, detections: Sequence[Detections], boxes: Sequence[Boxes]) -> None:
        """Take in images.

        Args:
            detections: What was detected in each image, the best first.
            boxes: What is there, image by image.

        Raises:
            EventZooError: The two differ in length.
        """
        check_lengths(detections, boxes)
        values = [self._average_precision(found, true) for found, true in zip(detections, boxes, strict=True) if len(true)]
        self.total += sum(values)
        self.images += len(values)

    def compute(self) -> Tensor:
        """The mean, a float32 scalar."""
        return self.total / self.images if self.images else torch.full_like(self.total, -1)

    def _average_precision(self, found: Detections, true: Boxes) -> float:
        values = []
        for class_id in np.unique(true.class_ids):
            targets = _inclusive(true.xyxy[true.class_ids == class_id])
            hits = first_hits(_inclusive(found.boxes[found.class_ids == class_id]), targets, self.iou_threshold)
            values.append(area_under_curve(hits, len(targets)))
        return sum(values) / len(values)


def _inclusive(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Boxes whose right and bottom edges are those of the pixels that upstream names as the last."""
    return boxes + np.array([0, 0, 1, 1], np.float32)
