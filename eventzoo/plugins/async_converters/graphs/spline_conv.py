"""Spline convolutions, event by event."""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numba
import numpy as np
import torch

from eventzoo.asynchronous import AsyncConverter, Cost, EdgeIndex, EdgeOffsets, Features, Graph, Plan, State, Unsupported
from eventzoo.kernels.asynchronous.products import add_product
from eventzoo.kernels.asynchronous.sites import Edges, Floats, Indices, Integers, copy_row
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
        _make_basis(basis.weight, basis.point, basis.kernel, edges.offset, count)
        basis.version[0] = edges.tag[3]
    weight, sums, used = conv.weight, conv.sums, conv.used
    copy_row(out, conv.bias)
    inner, corners = x.shape[1], basis.weight.shape[1]
    points = corners if len(used) == 0 else len(used)
    blocks = len(weight) // inner
    root = points * inner  # where the block of the site itself begins, if there is one
    for c in range(root, len(sums)):
        sums[c] = x[slot, c - root]
    share = np.float32(1) / np.float32(max(count, 1))
    if len(used) == 0:
        _sum_all(basis.weight, sums, x, edges.source, count)
        for c in range(root):
            sums[c] *= share
        add_product(out, sums, weight)
        return int(blocks)
    touched = _sum_used(basis, conv, x, edges.source, count)
    for k in range(touched):
        first = used[k] * inner
        for c in range(first, first + inner):
            sums[c] *= share
        add_product(out, sums[first : first + inner], weight[first : first + inner])
    add_product(out, sums[root:], weight[root:])
    return int(touched + blocks - points)


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _make_basis(weight: Floats, point: Indices, kernel: Integers, offset: Floats, count: int) -> None:
    """Weight and kernel point of every corner of every edge, the first axis fastest."""
    dim, size = kernel
    if dim == 3 and size == 2:
        _make_eight(weight, offset, count)
        return
    last = np.float32(size - 1)
    for e in range(count):
        weight[e, 0], point[e, 0] = np.float32(1), 0
        corners, stride = 1, 1
        for d in range(dim):
            position = min(max(offset[e, d], np.float32(0)), np.float32(1)) * last
            lower = min(int(position), size - 2)
            upper_weight = position - np.float32(lower)
            for s in range(corners):
                weight[e, corners + s] = weight[e, s] * upper_weight
                weight[e, s] *= np.float32(1) - upper_weight
            if size > 2:
                for s in range(corners):
                    point[e, corners + s] = point[e, s] + (lower + 1) * stride
                    point[e, s] += lower * stride
            corners *= 2
            stride *= size


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _make_eight(weight: Floats, offset: Floats, count: int) -> None:
    """The weights of the corners of a kernel of size 2 in three dimensions, which are all of its points."""
    zero, one = np.float32(0), np.float32(1)
    for e in range(count):
        u, v, w = (min(max(offset[e, 0], zero), one), min(max(offset[e, 1], zero), one), min(max(offset[e, 2], zero), one))
        a, b, c, d = (one - u) * (one - v), u * (one - v), (one - u) * v, u * v
        weight[e, 0], weight[e, 1], weight[e, 2], weight[e, 3] = a * (one - w), b * (one - w), c * (one - w), d * (one - w)
        weight[e, 4], weight[e, 5], weight[e, 6], weight[e, 7] = a * w, b * w, c * w, d * w


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _sum_all(weight: Floats, sums: Floats, x: Floats, source: Indices, count: int) -> None:
    """Weighted sums of the neighbours for every kernel point, four edges at a time."""
    inner, corners, whole = x.shape[1], weight.shape[1], count // 4 * 4
    for c in range(corners * inner):
        sums[c] = np.float32(0)
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
    weight, point, sums, used, used_in = basis.weight, basis.point, conv.sums, conv.used, conv.used_in
    inner, corners = x.shape[1], weight.shape[1]
    used_in[-1] += 1
    turn, touched = used_in[-1], 0
    for e in range(count):
        j = source[e]
        for k in range(corners):
            a, p = weight[e, k], point[e, k]
            first = p * inner
            if used_in[p] != turn:
                used_in[p] = turn
                used[touched] = p
                touched += 1
                for i in range(inner):
                    sums[first + i] = np.float32(0)
            for i in range(inner):
                sums[first + i] += a * x[j, i]
    return touched


def _named(names: tuple[str, ...], args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
    """Arguments in the order of their names."""
    given = dict(zip(names, args, strict=False)) | kwargs
    return [given.get(name) for name in names]
