"""Spline convolutions, event by event."""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numba
import numpy as np
import torch

from eventzoo.asynchronous import AsyncConverter, EdgeIndex, EdgeOffsets, Features, Cost, Graph, Plan, State, Unsupported
from eventzoo.kernels.products import add_product
from eventzoo.kernels.sites import Edges, Floats, Indices, Integers
from eventzoo.nn.spline_conv import SplineBasis, SplineConv


class Basis(NamedTuple):
    """The kernel points that the edges into one site touch, shared by all convolutions that use them.

    Attributes:
        weight: Of every corner of every edge, float32 `[capacity, 2^D]`.
        point: Its kernel point, int32 `[capacity, 2^D]`.
        version: The listing of edges that they belong to, int64 `[1]`.
        kernel: Dimensions D and kernel size k, int64 `[2]`.
    """

    weight: Floats
    point: Indices
    version: Integers
    kernel: Integers


class Convolution(NamedTuple):
    """A convolution's weights and room for its sums.

    Attributes:
        weight: A block of rows for each kernel point, then one for the site itself, float32 `[(k^D + 1) · C_in, C_out]`.
        bias: float32 `[C_out]`.
        sums: The same blocks of the neighbours' weighted sums, float32 `[(k^D + 1) · C_in]`.
        used: Kernel points that are touched, int32 `[k^D]`; none where all are summed.
        used_in: Site's turn in which a point was touched, int64 `[k^D + 1]`; the last counts the turns.
    """

    weight: Floats
    bias: Floats
    sums: Floats
    used: Indices
    used_in: Integers


@dataclass(eq=False)
class Spline:
    """A graph's edges with their basis: what `SplineBasis` returns."""

    graph: Graph
    state: State
    corners: int


class AsyncSplineBasis(AsyncConverter):
    """The basis of a graph's edges, made for the edges into a site when the first convolution asks for it."""

    handles: ClassVar = (SplineBasis,)

    def convert(self, plan: Plan, layer: SplineBasis, *args: Any, **kwargs: Any) -> Spline:
        """The edges for convolutions."""
        _, edge_index, edge_attr = _named(("x", "edge_index", "edge_attr"), args, kwargs)
        if not (isinstance(edge_index, EdgeIndex) and isinstance(edge_attr, EdgeOffsets) and edge_index.graph is edge_attr.graph):
            raise Unsupported("its edges are not those of the graph as they are")
        graph, corners = edge_index.graph, 2**layer.dim
        capacity, domain = graph.domain.capacity, graph.domain
        basis = Basis(
            np.zeros((capacity, corners), np.float32),
            np.zeros((capacity, corners), np.int32),
            np.full(1, -1, np.int64),
            np.array([layer.dim, layer.kernel_size], np.int64),
        )
        grows = {"weight": 0, "point": 0} if domain.grows else None
        return Spline(graph, plan.state(basis, domain if domain.grows else None, grows), corners)


class AsyncSplineConv(AsyncConverter):
    """Spline convolution: the neighbours are summed by kernel point, then multiplied, as in `SplineConv`."""

    handles: ClassVar = (SplineConv,)

    def convert(self, plan: Plan, layer: SplineConv, *args: Any, **kwargs: Any) -> Features:
        """The convolved features."""
        x, edges = _named(("x", "edges"), args, kwargs)
        if not isinstance(edges, Spline) or not isinstance(x, Features) or x.domain is not edges.graph.domain:
            raise Unsupported("its edges do not join the sites of its features")
        points, inner, outer = layer.weight.shape
        blocks = [layer.weight.detach().flatten(0, 1), *([] if layer.root is None else [layer.root.weight.detach().T])]
        weight = torch.cat(blocks).float().cpu().numpy()
        bias = np.zeros(outer, np.float32) if layer.bias is None else layer.bias.detach().float().cpu().numpy()
        used = 0 if points == edges.corners else points
        weights = plan.weights(
            Convolution(weight, bias, np.zeros(len(weight), np.float32), np.zeros(used, np.int32), np.zeros(used + 1, np.int64))
        )
        cost = Cost(edge=2 * edges.corners * inner, unit=2 * inner * outer)
        return plan.rows(convolve, [edges.state, weights], x, outer, edges.graph, cost=cost)


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def convolve(basis: Basis, conv: Convolution, x: Floats, slot: int, edges: Edges, count: int, out: Floats) -> int:
    """One site's row; how many blocks of weights were multiplied."""
    if basis.version[0] != edges.tag[3]:
        _make_basis(basis, edges, count)
    out[:] = conv.bias
    inner, corners = x.shape[1], basis.weight.shape[1]
    points = corners if len(conv.used) == 0 else len(conv.used)
    blocks = len(conv.weight) // inner
    root = points * inner  # where the block of the site itself begins, if there is one
    if blocks > points:
        conv.sums[root:] = x[slot]
    share = np.float32(1) / np.float32(max(count, 1))
    if len(conv.used) == 0:
        _sum_all(basis.weight, conv.sums, x, edges.source, count)
        for k in range(root):
            conv.sums[k] *= share
        add_product(out, conv.sums, conv.weight)
        return blocks
    used = _sum_used(basis, conv, x, edges.source, count)
    for k in range(used):
        first = conv.used[k] * inner
        for c in range(first, first + inner):
            conv.sums[c] *= share
        add_product(out, conv.sums[first : first + inner], conv.weight[first : first + inner])
    add_product(out, conv.sums[root:], conv.weight[root:])
    return used + blocks - points


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _make_basis(basis: Basis, edges: Edges, count: int) -> None:
    """Weight and kernel point of every corner of every edge, the first axis fastest."""
    dim, size = basis.kernel
    for e in range(count):
        weight, point = basis.weight[e], basis.point[e]
        weight[0], point[0] = np.float32(1), 0
        corners, stride = 1, 1
        for d in range(dim):
            position = min(max(edges.offset[e, d], np.float32(0)), np.float32(1)) * np.float32(size - 1)
            lower = min(int(position), size - 2)
            upper_weight = position - np.float32(lower)
            for s in range(corners):
                weight[corners + s] = weight[s] * upper_weight
                point[corners + s] = point[s] + (lower + 1) * stride
                weight[s] *= np.float32(1) - upper_weight
                point[s] += lower * stride
            corners *= 2
            stride *= size
    basis.version[0] = edges.tag[3]


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _sum_all(weight: Floats, sums: Floats, x: Floats, source: Indices, count: int) -> None:
    """Weighted sums of the neighbours for every kernel point, four edges at a time."""
    inner, corners, whole = x.shape[1], weight.shape[1], count // 4 * 4
    sums[: corners * inner] = np.float32(0)
    for e in range(0, whole, 4):
        x0, x1, x2, x3 = x[source[e]], x[source[e + 1]], x[source[e + 2]], x[source[e + 3]]
        for k in range(corners):
            a, b, c, d = weight[e, k], weight[e + 1, k], weight[e + 2, k], weight[e + 3, k]
            for i in range(inner):
                sums[k * inner + i] += (a * x0[i] + b * x1[i]) + (c * x2[i] + d * x3[i])
    for e in range(whole, count):
        row = x[source[e]]
        for k in range(corners):
            a = weight[e, k]
            for i in range(inner):
                sums[k * inner + i] += a * row[i]


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _sum_used(basis: Basis, conv: Convolution, x: Floats, source: Indices, count: int) -> int:
    """The same for the kernel points that are touched; how many there are."""
    inner, corners = x.shape[1], basis.weight.shape[1]
    conv.used_in[-1] += 1
    turn, used = conv.used_in[-1], 0
    for e in range(count):
        row = x[source[e]]
        for k in range(corners):
            a, point = basis.weight[e, k], basis.point[e, k]
            block = conv.sums[point * inner : (point + 1) * inner]
            if conv.used_in[point] != turn:
                conv.used_in[point] = turn
                conv.used[used] = point
                used += 1
                block[:] = np.float32(0)
            for i in range(inner):
                block[i] += a * row[i]
    return used


def _named(names: tuple[str, ...], args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
    """Arguments in the order of their names."""
    given = dict(zip(names, args, strict=False)) | kwargs
    return [given.get(name) for name in names]
