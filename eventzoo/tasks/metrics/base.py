"""What the detection metrics over a whole dataset share: they remember every box until they are asked."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torchmetrics import Metric

from eventzoo.data.boxes import Boxes
from eventzoo.errors import EventZooError
from eventzoo.tasks.results import Detections

_COLUMNS = {"counts": 2, "detected": 6, "truths": 5}


class DetectionMetric(Metric):
    """Keeps the boxes of all images in three tables, which the processes of a distributed evaluation join row by row.

    Lists of one tensor an image would not do: torchmetrics gathers them one by one, and processes with unequal numbers of images
    would wait for each other for ever. An image is a row of `counts`, so that it needs no number that is unique across processes.

    Args:
        classes: Names of the classes, as in the dataset.

    Attributes:
        counts: Number of detections and of true boxes in each image, `[images, 2]`.
        detected: Left, top, right, bottom, score and class of each detection, `[N, 6]`.
        truths: Left, top, right, bottom and class of each true box, `[M, 5]`.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    def __init__(self, classes: Sequence[str]) -> None:
        super().__init__()
        self.classes = tuple(classes)
        for name in _COLUMNS:
            self.add_state(name, [], dist_reduce_fx="cat")

    def update(self, detections: Sequence[Detections], boxes: Sequence[Boxes]) -> None:
        """Take in images.

        Args:
            detections: What was detected in each image, the best first.
            boxes: What is there, image by image.

        Raises:
            EventZooError: The two differ in length, or a class is none of the metric's.
        """
        check_lengths(detections, boxes)
        for class_id in {*_ids(detections), *_ids(boxes)}:
            if not 0 <= class_id < len(self.classes):
                raise EventZooError(f"a box is of class {class_id}, but the metric was made for {len(self.classes)} classes, from 0")
        self._append("counts", [[len(found), len(true)] for found, true in zip(detections, boxes, strict=True)])
        self._append("detected", (np.column_stack((found.boxes, found.scores, found.class_ids)) for found in detections))
        self._append("truths", (np.column_stack((true.xyxy, true.class_ids)) for true in boxes))

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """Join the tables of all processes, also of one that has seen no image."""
        for name in _COLUMNS:
            if len(getattr(self, name)) == 0:
                self._append(name, [])  # torchmetrics would send a table without columns, which the others cannot receive
        super().sync(*args, **kwargs)

    def images(self) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """The rows of `detected` and of `truths`, image by image."""
        tables = {}
        for name, columns in _COLUMNS.items():
            state = getattr(self, name)
            parts = [state] if isinstance(state, Tensor) else state  # joined, or of this process alone
            tables[name] = torch.cat([torch.empty(0, columns), *(part.cpu() for part in parts)]).numpy()
        ends = tables["counts"].astype(np.int64).cumsum(0)
        start, true_start = 0, 0
        for end, true_end in ends.tolist():
            yield tables["detected"][start:end], tables["truths"][true_start:true_end]
            start, true_start = end, true_end

    def _append(self, name: str, parts: Iterable[ArrayLike]) -> None:
        rows = np.concatenate([np.empty((0, _COLUMNS[name])), *(np.reshape(part, (-1, _COLUMNS[name])) for part in parts)])
        getattr(self, name).append(torch.from_numpy(rows.astype(np.float32)).to(self.device))


def _ids(images: Sequence[Detections] | Sequence[Boxes]) -> list[int]:
    return [class_id for image in images for class_id in np.unique(image.class_ids).tolist()]


def check_lengths(detections: Sequence[Detections], boxes: Sequence[Boxes]) -> None:
    """Refuse detections and true boxes of different numbers of images with an EventZooError."""
    if len(detections) != len(boxes):
        raise EventZooError(f"detections of {len(detections)} images cannot be compared with the boxes of {len(boxes)}")
