"""SimOTA: which cell of a map is to find which box.

Source: Ge et al., "YOLOX: Exceeding YOLO Series in 2021", 2021, section 2.1, "SimOTA"; the weights are those of its published code.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from eventzoo.data.boxes import Boxes
from eventzoo.tasks.box_ops import paired_iou

CENTRE_RADIUS = 2.5  # cells
IOU_WEIGHT = 3.0
OUTSIDE_COST = 1e5  # more than all else can cost: such cells are taken only where there are not enough others
MOST_CELLS = 10  # of a box


class Targets(NamedTuple):
    """Boxes of a batch, filled up to the same number in each sample.

    Attributes:
        boxes: float32 `[B, G, 4]`, pixels.
        class_ids: int64 `[B, G]`.
        exists: Whether it is a box at all, bool `[B, G]`.
    """

    boxes: Tensor
    class_ids: Tensor
    exists: Tensor

    @classmethod
    def of(cls, boxes: Sequence[Boxes], device: torch.device) -> "Targets":
        """The boxes of each sample as tensors; at least one column, so that there is something to take a minimum of."""
        counts = np.array([len(sample) for sample in boxes])
        exists = np.arange(max(1, counts.max()))[None] < counts[:, None]
        edges, class_ids = np.zeros((*exists.shape, 4), np.float32), np.zeros(exists.shape, np.int64)
        edges[exists] = np.concatenate([sample.xyxy for sample in boxes])
        class_ids[exists] = np.concatenate([sample.class_ids for sample in boxes])
        return cls(*(torch.from_numpy(array).to(device) for array in (edges, class_ids, exists)))


@torch.no_grad()
def sim_ota(targets: Targets, centres: Tensor, cell_size: Tensor, boxes: Tensor, objectness: Tensor, class_logits: Tensor) -> Tensor:
    """The target of each cell.

    Cells whose centre is inside a target, or less than 2.5 cells from its centre on either axis, are its candidates, and the cell
    nearest to its centre always is. Giving a target to a candidate costs

        BCE(√(σ(class) σ(objectness)), the target's class) - 3 log IoU + 100,000 · [not both inside and near the centre]

    A target gets the k candidates that cost least, where k is the sum of its ten largest IoUs with candidates, rounded down, but at
    least 1. A cell that several targets would get goes to the one that it costs least. Ties go to the lower index.

    Two deviations from the published code, both as the paper has it: a target gets none but its own candidates, not those of
    another target; and a contested cell goes to one of the contestants.

    Args:
        targets: Of the batch.
        centres: Of the cells, pixels, `[A, 2]`.
        cell_size: Width and height of a cell, pixels, `[2]`.
        boxes: Each cell's box, pixels, `[B, A, 4]`.
        objectness: Logits `[B, A]`.
        class_logits: `[B, A, classes]`.

    Returns:
        Index of each cell's target, -1 where it has none, int64 `[B, A]`.
    """
    edges = targets.boxes[:, :, None]
    offset = centres - (edges[..., :2] + edges[..., 2:]) / 2
    inside = ((centres > edges[..., :2]) & (centres < edges[..., 2:])).all(-1)
    central = (offset.abs() < CENTRE_RADIUS * cell_size).all(-1)
    nearest = (offset / cell_size).square().sum(-1).argmin(-1, keepdim=True)
    candidate = (inside | central).scatter(-1, nearest, True) & targets.exists[..., None]

    overlap = paired_iou(edges, boxes[:, None]) * candidate
    cost = _class_cost(targets.class_ids, objectness, class_logits) - IOU_WEIGHT * (overlap + 1e-8).log()
    cost = (cost + OUTSIDE_COST * ~(inside & central)).masked_fill(~candidate, torch.inf)

    cells = min(MOST_CELLS, len(centres))
    wanted = overlap.topk(cells).values.sum(-1, keepdim=True).int().clamp(min=1)
    cheapest = cost.argsort(dim=-1, stable=True)[..., :cells]
    given = torch.zeros_like(candidate).scatter(-1, cheapest, torch.arange(cells, device=cost.device) < wanted)
    least, target = cost.masked_fill(~given, torch.inf).min(1)
    assigned: Tensor = target.masked_fill(least.isinf(), -1)
    return assigned


def _class_cost(class_ids: Tensor, objectness: Tensor, class_logits: Tensor) -> Tensor:
    """Binary cross-entropy of each cell's scores, summed over the classes, if it were given each target: `[B, G, A]`."""
    log_score = (logsigmoid(class_logits) + logsigmoid(objectness)[..., None]) / 2
    log_other = torch.log1p(-log_score.exp()).clamp(min=-100)  # as torch bounds it
    own = (log_other - log_score.clamp(min=-100)).transpose(1, 2)  # [B, classes, A]
    index = class_ids[..., None].expand(-1, -1, own.shape[-1])
    return own.gather(1, index) - log_other.sum(-1)[:, None]
