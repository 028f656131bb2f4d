"""AEGNN's residual graph network."""

from typing import ClassVar, get_args

from torch import Tensor
from torch.nn.functional import elu
from torch_geometric.data import Batch
from torch_geometric.nn import BatchNorm

from eventzoo.errors import EventZooError
from eventzoo.nn.backbone import Backbone, Kind
from eventzoo.nn.pool import GridMaxPool, Positions, VoxelMaxPool
from eventzoo.nn.spline_conv import SplineBasis, SplineConv


class AEGNN(Backbone):
    """Residual graph network of spline convolutions over an event graph, then over its voxels ("GraphRes").

    Five convolutions on the event graph with one residual connection, voxel max pooling, two convolutions on the coarse
    graph with another residual connection, and max pooling into a small dense map. Every convolution is followed by ELU
    and then by batch normalisation.

    Source: Schaefer et al., "AEGNN: Asynchronous Event-based Graph Neural Networks", CVPR 2022. The published sizes are
    `channels=(8, 16, 16, 16, 32, 32, 32), kernel_size=2` (N-Cars; the default) and
    `channels=(16, 32, 32, 32, 128, 128, 128), kernel_size=8` (N-Caltech101 and Gen1).

    Args:
        sensor_size: `(width, height)` in pixels.
        in_channels: Features of an event. The command line sets it from the representation.
        channels: Output channels of the seven convolutions; the second equals the fourth, the fifth the seventh.
        kernel_size: Kernel points of an axis.
        dim: 3 to convolve over x, y and time, 2 to ignore time.
        pool_size: `(width, height)` of a voxel of the coarse graph, in pixels.
        coarse_scale: Offset between coarse nodes that maps to the kernel's end, in pixels. Default: twice the larger side of a voxel.
        out_size: `(width, height)` of the feature map, in cells.
        bias: Whether the convolutions have a bias.
        root_weight: Whether the convolutions see the node itself.
        coarse_positions: Where a node of the coarse graph is: at the `mean` of its events' positions, as in the paper, or at the `centre`
            of its voxel. With `centre`, an event moves no coarse node, so the edges to and from it stay what they are, and
            inference event by event takes a quarter of the operations.

    Raises:
        EventZooError: A setting is out of its range.

    Shapes:
        input: A batch of event graphs with x `[N, in_channels]`, pos `[N, 3]`, edge_index `[2, E]`, edge_attr `[E, 3]`.
        output: `[B, channels[6], out_size height, out_size width]`.
    """

    accepts: ClassVar[Kind] = "graph"

    def __init__(
        self,
        sensor_size: tuple[int, int],
        in_channels: int = 1,
        channels: tuple[int, int, int, int, int, int, int] = (8, 16, 16, 16, 32, 32, 32),
        kernel_size: int = 2,
        dim: int = 3,
        pool_size: tuple[int, int] = (16, 12),
        coarse_scale: float | None = None,
        out_size: tuple[int, int] = (4, 4),
        bias: bool = True,
        root_weight: bool = True,
        coarse_positions: Positions = "mean",
    ) -> None:
        super().__init__()
        if len(channels) != 7 or min(channels) < 1 or channels[1] != channels[3] or channels[4] != channels[6]:
            raise EventZooError(
                f"AEGNN: channels are seven, at least 1, the second equal to the fourth and the fifth to the seventh, not {channels}"
            )
        if kernel_size < 2 or dim not in (2, 3):
            raise EventZooError(f"AEGNN: kernel_size is at least 2 and dim is 2 or 3, not {kernel_size} and {dim}")
        if coarse_positions not in get_args(Positions):
            raise EventZooError(f"AEGNN: coarse_positions is 'mean' or 'centre', not {coarse_positions!r}")
        self.sensor_size, self.out_channels, self.out_size, self.dim = sensor_size, channels[6], out_size, dim
        self.basis = SplineBasis(dim, kernel_size)

        def layer(in_channels: int, out_channels: int) -> tuple[SplineConv, BatchNorm]:
            conv = SplineConv(in_channels, out_channels, dim, kernel_size, bias=bias, root_weight=root_weight)
            return conv, BatchNorm(out_channels, allow_single_element=True)

        self.conv1, self.norm1 = layer(in_channels, channels[0])
        self.conv2, self.norm2 = layer(channels[0], channels[1])
        self.conv3, self.norm3 = layer(channels[1], channels[2])
        self.conv4, self.norm4 = layer(channels[2], channels[3])
        self.conv5, self.norm5 = layer(channels[3], channels[4])
        self.conv6, self.norm6 = layer(channels[4], channels[5])
        self.conv7, self.norm7 = layer(channels[5], channels[6])
        scale = 2.0 * max(pool_size) if coarse_scale is None else coarse_scale
        self.pool5 = VoxelMaxPool(pool_size, sensor_size, scale, coarse_positions)
        self.pool7 = GridMaxPool(out_size, sensor_size)

    def forward(self, batch: Batch) -> Tensor:
        """Features of a batch of event graphs."""
        edges = self.basis(batch.x, batch.edge_index, batch.edge_attr)
        x = self.norm1(elu(self.conv1(batch.x, edges)))
        skip = x = self.norm2(elu(self.conv2(x, edges)))
        x = self.norm3(elu(self.conv3(x, edges)))
        x = self.norm4(elu(self.conv4(x, edges))) + skip
        x = self.norm5(elu(self.conv5(x, edges)))

        skip, pos, edge_index, edge_attr, sample = self.pool5(x, batch.pos[:, : self.dim], batch.edge_index, batch.batch)
        edges = self.basis(skip, edge_index, edge_attr)
        x = self.norm6(elu(self.conv6(skip, edges)))
        x = self.norm7(elu(self.conv7(x, edges))) + skip
        features: Tensor = self.pool7(x, pos, sample, batch.num_graphs)
        return features
