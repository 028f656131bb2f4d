"""COCO's average precision and recall."""

from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eventzoo.errors import EventZooError
from eventzoo.tasks.metrics.base import DetectionMetric

Backend = Literal["pycocotools", "faster_coco_eval"]

NAMES = ("mAP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large", "AR1", "AR10", "AR100", "AR_small", "AR_medium", "AR_large")


class COCOAveragePrecision(DetectionMetric):
    """The twelve numbers of the COCO detection challenge (https://cocodataset.org/#detection-eval).

    `mAP` is the mean average precision over the classes and the IoU thresholds 0.50, 0.55, …, 0.95; `AP50` and `AP75` are those
    of one threshold. `AR1`, `AR10` and `AR100` are the recall, averaged in the same way, with at most that many detections of a
    class in an image; all other numbers look at the best 100. Boxes are small up to 32² pixels, large from 96², and medium
    between. A number for which there is no true box is -1. Detections with equal scores count in the order of their images.

    Args:
        classes: Names of the classes, as in the dataset.
        backend: What computes them: "pycocotools", the reference, or "faster_coco_eval", which gives the same numbers sooner
            (`pip install eventzoo[faster-coco-eval]`).

    Raises:
        EventZooError: The backend is unknown or not installed.
    """

    def __init__(self, classes: Sequence[str], backend: Backend = "pycocotools") -> None:
        super().__init__(classes)
        self._dataset, self._evaluation = _backend(backend)
        self._precision: NDArray[np.float64] = np.empty(0)

    def compute(self) -> dict[str, Tensor]:
        """The numbers by their `NAMES`, float32 scalars."""
        detected, truths = [], []
        images = list(self.images())
        for number, (found, true) in enumerate(images):
            detected += [_annotation(number, class_id, *edges) | {"score": score} for *edges, score, class_id in found.tolist()]
            truths += [_annotation(number, class_id, *edges) for *edges, class_id in true.tolist()]
        with redirect_stdout(StringIO()):  # pycocotools reports every step there
            evaluation = self._evaluation(self._indexed(len(images), truths), self._indexed(len(images), detected), "bbox")
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        self._precision = evaluation.eval["precision"][:, :, :, 0, 2]  # of boxes of all sizes, by the best 100 detections
        return {
            name: torch.tensor(value, dtype=torch.float32, device=self.device)
            for name, value in zip(NAMES, evaluation.stats.tolist(), strict=True)
        }

    def per_class(self) -> dict[str, dict[str, float]]:
        """`AP` (over all IoU thresholds) and `AP50` of each class by its name; -1 for a class without true boxes."""
        self.compute()  # torchmetrics keeps the result until the next image comes
        precision = self._precision.mean(1)  # a class has all its recalls or none
        return {
            name: {"AP": float(precision[:, index].mean()), "AP50": float(precision[0, index])} for index, name in enumerate(self.classes)
        }

    def precision_recall(self) -> tuple[NDArray[np.float64], dict[str, NDArray[np.float64]]]:
        """Precision-recall curves at an IoU of 0.5.

        Returns:
            The recalls 0, 0.01, …, 1, `[101]`, and for each class that has true boxes the best precision that it has at each
            of these recalls or beyond, `[101]`.
        """
        self.compute()
        curves = {name: self._precision[0, :, index] for index, name in enumerate(self.classes)}
        return np.linspace(0, 1, 101), {name: curve for name, curve in curves.items() if curve[0] >= 0}

    def _indexed(self, images: int, annotations: list[dict[str, Any]]) -> Any:
        """The backend's data set of annotations."""
        for number, annotation in enumerate(annotations, 1):
            annotation["id"] = number  # from 1, as 0 stands for a box without a match
        dataset = self._dataset()
        categories = [{"id": index, "name": name} for index, name in enumerate(self.classes)]
        dataset.dataset = {"images": [{"id": image} for image in range(images)], "categories": categories, "annotations": annotations}
        dataset.createIndex()
        return dataset


def _annotation(image: int, class_id: float, left: float, top: float, right: float, bottom: float) -> dict[str, Any]:
    width, height = right - left, bottom - top
    box = {"bbox": [left, top, width, height], "area": width * height, "iscrowd": 0}
    return {"image_id": image, "category_id": int(class_id)} | box


def _backend(name: str) -> tuple[type, type]:
    """The backend's classes for annotations and for their evaluation."""
    if name == "pycocotools":
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

        return COCO, COCOeval
    if name != "faster_coco_eval":
        raise EventZooError(f"there is no backend {name!r} for COCO's metrics; use 'pycocotools' or 'faster_coco_eval'")
    try:
        from faster_coco_eval import COCO, COCOeval_faster
    except ImportError as error:
        raise EventZooError("the backend faster_coco_eval is not installed: pip install eventzoo[faster-coco-eval]") from error
    return COCO, COCOeval_faster
