"""What a head is: what turns a backbone's features into a task's answer."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from eventzoo.data.boxes import Boxes
from eventzoo.data.dataset import TaskName
from eventzoo.errors import EventZooError
from eventzoo.kernels.nms import class_wise_nms
from eventzoo.nn.backbone import Backbone
from eventzoo.specs import Part
from eventzoo.tasks.results import Detections, Result


class Head(Part, nn.Module, ABC):
    """Base of all heads. Constructed with its own settings alone; `connect` makes its layers.

    `forward` takes the backbone's features and returns one tensor `[B, …]`, which `result` turns into words. Asynchronous
    inference runs `forward` event by event, so it consists of layers, and all that decides by values is in `result`.

    Attributes:
        task: What it answers.
    """

    task: ClassVar[TaskName]

    @abstractmethod
    def connect(self, backbone: Backbone, num_classes: int) -> Self:
        """Make the layers for the features of a backbone; the head itself.

        Raises:
            EventZooError: The backbone's features are not what the head takes.
        """

    @abstractmethod
    def forward(self, features: Tensor) -> Tensor:
        """The answer to each sample, as a tensor.

        Shapes:
            features: `[B, C, height, width]`, or `[B, C]` where the backbone has no `out_size`.
        """

    @abstractmethod
    def result(self, output: NDArray[np.float32], classes: Sequence[str]) -> Result:
        """What `output`, that of `forward` for one sample (float32, without the axis of samples), says, the classes being named so."""


class DetectionHead(Head):
    """Base of the heads that find boxes.

    Args:
        score_threshold: Least score of a box in `result`.
        nms_iou: Of two boxes of a class that overlap by more than this intersection over union, the one of the lower score is dropped.
        max_detections: Most boxes of a recording; the best are kept.

    Raises:
        EventZooError: A setting is out of its range.
    """

    task: ClassVar[TaskName] = "detection"

    def __init__(self, score_threshold: float = 0.3, nms_iou: float = 0.5, max_detections: int = 100) -> None:
        super().__init__()
        if not (0 <= score_threshold <= 1 and 0 <= nms_iou <= 1 and max_detections >= 1):
            raise EventZooError(
                f"{type(self).__name__}: score_threshold and nms_iou are 0 to 1 and max_detections is at least 1, "
                f"not {score_threshold}, {nms_iou} and {max_detections}"
            )
        self.score_threshold, self.nms_iou, self.max_detections = score_threshold, nms_iou, max_detections

    @abstractmethod
    def loss(self, output: Tensor, boxes: Sequence[Boxes]) -> dict[str, Tensor]:
        """The terms of the loss of a batch, weighted: their sum is what is minimised.

        Args:
            output: Of `forward`.
            boxes: Those of each sample, none of them or several.
        """

    @abstractmethod
    def candidates(self, output: Tensor) -> tuple[Tensor, Tensor]:
        """All boxes that an output holds.

        Returns:
            Left, top, right and bottom edge `[B, A, 4]`, pixels, clipped to the sensor; score of each for each class, 0 to 1,
            `[B, A, classes]`.
        """

    def detections(self, output: Tensor, classes: Sequence[str], score_threshold: float | None = None) -> list[Detections]:
        """The boxes of each sample: those above the threshold (default: the head's own), without doubles."""
        threshold = self.score_threshold if score_threshold is None else score_threshold
        boxes, scores = (found.detach().float().cpu().numpy() for found in self.candidates(output))
        return [self._chosen(*sample, classes, threshold) for sample in zip(boxes, scores, strict=True)]

    @torch.inference_mode()
    def result(self, output: NDArray[np.float32], classes: Sequence[str]) -> Detections:
        """The boxes in the output of one sample."""
        return self.detections(torch.tensor(output)[None], classes)[0]

    def _sensor_size(self, backbone: Backbone) -> tuple[int, int]:
        """Width and height, in pixels, of what a backbone's features are of."""
        if backbone.sensor_size is None:
            raise EventZooError(
                f"{type(self).__name__} finds boxes in pixels, but {type(backbone).__name__} does not know the size of its sensor; "
                "give it a sensor_size"
            )
        return backbone.sensor_size

    def _chosen(self, boxes: NDArray[np.float32], scores: NDArray[np.float32], classes: Sequence[str], threshold: float) -> Detections:
        """Of a sample's candidates `[A, 4]` and their scores `[A, classes]` the best of each object, which may be of several classes."""
        shown = (boxes[:, 2:] > boxes[:, :2]).all(1, keepdims=True)
        index, class_ids = np.nonzero((scores >= threshold) & shown)
        order = np.argsort(-scores[index, class_ids], kind="stable")
        index, class_ids = index[order], class_ids[order]
        kept = class_wise_nms(boxes[index].astype(np.float64), class_ids, self.nms_iou, self.max_detections)
        index, class_ids = index[kept], class_ids[kept]
        return Detections(boxes[index], scores[index, class_ids], class_ids, tuple(classes[i] for i in class_ids.tolist()))
