"""B-spline graph convolution, aggregated before it is multiplied."""

import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import embedding_bag

from eventzoo.kernels.spline_sums import count_touched, list_edges, sum_eight, sum_four, sum_touched

_NODES_AT_ONCE = 2048  # fewer, and the products are small; more, and their sums leave the cache


class Block(NamedTuple):
    """Some of the rows that a convolution multiplies: weighted sums of neighbours' features, for some kernel points and nodes.

    Attributes:
        points: The kernel points, P of them.
        nodes: The nodes, M of them, no node twice: a slice of them, or int64 `[M]`.
        sums: `[M, P · C]`.
    """

    points: slice
    nodes: slice | Tensor
    sums: Tensor


class SplineEdges:
    """The edges of a graph, prepared once for all spline convolutions of one kernel size over it.

    An edge from j to i with offset u in [0, 1]^D touches the 2^D kernel points around u·(k-1), each with the product of
    the linear weights of its axes: degree 1, open splines.

    Args:
        edge_index: Source j and target i of each edge, int64 `[2, E]`.
        edge_attr: Offsets u, float `[E, D]`; clamped to [0, 1].
        num_nodes: N.
        kernel_size: Kernel points k of an axis, at least 2.
    """

    def __init__(self, edge_index: Tensor, edge_attr: Tensor, num_nodes: int, kernel_size: int) -> None:
        self.edge_index, self.offsets = edge_index, edge_attr.detach()
        self.num_nodes, self.kernel_size = num_nodes, kernel_size
        degree = torch.bincount(edge_index[1], minlength=num_nodes)
        self.share = (1 / degree.clamp(min=1).to(edge_attr.dtype))[:, None]
        self._into_targets: CompiledSums | BagSums | None = None
        self._into_sources: CompiledSums | BagSums | None = None

    def at_targets(self, x: Tensor) -> Iterator[Block]:
        """Weighted sums over the edges into each node, of the features of their sources."""
        if self._into_targets is None:
            self._into_targets = self._sums(self.edge_index[1], self.edge_index[0])
        return self._into_targets(x)

    def at_sources(self, x: Tensor) -> Iterator[Block]:
        """Weighted sums over the edges out of each node, of the features of their targets."""
        if self._into_sources is None:
            self._into_sources = self._sums(self.edge_index[0], self.edge_index[1])
        return self._into_sources(x)

    def _sums(self, node: Tensor, neighbour: Tensor) -> "CompiledSums | BagSums":
        kind = CompiledSums if node.device.type == "cpu" and self.offsets.dtype == torch.float32 else BagSums
        return kind(node, neighbour, self.offsets, self.num_nodes, self.kernel_size)


class CompiledSums:
    """Weighted sums by compiled loops, some nodes at a time, of float32 on CPU.

    Args:
        node: The node that each edge is summed into, int64 `[E]`.
        neighbour: The node at its other end, int64 `[E]`.
        offsets: float `[E, D]`.
        num_nodes: N.
        kernel_size: Kernel points k of an axis.
    """

    def __init__(self, node: Tensor, neighbour: Tensor, offsets: Tensor, num_nodes: int, kernel_size: int) -> None:
        self.kernel_size, self.dim = kernel_size, offsets.shape[1]
        self.edges = list_edges(node.numpy(), neighbour.numpy(), offsets.contiguous().numpy(), num_nodes)
        self.parts = list(itertools.pairwise([*range(0, num_nodes, _NODES_AT_ONCE), num_nodes]))
        self.all_points = kernel_size == 2 and self.dim in (2, 3)
        start, _, offset = self.edges
        self.rows = {part: count_touched(start, offset, kernel_size, *part) for part in self.parts if not self.all_points}

    def __call__(self, x: Tensor) -> Iterator[Block]:
        """Blocks of weighted sums of `x`, `[N, C]`."""
        values = x.contiguous().numpy()
        for part in self.parts:
            yield from self._blocks(values, part)

    def _blocks(self, x: NDArray[np.float32], part: tuple[int, int]) -> list[Block]:
        first, end = part
        if self.all_points:
            sums = np.empty((end - first, 2**self.dim, x.shape[1]), np.float32)
            (sum_eight if self.dim == 3 else sum_four)(*self.edges, x, first, sums)
            return [Block(slice(None), slice(first, end), torch.from_numpy(sums).flatten(1))]
        rows = self.rows[part]
        nodes, sums = np.empty(rows[-1], np.int64), np.empty((rows[-1], x.shape[1]), np.float32)
        sum_touched(*self.edges, self.kernel_size, x, first, end, rows, nodes, sums)
        return _blocks_by_point(rows.tolist(), torch.from_numpy(nodes), torch.from_numpy(sums))


class BagSums:
    """Weighted sums by torch, of all nodes at once, of any type on any device; `CompiledSums` says what its arguments are."""

    def __init__(self, node: Tensor, neighbour: Tensor, offsets: Tensor, num_nodes: int, kernel_size: int) -> None:
        weights, points = _basis(offsets, kernel_size)
        key = (points * num_nodes + node).flatten()
        order = torch.argsort(key, stable=True)
        rows, entries = torch.unique_consecutive(key[order], return_counts=True)
        self.nodes = rows % num_nodes
        used = torch.bincount(rows // num_nodes, minlength=kernel_size ** offsets.shape[1])
        self.start = [0, *used.cumsum(0).tolist()]
        self.bags = (neighbour.repeat(len(weights))[order].int(), (entries.cumsum(0) - entries).int(), weights.flatten()[order])

    def __call__(self, x: Tensor) -> Iterator[Block]:
        """Blocks of weighted sums of `x`, `[N, C]`."""
        index, start, weights = self.bags
        if len(index) > 0:
            yield from _blocks_by_point(self.start, self.nodes, embedding_bag(index, x, start, mode="sum", per_sample_weights=weights))


class SplineBasis(nn.Module):
    """Prepares a graph's edges for all `SplineConv` layers of one kernel size; a layer, so that torch.fx sees one operation.

    Args:
        dim: Dimensions D of the offsets that are used, the first ones.
        kernel_size: Kernel points k of an axis, at least 2.

    Shapes:
        input: nodes' features `[N, C]`, edge_index `[2, E]`, edge_attr `[E, at least D]`.
        output: `SplineEdges`.
    """

    def __init__(self, dim: int, kernel_size: int) -> None:
        super().__init__()
        self.dim, self.kernel_size = dim, kernel_size

    def forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor) -> SplineEdges:
        """Prepare the edges of a graph."""
        return SplineEdges(edge_index, edge_attr[:, : self.dim], len(x), self.kernel_size)

    def extra_repr(self) -> str:
        """Dimensions and size of the kernel."""
        return f"dim={self.dim}, kernel_size={self.kernel_size}"


class SplineConv(nn.Module):
    r"""Continuous B-spline convolution with mean aggregation, degree 1, open splines.

    .. math::
        y_i = \frac{1}{|N(i)|} \sum_{j \in N(i)} \sum_s B_s(u_{ji}) \, x_j W_s + x_i R + b

    The neighbours are summed by kernel point first and multiplied by the weight matrices afterwards, which is linear and so
    gives the same sum, but costs one matrix product a (node, kernel point) instead of one an (edge, kernel point). In mixed precision
    it is computed in the offsets' type, float32: reading the neighbours takes the time, and the products are small.

    Source: Fey et al., SplineCNN, CVPR 2018, equation 1; weights are laid out as in torch-spline-conv and PyG.

    Args:
        in_channels: Features of an incoming node.
        out_channels: Features of an outgoing node.
        dim: Dimensions D of the offsets.
        kernel_size: Kernel points k of an axis, at least 2.
        bias: Whether to add a bias b.
        root_weight: Whether to add the node's own features times a matrix R.

    Shapes:
        weight: `[k^D, in_channels, out_channels]`, the first axis of the offsets fastest.
        input: `[N, in_channels]` and the `SplineEdges` of the graph.
        output: `[N, out_channels]`.
    """

    def __init__(
        self, in_channels: int, out_channels: int, dim: int, kernel_size: int, bias: bool = True, root_weight: bool = True
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels, self.dim, self.kernel_size = in_channels, out_channels, dim, kernel_size
        self.weight = nn.Parameter(torch.empty(kernel_size**dim, in_channels, out_channels))
        self.root = nn.Linear(in_channels, out_channels, bias=False) if root_weight else None
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weights uniform in ±1/sqrt(k^D · in_channels), bias zero, root as in `torch.nn.Linear`."""
        bound = 1 / math.sqrt(self.weight.shape[0] * self.in_channels)
        nn.init.uniform_(self.weight, -bound, bound)
        if self.root is not None:
            self.root.reset_parameters()
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor, edges: SplineEdges) -> Tensor:
        """Convolve the features of a graph's nodes."""
        x = x.to(edges.share.dtype)
        with torch.autocast(x.device.type, enabled=False):
            out: Tensor = _Convolve.apply(x, self.weight, edges)  # type: ignore[no-untyped-call]
            if self.root is not None:
                out = out + self.root(x)
        return out if self.bias is None else out + self.bias

    def extra_repr(self) -> str:
        """Channels, and the size of the kernel."""
        return f"{self.in_channels}, {self.out_channels}, dim={self.dim}, kernel_size={self.kernel_size}"


class _Convolve(torch.autograd.Function):
    """The convolution without bias and root; of what it makes on the way, nothing is kept for the backward pass.

    There, the sums over the edges out of a node, of the gradients at their targets, give both gradients: multiplied by the weights that
    of the node's features, and multiplied by its features that of the weights.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, edges: SplineEdges) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.edges = edges
        out = x.new_zeros(edges.num_nodes, weight.shape[2])
        for points, nodes, sums in edges.at_targets(x):
            _add(out, nodes, sums @ weight[points].flatten(0, 1))
        return out.mul_(edges.share)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        x, weight = ctx.saved_tensors
        grad_x, grad_weight = torch.zeros_like(x), torch.zeros_like(weight)
        with torch.autocast(x.device.type, enabled=False):
            for points, nodes, sums in ctx.edges.at_sources(grad * ctx.edges.share):
                _add(grad_x, nodes, sums @ weight[points].transpose(1, 2).flatten(0, 1))
                grad_weight[points] += (x[nodes].T @ sums).unflatten(1, (-1, weight.shape[2])).transpose(0, 1)
        return grad_x, grad_weight, None


def _add(out: Tensor, nodes: slice | Tensor, rows: Tensor) -> None:
    if isinstance(nodes, slice):
        out[nodes] += rows
    else:
        out.index_add_(0, nodes, rows)


def _blocks_by_point(start: list[int], nodes: Tensor, sums: Tensor) -> list[Block]:
    """A block for each kernel point that has rows: those from its start to the next point's."""
    return [Block(slice(k, k + 1), nodes[a:b], sums[a:b]) for k, (a, b) in enumerate(itertools.pairwise(start)) if b > a]


def _basis(offsets: Tensor, kernel_size: int) -> tuple[Tensor, Tensor]:
    """Weight and kernel point of every corner of every edge, each `[2^D, E]`, the first axis fastest."""
    position = offsets.T.clamp(0, 1) * (kernel_size - 1)
    lower = position.floor().clamp(max=kernel_size - 2)
    upper_weight = position - lower
    weights, points, stride = [torch.ones_like(position[0])], [torch.zeros_like(position[0], dtype=torch.long)], 1
    for axis in range(len(position)):
        first = lower[axis].long() * stride
        weights = [w * (1 - upper_weight[axis]) for w in weights] + [w * upper_weight[axis] for w in weights]
        points = [p + first for p in points] + [p + first + stride for p in points]
        stride *= kernel_size
    return torch.stack(weights), torch.stack(points)
