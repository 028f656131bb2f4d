"""What a B-spline convolution sums over the edges of each node.

An edge with offset u in [0, 1]^D touches the 2^D kernel points around u·(k-1), each with the product of the linear weights of its
axes: degree 1, open splines. The weights are made where they are used, which takes less time than reading them from memory would.
"""

import numba
import numpy as np

from eventzoo.kernels.asynchronous.sites import Floats, Indices, Integers


@numba.njit(cache=True, nogil=True)
def list_edges(node: Integers, neighbour: Integers, offset: Floats, nodes: int) -> tuple[Integers, Indices, Floats]:
    """Edges in the order of their nodes, and of one node in the order given.

    Args:
        node: The node of each edge, int64 `[E]`.
        neighbour: The node at its other end, int64 `[E]`.
        offset: float32 `[E, D]`.
        nodes: N.

    Returns:
        Where the edges of each node start, int64 `[N + 1]`; neighbours, int32 `[E]`; offsets `[E, D]`, those given if they are in order.
    """
    start, in_order = np.zeros(nodes + 1, np.int64), True
    for e in range(len(node)):
        start[node[e] + 1] += 1
        in_order &= e == 0 or node[e - 1] <= node[e]
    start = np.cumsum(start)
    if in_order:
        return start, neighbour.astype(np.int32), offset
    position, neighbours, offsets = start[:-1].copy(), np.empty(len(node), np.int32), np.empty_like(offset)
    for e in range(len(node)):
        f = position[node[e]]
        position[node[e]] += 1
        neighbours[f] = neighbour[e]
        for d in range(offset.shape[1]):
            offsets[f, d] = offset[e, d]
    return start, neighbours, offsets


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def sum_eight(start: Integers, neighbour: Indices, offset: Floats, x: Floats, first: int, out: Floats) -> None:
    """Weighted sums of the neighbours' features for each of the eight points of a kernel of size 2 in three dimensions.

    Args:
        start: From `list_edges`, as are `neighbour` and `offset`.
        neighbour: int32 `[E]`.
        offset: float32 `[E, 3]`.
        x: Features, contiguous float32 `[N, C]`.
        first: The node that the first row belongs to.
        out: Is filled, float32 `[rows, 8, C]`.
    """
    zero, one = np.float32(0), np.float32(1)
    for i in range(len(out)):
        sums, last = out[i], start[first + i + 1] - 1
        sums[:] = zero
        for e in range(start[first + i], last + 1, 2):  # two edges at a time: a sum is read and written once for both
            f = min(e + 1, last)
            u, v, w = min(max(offset[e, 0], zero), one), min(max(offset[e, 1], zero), one), min(max(offset[e, 2], zero), one)
            a0, a1, a2, a3, lower, upper = (one - u) * (one - v), u * (one - v), (one - u) * v, u * v, one - w, w
            u, v, w = min(max(offset[f, 0], zero), one), min(max(offset[f, 1], zero), one), min(max(offset[f, 2], zero), one)
            b0, b1, b2, b3 = (one - u) * (one - v), u * (one - v), (one - u) * v, u * v
            both = one if f > e else zero
            lower_b, upper_b, a, b = (one - w) * both, w * both, x[neighbour[e]], x[neighbour[f]]
            for c in range(x.shape[1]):
                s, t, p, q = lower * a[c], upper * a[c], lower_b * b[c], upper_b * b[c]
                sums[0, c] += a0 * s + b0 * p
                sums[1, c] += a1 * s + b1 * p
                sums[2, c] += a2 * s + b2 * p
                sums[3, c] += a3 * s + b3 * p
                sums[4, c] += a0 * t + b0 * q
                sums[5, c] += a1 * t + b1 * q
                sums[6, c] += a2 * t + b2 * q
                sums[7, c] += a3 * t + b3 * q


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def sum_four(start: Integers, neighbour: Indices, offset: Floats, x: Floats, first: int, out: Floats) -> None:
    """The same in two dimensions: offset `[E, 2]`, out `[rows, 4, C]`."""
    zero, one = np.float32(0), np.float32(1)
    for i in range(len(out)):
        sums = out[i]
        sums[:] = zero
        for e in range(start[first + i], start[first + i + 1]):
            u, v, a = min(max(offset[e, 0], zero), one), min(max(offset[e, 1], zero), one), x[neighbour[e]]
            a0, a1, a2, a3 = (one - u) * (one - v), u * (one - v), (one - u) * v, u * v
            for c in range(x.shape[1]):
                sums[0, c] += a0 * a[c]
                sums[1, c] += a1 * a[c]
                sums[2, c] += a2 * a[c]
                sums[3, c] += a3 * a[c]


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def count_touched(start: Integers, offset: Floats, size: int, first: int, end: int) -> Integers:
    """Where the rows of each kernel point start that `sum_touched` fills for the nodes from `first` to `end`, int64 `[k^D + 1]`."""
    corners, points = 2 ** offset.shape[1], size ** offset.shape[1]
    weight, point = _scratch(start, first, end, corners)
    touched_by, row_start = np.full(points, -1, np.int64), np.zeros(points + 1, np.int64)
    for i in range(first, end):
        spline_basis(weight, point, size, offset[start[i] : start[i + 1]])
        for e in range(start[i + 1] - start[i]):
            for k in range(corners):
                p = point[e, k]
                row_start[p + 1] += touched_by[p] != i
                touched_by[p] = i
    return np.cumsum(row_start)


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def sum_touched(
    start: Integers,
    neighbour: Indices,
    offset: Floats,
    size: int,
    x: Floats,
    first: int,
    end: int,
    row_start: Integers,
    row_node: Integers,
    out: Floats,
) -> None:
    """Weighted sums of the neighbours' features for the (kernel point, node) that their edges touch, of a kernel of any size.

    Args:
        start: From `list_edges`, as are `neighbour` and `offset`.
        neighbour: int32 `[E]`.
        offset: float32 `[E, D]`.
        size: Kernel points k of an axis, at least 2.
        x: Features, contiguous float32 `[N, C]`.
        first: The first node.
        end: The one after the last.
        row_start: From `count_touched`.
        row_node: Is filled with the rows' nodes, in ascending order for each kernel point, int64 `[R]`.
        out: Is filled, float32 `[R, C]`.
    """
    corners, points, channels = 2 ** offset.shape[1], size ** offset.shape[1], x.shape[1]
    weight, point = _scratch(start, first, end, corners)
    row, touched_by = row_start[:-1].copy(), np.full(points, -1, np.int64)
    place, touched, sums = np.empty(points, np.int32), np.empty(points, np.int32), np.empty((points, channels), np.float32)
    for i in range(first, end):
        count, used = start[i + 1] - start[i], 0
        spline_basis(weight, point, size, offset[start[i] : start[i + 1]])
        for e in range(count):
            for k in range(corners):
                p = point[e, k]
                if touched_by[p] != i:
                    touched_by[p], place[p], touched[used] = i, used, p
                    used += 1
                point[e, k] = place[p]
        sums[:used] = 0  # a node's sums stay in the cache until they are complete
        for e in range(count):
            a = x[neighbour[start[i] + e]]
            for k in range(corners):
                w, t = weight[e, k], point[e, k]
                for c in range(channels):
                    sums[t, c] += w * a[c]
        for t in range(used):
            r = row[touched[t]]
            row[touched[t]] += 1
            row_node[r] = i
            for c in range(channels):
                out[r, c] = sums[t, c]


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def spline_basis(weight: Floats, point: Indices, size: int, offset: Floats) -> None:
    """Weight and kernel point of every corner of every edge, the first axis fastest.

    Args:
        weight: Is filled, float32 `[at least E, 2^D]`.
        point: Is filled, int32 of the same shape.
        size: Kernel points k of an axis, at least 2.
        offset: `[E, D]`; clamped to [0, 1].
    """
    zero, one, last = np.float32(0), np.float32(1), np.float32(size - 1)
    for e in range(len(offset)):
        weight[e, 0], point[e, 0] = one, 0
        corners, stride = 1, 1
        for d in range(offset.shape[1]):
            position = min(max(offset[e, d], zero), one) * last
            lower = min(int(position), size - 2)
            upper_weight = position - np.float32(lower)
            for s in range(corners):
                weight[e, corners + s] = weight[e, s] * upper_weight
                weight[e, s] *= one - upper_weight
                point[e, corners + s] = point[e, s] + (lower + 1) * stride
                point[e, s] += lower * stride
            corners *= 2
            stride *= size


@numba.njit(cache=True, nogil=True)
def _scratch(start: Integers, first: int, end: int, corners: int) -> tuple[Floats, Indices]:
    """Room for the basis of the edges of any of these nodes."""
    most = np.max(start[first + 1 : end + 1] - start[first:end])
    return np.empty((most, corners), np.float32), np.empty((most, corners), np.int32)
