"""AEGNN's second network: four convolutions, each followed by a coarser graph."""

from typing import ClassVar, get_args

from torch import Tensor, nn
from torch.nn.functional import elu
from torch_geometric.data import Batch
from torch_geometric.nn import BatchNorm

from eventzoo.errors import EventZooError
from eventzoo.nn.backbone import Backbone, Kind
from eventzoo.nn.pool import GridMaxPool, Positions, VoxelMaxPool
from eventzoo.nn.spline_conv import SplineBasis, SplineConv

_DIM = 3  # x, y and time
_MAP = (2, 2)  # cells before the linear layer


class GraphWen(Backbone):
    """Four spline convolutions, after each of which the graph is pooled into larger voxels, and a linear layer: one vector a sample.

    Each block is a convolution with bias and root weight, ELU, batch normalisation and voxel max pooling; the last graph is pooled
    into 2×2 cells, from which a linear layer, without activation, makes the vector. The original network follows it with
    dropout of 0.3 and a linear layer to the classes: `ClassificationHead(dropout=0.3)`. A head that needs a feature map, such as
    `YOLOXHead`, takes `AEGNN`.

    Source: `graph_wen` in the code published with Schaefer et al., "AEGNN: Asynchronous Event-based Graph Neural Networks", CVPR 2022.
    Other than there, grids start at pixel (0, 0) whatever the batch holds, and the offsets of coarse edges are divided by a constant,
    twice the side of a voxel, instead of the batch's maximum.

    Args:
        sensor_size: `(width, height)` in pixels.
        in_channels: Features of an event. The command line sets it from the representation.
        channels: Output channels of the four convolutions.
        out_channels: Length of the vector.
        kernel_size: Kernel points of an axis.
        pool_sizes: Side of the voxels that each block ends with, in pixels.
        coarse_positions: Where a node of a coarse graph is: at the `mean` of its members' positions, as in the original, or at the
            `centre` of its voxel. With `centre`, an event moves no coarse node, which on causal graphs makes inference event by event
            cheaper.

    Raises:
        EventZooError: A setting is out of its range.

    Shapes:
        input: A batch of event graphs with x `[N, in_channels]`, pos `[N, 3]`, edge_index `[2, E]`, edge_attr `[E, 3]`.
        output: `[B, out_channels]`.
    """

    accepts: ClassVar[Kind] = "graph"

    def __init__(
        self,
        sensor_size: tuple[int, int],
        in_channels: int = 1,
        channels: tuple[int, int, int, int] = (64, 128, 256, 512),
        out_channels: int = 512,
        kernel_size: int = 4,
        pool_sizes: tuple[int, int, int, int] = (4, 8, 16, 32),
        coarse_positions: Positions = "mean",
    ) -> None:
        super().__init__()
        if len(channels) != 4 or len(pool_sizes) != 4 or min(*channels, *pool_sizes, out_channels) < 1:
            raise EventZooError(
                f"GraphWen: channels and pool_sizes are four each and, as out_channels, at least 1, "
                f"not {channels}, {pool_sizes} and {out_channels}"
            )
        if kernel_size < 2:
            raise EventZooError(f"GraphWen: kernel_size is at least 2, not {kernel_size}")
        if coarse_positions not in get_args(Positions):
            raise EventZooError(f"GraphWen: coarse_positions is 'mean' or 'centre', not {coarse_positions!r}")
        self.sensor_size, self.out_channels, self.out_size = sensor_size, out_channels, None
        self.basis = SplineBasis(_DIM, kernel_size)
        inputs = (in_channels, *channels[:3])
        self.convs = nn.ModuleList(SplineConv(a, b, _DIM, kernel_size) for a, b in zip(inputs, channels, strict=True))
        self.norms = nn.ModuleList(BatchNorm(width, allow_single_element=True) for width in channels)
        self.pools = nn.ModuleList(VoxelMaxPool((side, side), sensor_size, 2.0 * side, coarse_positions) for side in pool_sizes)
        self.map = GridMaxPool(_MAP, sensor_size)
        self.linear = nn.Linear(channels[3] * _MAP[0] * _MAP[1], out_channels)

    def forward(self, batch: Batch) -> Tensor:
        """Features of a batch of event graphs."""
        x, pos, edge_index, edge_attr, sample = batch.x, batch.pos, batch.edge_index, batch.edge_attr, batch.batch
        for conv, norm, pool in zip(self.convs, self.norms, self.pools, strict=True):
            x = norm(elu(conv(x, self.basis(x, edge_index, edge_attr))))
            x, pos, edge_index, edge_attr, sample = pool(x, pos, edge_index, sample)
        return self.linear(self.map(x, pos, sample, batch.num_graphs).flatten(1))  # type: ignore[no-any-return]
