"""Max pooling of graphs on fixed grids, whose cells depend on the sensor alone and never on the batch."""

import math
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch_geometric.utils import scatter

from eventzoo.errors import EventZooError

Positions = Literal["mean", "centre"]


class CoarseGraph(NamedTuple):
    """A pooled graph.

    Attributes:
        x: Features `[M, C]`.
        pos: Positions `[M, D]`.
        edge_index: Source and target, int64 `[2, F]`, sorted by target, then by source.
        edge_attr: Offsets of the edges `[F, D]` in [0, 1].
        batch: The sample that a node belongs to, int64 `[M]`.
    """

    x: Tensor
    pos: Tensor
    edge_index: Tensor
    edge_attr: Tensor
    batch: Tensor


def relative_positions(pos: Tensor, edge_index: Tensor, scale: float) -> Tensor:
    """Offset from target to source of every edge, mapped from [-scale, scale] to [0, 1].

    Shapes:
        pos: `[N, D]`; edge_index: `[2, E]`; output: `[E, D]`.
    """
    return (pos[edge_index[0]] - pos[edge_index[1]]) / (2 * scale) + 0.5


class VoxelMaxPool(nn.Module):
    """Pool all nodes of a voxel of the image plane into one; its edges are those that lead from voxel to voxel.

    Features are the maximum over the voxel's nodes, the position is their mean or the voxel's centre. Nodes come out ordered
    by sample, then by voxel, x fastest.

    Source: Schaefer et al., AEGNN, CVPR 2022. Other than there, the grid starts at pixel (0, 0) whatever the batch holds,
    and the offsets of the coarse edges are divided by a constant instead of the batch's maximum.

    Args:
        voxel_size: `(width, height)` of a voxel in pixels.
        sensor_size: `(width, height)` of the sensor in pixels.
        scale: Largest absolute offset between joined voxels' positions, which maps to 1; larger ones are clamped.
        positions: `mean` of the voxel's nodes, or the voxel's `centre`, with 0 for what is not a pixel. Where the sensor ends before
            the centre of its last voxels, they are at its last pixel.

    Raises:
        EventZooError: `positions` is none of these.

    Shapes:
        input: x `[N, C]`, pos `[N, D]` with pixels first, edge_index `[2, E]`, batch `[N]`.
        output: A `CoarseGraph`.
    """

    def __init__(self, voxel_size: tuple[int, int], sensor_size: tuple[int, int], scale: float, positions: Positions = "mean") -> None:
        super().__init__()
        if positions not in get_args(Positions):
            raise EventZooError(f"VoxelMaxPool: positions are 'mean' or 'centre', not {positions!r}")
        self.voxel_size, self.sensor_size, self.scale, self.positions = voxel_size, sensor_size, scale, positions
        self.grid = (math.ceil(sensor_size[0] / voxel_size[0]), math.ceil(sensor_size[1] / voxel_size[1]))

    def forward(self, x: Tensor, pos: Tensor, edge_index: Tensor, batch: Tensor) -> CoarseGraph:
        """Pool a graph."""
        cells = self.grid[0] * self.grid[1]
        voxel = cell_index(pos, self.voxel_size, self.grid[0]) + batch * cells
        occupied, node = torch.unique(voxel, return_inverse=True)
        if self.positions == "mean":
            coarse_pos = scatter(pos, node, 0, len(occupied), "mean")
        else:
            coarse_pos = pos.new_zeros(len(occupied), pos.shape[1])
            coarse_pos[:, :2] = self.centres(occupied % cells)
        ends = node[edge_index]
        source, target = ends[:, ends[0] != ends[1]]
        joined = torch.unique(target * len(occupied) + source)
        edges = torch.stack([joined % max(len(occupied), 1), joined // max(len(occupied), 1)])
        return CoarseGraph(
            scatter(x, node, 0, len(occupied), "max"),
            coarse_pos,
            edges,
            relative_positions(coarse_pos, edges, self.scale),
            occupied // cells,
        )

    def centres(self, voxel: Tensor) -> Tensor:
        """Positions of voxels by their number, x fastest, if positions are centres: int64 `[M]` to pixels, float32 `[M, 2]`."""
        numbers = voxel % self.grid[0], voxel // self.grid[0]
        sides = zip(numbers, self.voxel_size, self.sensor_size, strict=True)
        return torch.stack([((number + 0.5) * size).clamp(max=end - 1) for number, size, end in sides], 1)

    def extra_repr(self) -> str:
        """Voxel, grid and positions."""
        return f"voxel_size={self.voxel_size}, grid={self.grid}, positions={self.positions!r}"


class GridMaxPool(nn.Module):
    """Pool the nodes of each cell of a fixed grid over the sensor into a dense map; a cell without nodes is zero.

    Args:
        size: `(width, height)` of the map in cells.
        sensor_size: `(width, height)` of the sensor in pixels.

    Shapes:
        input: x `[N, C]`, pos `[N, D]` with pixels first, batch `[N]`, and the number of samples B.
        output: `[B, C, height, width]`.
    """

    def __init__(self, size: tuple[int, int], sensor_size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size
        self.cell_size = (sensor_size[0] / size[0], sensor_size[1] / size[1])

    def forward(self, x: Tensor, pos: Tensor, batch: Tensor, num_graphs: int) -> Tensor:
        """Pool a graph."""
        width, height = self.size
        cell = cell_index(pos, self.cell_size, width) + batch * (width * height)
        pooled: Tensor = scatter(x, cell, 0, num_graphs * width * height, "max")
        return pooled.view(num_graphs, height, width, -1).permute(0, 3, 1, 2)

    def extra_repr(self) -> str:
        """Map and cell."""
        return f"size={self.size}, cell_size={self.cell_size}"


def cell_index(pos: Tensor, cell_size: tuple[float, float], columns: int) -> Tensor:
    """Index of the cell that each position lies in, x fastest: `[N, D]` to int64 `[N]`."""
    return (pos[:, 0] / cell_size[0]).long() + columns * (pos[:, 1] / cell_size[1]).long()
