"""The anchor-free detection head of YOLOX."""

import math
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, distributed, nn
from torch.nn.functional import binary_cross_entropy_with_logits, one_hot

from eventzoo.data.boxes import Boxes
from eventzoo.errors import EventZooError
from eventzoo.nn.backbone import Backbone
from eventzoo.tasks.box_ops import around, cells, clipped, paired_iou
from eventzoo.tasks.heads.base import DetectionHead
from eventzoo.tasks.heads.sim_ota import Targets, sim_ota

BOX_WEIGHT = 5.0
PRIOR = 0.01  # of a score before training


class YOLOXHead(DetectionHead):
    """One box a cell of the feature map, without anchors, from two separate branches of convolutions.

    A cell of column i and row j that says (x, y, w, h, o, c…) holds the box around ((i + x), (j + y)) of size (exp w, exp h), all in
    units of a cell, with the score σ(o) σ(c) for a class. Beyond the size of the whole map the exponential is continued by its tangent,
    so that it never overflows.

    The loss is 5 (1 - IoU²) + BCE(o) + BCE(c, IoU of the right class), where box and classes count for cells that SimOTA gives a
    target, divided by the number of such cells in the whole batch; in training, the batch is that of all processes together.

    Source: Ge et al., "YOLOX: Exceeding YOLO Series in 2021", 2021, section 2.1. Of its three scales this head has one, that of the
    backbone's map, whose cells need be neither square nor whole pixels. Box and objectness, which see the same features, come from one
    convolution.

    Args:
        channels: Of the branches.
        depth: Convolutions of 3×3 in each branch.
        score_threshold: Least score of a box in `result`.
        nms_iou: Of two boxes of a class that overlap by more than this intersection over union, the one of the lower score is dropped.
        max_detections: Most boxes of a recording; the best are kept.

    Shapes:
        input: `[B, C, height, width]`.
        output: x, y, w, h, objectness and class logits `[B, 5 + classes, height, width]`.

    Raises:
        EventZooError: A setting is out of its range.
    """

    def __init__(
        self, channels: int = 64, depth: int = 2, score_threshold: float = 0.3, nms_iou: float = 0.5, max_detections: int = 100
    ) -> None:
        super().__init__(score_threshold, nms_iou, max_detections)
        if channels < 1 or depth < 0:
            raise EventZooError(f"YOLOXHead: channels is at least 1 and depth at least 0, not {channels} and {depth}")
        self.channels, self.depth = channels, depth

    def connect(self, backbone: Backbone, num_classes: int) -> Self:
        """Make the layers for the features of a backbone; the head itself.

        Raises:
            EventZooError: The backbone's features are no map, or it does not know its sensor.
        """
        if backbone.out_size is None:
            raise EventZooError(
                f"YOLOXHead finds a box in each cell of a feature map, but {type(backbone).__name__} gives one vector a sample "
                "(its out_size is None); use YOLOHead, which takes either"
            )
        self.sensor_size = self._sensor_size(backbone)
        self.cell_size = self.sensor_size[0] / backbone.out_size[0], self.sensor_size[1] / backbone.out_size[1]
        self.stem = _convolution(backbone.out_channels, self.channels, 1)
        self.class_branch = nn.Sequential(*(_convolution(self.channels, self.channels, 3) for _ in range(self.depth)))
        self.box_branch = nn.Sequential(*(_convolution(self.channels, self.channels, 3) for _ in range(self.depth)))
        self.class_prediction = nn.Conv2d(self.channels, num_classes, 1)
        self.box_prediction = nn.Conv2d(self.channels, 5, 1)
        with torch.no_grad():
            for bias in (self.class_prediction.bias, self.box_prediction.bias[4:]):  # type: ignore[index]
                bias.fill_(math.log(PRIOR / (1 - PRIOR)))  # type: ignore[union-attr]
        return self

    def forward(self, features: Tensor) -> Tensor:
        """What each cell says of its box."""
        x = self.stem(features)
        return torch.cat([self.box_prediction(self.box_branch(x)), self.class_prediction(self.class_branch(x))], dim=1)

    def loss(self, output: Tensor, boxes: Sequence[Boxes]) -> dict[str, Tensor]:
        """The terms `box`, `objectness` and `class`, weighted; in float32, whatever the output is."""
        found, objectness, class_logits = self._decoded(output)
        targets, cell_size = Targets.of(boxes, output.device), found.new_tensor(self.cell_size)
        centres = (cells(output.shape[3], output.shape[2], output.device) + 0.5) * cell_size
        assigned = sim_ota(targets, centres, cell_size, found, objectness, class_logits)

        sample, cell = (assigned >= 0).nonzero(as_tuple=True)
        target = assigned[sample, cell]
        iou = paired_iou(found[sample, cell], targets.boxes[sample, target])
        classes = one_hot(targets.class_ids[sample, target], class_logits.shape[-1]) * iou.detach()[:, None]
        count = self._share_of_all(len(sample), output.device)
        return {
            "box": BOX_WEIGHT * (1 - iou.square()).sum() / count,
            "objectness": binary_cross_entropy_with_logits(objectness, (assigned >= 0).float(), reduction="sum") / count,
            "class": binary_cross_entropy_with_logits(class_logits[sample, cell], classes, reduction="sum") / count,
        }

    def candidates(self, output: Tensor) -> tuple[Tensor, Tensor]:
        """The box of each cell `[B, A, 4]`, pixels, clipped to the sensor, and its scores `[B, A, classes]`."""
        boxes, objectness, class_logits = self._decoded(output)
        return clipped(boxes, self.sensor_size), objectness.sigmoid()[..., None] * class_logits.sigmoid()

    def _share_of_all(self, count: int, device: torch.device) -> Tensor:
        """A process's share of the sum of all processes' counts, at least 1 in all: the mean over the processes of losses divided by it
        is the loss of the whole batch. Processes need not evaluate equally many batches, so then they do not wait for each other.
        """
        total, processes = torch.tensor(float(count), device=device), 1
        if self.training and distributed.is_available() and distributed.is_initialized():
            distributed.all_reduce(total)
            processes = distributed.get_world_size()
        return total.clamp(min=1) / processes

    def _decoded(self, output: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes in pixels `[B, A, 4]`, logits of objectness `[B, A]` and of classes `[B, A, classes]`."""
        height, width = output.shape[2:]
        said, cell_size = output.float().flatten(2).transpose(1, 2), output.new_tensor(self.cell_size, dtype=torch.float32)
        limit = math.log(max(width, height))
        size = said[..., 2:4].clamp(max=limit).exp() * (1 + (said[..., 2:4] - limit).clamp(min=0))
        centre = said[..., :2] + cells(width, height, output.device)
        return around(centre * cell_size, size * cell_size), said[..., 4], said[..., 5:]


def _convolution(in_channels: int, out_channels: int, kernel_size: int) -> nn.Sequential:
    conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels), nn.SiLU())
