"""B-spline graph convolution, aggregated before it is multiplied."""

import itertools
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import embedding_bag


class SplineEdges:
    """The edges of a graph, prepared once for all spline convolutions of one kernel size over it.

    An edge from j to i with offset u in [0, 1]^D touches the 2^D kernel points around u·(k-1), each with the product of
    the linear weights of its axes: degree 1, open splines. A *row* is one (node, kernel point) pair; the entries of a row
    say which neighbours are summed into it, and with which weight (divided by the node's in-degree: mean aggregation).

    For kernel size 2 every node has a row for every kernel point, in the order of `[2^D, N]`. For larger kernels only the
    pairs that occur have a row, sorted by kernel point.

    Args:
        edge_index: Source j and target i of each edge, int64 `[2, E]`.
        edge_attr: Offsets u, float `[E, D]`; clamped to [0, 1].
        num_nodes: N.
        kernel_size: Kernel points k of an axis, at least 2.
    """

    def __init__(self, edge_index: Tensor, edge_attr: Tensor, num_nodes: int, kernel_size: int) -> None:
        source, target = edge_index
        if bool((target[1:] < target[:-1]).any()):
            order = torch.argsort(target, stable=True)
            source, target, edge_attr = source[order], target[order], edge_attr[order]
        degree = torch.bincount(target, minlength=num_nodes)
        weights, points = _basis(edge_attr, kernel_size)
        weights = weights / degree[target]
        self.num_nodes = num_nodes
        self.source = source
        self.corners = len(weights)
        self.points = kernel_size ** edge_attr.shape[1]
        self.dense = self.points == self.corners
        self.row_target, self._point_start = target, [0]  # of the rows, where they are not dense
        if self.dense:
            corner = torch.arange(self.corners, device=source.device)[:, None]
            start = (degree.cumsum(0) - degree + corner * len(source)).flatten()
            entry_source, entry_row = source.repeat(self.corners), target + corner * num_nodes
            weight_of_entry = weights.flatten()
        else:
            key, order = torch.sort((points * num_nodes + target).flatten(), stable=True)
            rows, row_of_sorted, entries = torch.unique_consecutive(key, return_inverse=True, return_counts=True)
            start = entries.cumsum(0) - entries
            entry_source = source.repeat(self.corners)[order]
            entry_row = torch.empty_like(order).scatter_(0, order, row_of_sorted).view_as(points)
            weight_of_entry = weights.flatten()[order]
            self.row_target = rows % num_nodes
            used = torch.bincount(rows // num_nodes, minlength=self.points)
            self._point_start = [0, *used.cumsum(0).tolist()]
        self._gather = (entry_source.int(), start.int(), weight_of_entry)
        self._entries = (entry_row, weights)
        self._scatter: tuple[Tensor, Tensor, Tensor] | None = None

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type of the weights."""
        return self._gather[2].dtype

    def blocks(self) -> list[tuple[int, slice]]:
        """The kernel points that occur, each with its rows; where not every node has a row for every point."""
        return [(k, slice(a, b)) for k, (a, b) in enumerate(itertools.pairwise(self._point_start)) if b > a]

    def gather(self, x: Tensor) -> Tensor:
        """Weighted sums of the neighbours' features, a row each: `[N, C]` to `[R, C]`."""
        return _weighted_sums(x, *self._gather)

    def scatter(self, rows: Tensor) -> Tensor:
        """The transpose of `gather`: `[R, C]` to `[N, C]`."""
        if self._scatter is None:
            entry_row, weights = self._entries
            order = torch.argsort(self.source)
            degree = torch.bincount(self.source, minlength=self.num_nodes)
            start = (degree.cumsum(0) - degree) * self.corners
            self._scatter = (entry_row.T[order].flatten().int(), start.int(), weights.T[order].flatten())
        return _weighted_sums(rows, *self._scatter)


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
    gives the same sum, but costs one matrix product a (node, kernel point) instead of one an (edge, kernel point).

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
        sums: Tensor = _Gather.apply(x.to(edges.dtype), edges)  # type: ignore[no-untyped-call]
        if edges.dense:
            out = torch.bmm(sums.view(edges.corners, edges.num_nodes, self.in_channels), self.weight).sum(0)
        else:
            out = _RowProduct.apply(sums, self.weight, edges)  # type: ignore[no-untyped-call]
        if self.root is not None:
            out = out + self.root(x)
        return out if self.bias is None else out + self.bias

    def extra_repr(self) -> str:
        """Channels, and the size of the kernel."""
        return f"{self.in_channels}, {self.out_channels}, dim={self.dim}, kernel_size={self.kernel_size}"


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, edges: SplineEdges) -> Tensor:
        ctx.edges = edges
        return edges.gather(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return ctx.edges.scatter(grad.contiguous()), None


class _RowProduct(torch.autograd.Function):
    """Each row times the matrix of its kernel point, summed by node; holds neither [N, k^D, C] nor [R, out_channels]."""

    @staticmethod
    def forward(ctx: Any, sums: Tensor, weight: Tensor, edges: SplineEdges) -> Tensor:
        ctx.save_for_backward(sums, weight)
        ctx.edges = edges
        out = sums.new_zeros(edges.num_nodes, weight.shape[2])
        for point, rows in edges.blocks():
            out.index_add_(0, edges.row_target[rows], sums[rows] @ weight[point])
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        sums, weight = ctx.saved_tensors
        grad_sums, grad_weight = torch.empty_like(sums), torch.zeros_like(weight)
        for point, rows in ctx.edges.blocks():
            at_rows = grad[ctx.edges.row_target[rows]]
            grad_sums[rows] = at_rows @ weight[point].T
            grad_weight[point] = sums[rows].T @ at_rows
        return grad_sums, grad_weight, None


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


def _weighted_sums(x: Tensor, index: Tensor, start: Tensor, weights: Tensor) -> Tensor:
    """Row r is the sum of weights[e] · x[index[e]] over e from start[r] to start[r + 1]."""
    if len(index) == 0:
        return x.new_zeros(len(start), x.shape[1])
    return embedding_bag(index, x, start, mode="sum", per_sample_weights=weights)
