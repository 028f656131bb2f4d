"""Maths of boxes as tensors, on any device: left, top, right and bottom edge in pixels, as continuous coordinates."""

import torch
from torch import Tensor

_LEAST_AREA = 1e-9  # square pixels; keeps the quotient's gradient finite where both boxes are empty


def paired_iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of boxes, pair by pair; 0 where either is empty, with finite gradients everywhere.

    Shapes:
        a, b: `[…, 4]`, broadcast against each other.
        output: `[…]`.
    """
    width, height = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0).unbind(-1)
    intersection = width * height
    return intersection / (_area(a) + _area(b) - intersection).clamp(min=_LEAST_AREA)


def box_iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of each box with each other, as `paired_iou`.

    Shapes:
        a: `[N, 4]`.
        b: `[M, 4]`.
        output: `[N, M]`.
    """
    return paired_iou(a[:, None], b[None])


def around(centre: Tensor, size: Tensor) -> Tensor:
    """Boxes `[…, 4]` of a size `[…, 2]` around their centres `[…, 2]`."""
    return torch.cat([centre - size / 2, centre + size / 2], dim=-1)


def clipped(boxes: Tensor, sensor_size: tuple[int, int]) -> Tensor:
    """The parts of boxes `[…, 4]` that lie on a sensor of `(width, height)` pixels; a box wholly outside becomes an empty one."""
    return boxes.clamp(min=0).minimum(boxes.new_tensor(sensor_size * 2))


def cells(width: int, height: int, device: torch.device) -> Tensor:
    """Column and row of each cell of a map, row by row, as float32 `[height · width, 2]`."""
    row, column = torch.meshgrid(torch.arange(height, device=device), torch.arange(width, device=device), indexing="ij")
    return torch.stack([column.flatten(), row.flatten()], dim=1).float()


def _area(boxes: Tensor) -> Tensor:
    width, height = (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).unbind(-1)
    return width * height
