"""The detection head of AEGNN and of asynet, in the style of YOLO."""

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from eventzoo.data.boxes import Boxes
from eventzoo.errors import EventZooError
from eventzoo.nn.backbone import Backbone
from eventzoo.tasks.box_ops import around, cells, clipped, paired_iou
from eventzoo.tasks.heads.base import DetectionHead

COORDINATES_WEIGHT = 2.0
NO_OBJECT_WEIGHT = 0.5


class YOLOHead(DetectionHead):
    """Boxes in the cells of a coarse grid over the sensor, from one linear layer over all features, or from two.

    Each of the boxes of a cell is (x, y, w, h, o, c…): its centre is at (σ(x), σ(y)) between the cell's edges, its size is
    (σ(w)² W, σ(h)² H) on a sensor of W × H, and its score for a class is σ(o) · softmax(c).

    An object belongs to the cell of its centre, and there to the one of the cell's boxes that overlaps it most; of several objects in
    one cell the largest is the first to choose, and those for which no box is left are not learnt. The loss of an image is

        2 · mean ((Δx)² + (Δy)²) + 2 · mean ((Δ√w)² + (Δ√h)²) + mean (σ(o) - IoU)² + 0.5 · mean' σ(o)² + mean CE(c)

    with √w and √h as shares of the sensor's, and means over the boxes that have an object, and mean' over those that have none; the loss
    of a batch is the mean of its images', so that it does not grow with the batch. An image without objects adds its fourth term alone.

    Each cell has weights of its own, so that what is learnt in one place is not known in another: it takes many more samples than
    `YOLOXHead`, or samples that are shifted and mirrored.

    Source: Redmon et al., "You Only Look Once", CVPR 2016, section 2, as used for detection by Schaefer et al., "AEGNN: Asynchronous
    Event-based Graph Neural Networks", CVPR 2022, from whose published code grid, means and weights are. It deviates from that code on
    purpose:

    * a box is located by its centre, as in YOLO, not by its top left corner;
    * outputs are bounded by σ, not cut off below 0, where they would no longer be learnt;
    * the IoU is a target, through which nothing is learnt, so that no box grows worse in order to be as bad as it is thought to be;
    * losses are averaged over the images of a batch, not summed, and images without boxes count;
    * each box of a cell has classes of its own, not one set for all; with one box a cell, the outputs are as many;
    * scores are probabilities, not logits.

    Messikommer et al., "Event-based Asynchronous Sparse Convolutional Networks", ECCV 2020, find two boxes in each cell of their network's
    map, from a hidden layer: `num_boxes=2, hidden_channels=1024`, and the backbone's `out_size` as `grid`. It deviates from their
    published code on purpose:

    * outputs are bounded by σ, each box of a cell has classes of its own, and the numbers of a box stand side by side;
    * coordinates weigh 2 instead of 5, and means are those of an image, not of all boxes of a batch, so that images without boxes count:
      a batch without any is not NaN;
    * boxes are not rounded to whole pixels, neither those found nor the objects, and cells divide the sensor without a rest;
    * boxes that lie apart along both axes have an IoU of 0, not of the product of the two gaps;
    * two objects in one cell are given a box each;
    * a score is the probability of the class and of there being an object, not the former's logit; doubles are sought class by class.

    Args:
        num_boxes: Boxes of a cell.
        grid: `(columns, rows)` of cells. It need not be the backbone's map.
        hidden_channels: Units of a linear layer with ReLU before the last; 0 for none.
        dropout: Share of the features that are dropped in training, those of the hidden layer if there is one.
        score_threshold: Least score of a box in `result`.
        nms_iou: Of two boxes of a class that overlap by more than this intersection over union, the one of the lower score is dropped.
        max_detections: Most boxes of a recording; the best are kept.

    Shapes:
        input: `[B, C, height, width]` or `[B, C]`.
        output: `[B, rows · columns · num_boxes · (5 + classes)]`, the last of these varying fastest.

    Raises:
        EventZooError: A setting is out of its range.
    """

    def __init__(
        self,
        num_boxes: int = 1,
        grid: tuple[int, int] = (8, 6),
        hidden_channels: int = 0,
        dropout: float = 0.0,
        score_threshold: float = 0.3,
        nms_iou: float = 0.5,
        max_detections: int = 100,
    ) -> None:
        super().__init__(score_threshold, nms_iou, max_detections)
        if num_boxes < 1 or min(grid) < 1:
            raise EventZooError(f"YOLOHead: num_boxes and both sides of the grid are at least 1, not {num_boxes} and {grid}")
        if hidden_channels < 0:
            raise EventZooError(f"YOLOHead: hidden_channels is a number of units, or 0 for no hidden layer, not {hidden_channels}")
        self.num_boxes, self.grid, self.hidden_channels = num_boxes, grid, hidden_channels
        self.dropout = nn.Dropout(dropout)

    def connect(self, backbone: Backbone, num_classes: int) -> Self:
        """Make the layers for the features of a backbone; the head itself.

        Raises:
            EventZooError: The backbone does not know its sensor.
        """
        self.sensor_size = self._sensor_size(backbone)
        width, height = backbone.out_size or (1, 1)
        columns, rows = self.grid
        features, hidden = backbone.out_channels * width * height, self.hidden_channels
        self.hidden = nn.Sequential(nn.Linear(features, hidden), nn.ReLU()) if hidden else nn.Sequential()
        self.linear = nn.Linear(hidden or features, rows * columns * self.num_boxes * (5 + num_classes))
        return self

    def forward(self, features: Tensor) -> Tensor:
        """What is said of all boxes."""
        return self.linear(self.dropout(self.hidden(features.flatten(1))))  # type: ignore[no-any-return]

    def loss(self, output: Tensor, boxes: Sequence[Boxes]) -> dict[str, Tensor]:
        """The terms `offset`, `shape`, `confidence`, `no_object` and `class`, weighted; in float32, whatever the output is."""
        said = self._said(output)
        targets = _Targets.of(boxes, self.grid, self.sensor_size, self.num_boxes, output.device)
        found = self._boxes(said)
        box, responsible = _matched(found.detach(), targets)
        at = targets.sample, targets.cell, box
        iou = paired_iou(found.detach()[at], targets.boxes)

        weight = 1 / responsible.sum((1, 2))[targets.sample] / len(boxes)  # of an object: the mean of its image, in the mean of all images
        sensor = found.new_tensor(self.sensor_size)
        centre = (targets.boxes[:, :2] + targets.boxes[:, 2:]) / 2
        offset = centre / sensor * found.new_tensor(self.grid) - cells(*self.grid, output.device)[targets.cell]
        shape = ((targets.boxes[:, 2:] - targets.boxes[:, :2]) / sensor).sqrt()
        x, confidence = said[at].sigmoid(), said[..., 4].sigmoid()
        others = (confidence.square() * ~responsible).sum((1, 2)) / (~responsible).sum((1, 2)).clamp(min=1)
        return {
            "offset": COORDINATES_WEIGHT * ((x[:, :2] - offset).square().sum(1) * weight).sum(),
            "shape": COORDINATES_WEIGHT * ((x[:, 2:4] - shape).square().sum(1) * weight).sum(),
            "confidence": ((x[:, 4] - iou).square() * weight).sum(),
            "no_object": NO_OBJECT_WEIGHT * others.mean(),
            "class": (cross_entropy(said[at][:, 5:], targets.class_ids, reduction="none") * weight).sum(),
        }

    def candidates(self, output: Tensor) -> tuple[Tensor, Tensor]:
        """The boxes of all cells `[B, A, 4]`, pixels, clipped to the sensor, and their scores `[B, A, classes]`."""
        said = self._said(output)
        scores = said[..., 4:5].sigmoid() * said[..., 5:].softmax(-1)
        return clipped(self._boxes(said), self.sensor_size).flatten(1, 2), scores.flatten(1, 2)

    def _said(self, output: Tensor) -> Tensor:
        """The output by cells and their boxes, float32 `[B, cells, num_boxes, 5 + classes]`."""
        return output.float().reshape(len(output), self.grid[0] * self.grid[1], self.num_boxes, -1)

    def _boxes(self, said: Tensor) -> Tensor:
        """Boxes in pixels `[B, cells, num_boxes, 4]`."""
        x, sensor = said[..., :4].sigmoid(), said.new_tensor(self.sensor_size)
        corner = cells(*self.grid, said.device)[:, None]
        return around((corner + x[..., :2]) / said.new_tensor(self.grid) * sensor, x[..., 2:].square() * sensor)


class _Targets(NamedTuple):
    """Objects that are learnt: those of a cell one after the other, the largest first.

    Attributes:
        sample: Index of the image, int64 `[G]`.
        cell: Index of the cell of its centre, int64 `[G]`.
        rank: How many objects of its cell come before it, int64 `[G]`.
        boxes: Pixels, float32 `[G, 4]`.
        class_ids: int64 `[G]`.
    """

    sample: Tensor
    cell: Tensor
    rank: Tensor
    boxes: Tensor
    class_ids: Tensor

    @classmethod
    def of(
        cls, boxes: Sequence[Boxes], grid: tuple[int, int], sensor_size: tuple[int, int], num_boxes: int, device: torch.device
    ) -> "_Targets":
        edges = np.concatenate([sample.xyxy for sample in boxes])
        sample = np.repeat(np.arange(len(boxes)), [len(sample) for sample in boxes])
        at = ((edges[:, :2] + edges[:, 2:]) / 2 / sensor_size * grid).astype(np.int64).clip(0, np.array(grid) - 1)
        cell = at[:, 1] * grid[0] + at[:, 0]
        order = np.lexsort((-(edges[:, 2:] - edges[:, :2]).prod(1), cell, sample))
        group = (sample * (grid[0] * grid[1]) + cell)[order]
        rank = np.arange(len(group)) - np.searchsorted(group, group)
        order, rank = order[rank < num_boxes], rank[rank < num_boxes]
        class_ids = np.concatenate([sample.class_ids for sample in boxes])
        arrays = sample[order], cell[order], rank, edges[order], class_ids[order]
        return cls(*(torch.from_numpy(array).to(device) for array in arrays))


def _matched(found: Tensor, targets: _Targets) -> tuple[Tensor, Tensor]:
    """Which box of its cell each target is given, int64 `[G]`, and which boxes are given one, bool `[B, cells, num_boxes]`."""
    overlap = paired_iou(found[targets.sample, targets.cell], targets.boxes[:, None])
    box = torch.zeros_like(targets.cell)
    taken = torch.zeros(found.shape[:3], dtype=torch.bool, device=found.device)
    for rank in range(found.shape[2]):
        now = (targets.rank == rank).nonzero()[:, 0]
        cell = targets.sample[now], targets.cell[now]
        box[now] = overlap[now].masked_fill(taken[cell], -1).argmax(1)
        taken[(*cell, box[now])] = True
    return box, taken
