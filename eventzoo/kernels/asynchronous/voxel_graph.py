"""The coarse graph over the voxels of an event graph, kept up to date.

Two voxels are joined as long as an edge leads from an event of the one to an event of the other, so the edges of the event
graph are counted by pair. Events are joined within a radius, so a voxel has few possible neighbours: a stencil around it.
"""

import math
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from eventzoo.kernels.asynchronous.event_pool import Members
from eventzoo.kernels.asynchronous.sites import ARRIVED, LEFT, TRANSACTION, Edges, Floats, Indices, Integers, Sites, add, touch
from eventzoo.kernels.asynchronous.streaming_graph import StreamingGraph


class VoxelGraph(NamedTuple):
    """The graph's state.

    Attributes:
        joined: Edges from members of the stencil's voxels to members of a voxel, int32 `[voxels, stencil]`.
        column: Columns of the stencil, int64 `[stencil]`.
        row: Rows of the stencil, int64 `[stencil]`.
        grid: Columns and rows of the grid; farthest column and row of the stencil; width and height of a voxel. int64 `[6]`.
        position: Positions, float64 `[voxels, D]`, as float32 does not tell milliseconds after some hours.
        moved: Voxels whose position changed, int32 `[voxels]`.
        moves: Their number, int64 `[1]`.
        span: Twice the offset that maps to 1, float32 `[1]`.
        fixed: Whether positions are the voxels' centres. bool `[1]`.
    """

    joined: Indices
    column: Integers
    row: Integers
    grid: Integers
    position: NDArray[np.float64]
    moved: Indices
    moves: Integers
    span: Floats
    fixed: NDArray[np.bool_]


class EventSums(NamedTuple):
    """What the voxels' events add up to.

    Attributes:
        column_of: Voxel's column of each pixel's x, int64 `[width]`.
        row_of: Voxel's row of each pixel's y, int64 `[height]`.
        total: Sums of the events' columns, rows and microseconds, int64 `[voxels, 3]`.
    """

    column_of: Integers
    row_of: Integers
    total: Integers


def make_voxel_graph(
    grid: tuple[int, int], voxel_size: tuple[int, int], reach: tuple[int, int], dimensions: int, scale: float, centres: Floats | None
) -> VoxelGraph:
    """A graph without edges.

    Args:
        grid: Columns and rows of voxels.
        voxel_size: `(width, height)` of a voxel in pixels.
        reach: Largest distance between members that are joined, in pixels along each axis.
        dimensions: Dimensions D of positions.
        scale: Offset that maps to 1.
        centres: Fixed positions of the voxels, float32 `[voxels, D]`; None for the mean of their members.
    """
    voxels = grid[0] * grid[1]
    farthest = [math.ceil(distance / size) for distance, size in zip(reach, voxel_size, strict=True)]
    row, column = (axis.ravel() for axis in np.mgrid[-farthest[1] : farthest[1] + 1, -farthest[0] : farthest[0] + 1])
    return VoxelGraph(
        np.zeros((voxels, len(row)), np.int32),
        column.astype(np.int64),
        row.astype(np.int64),
        np.array([*grid, *farthest, *voxel_size], np.int64),
        np.zeros((voxels, dimensions)) if centres is None else centres.astype(np.float64),
        np.zeros(voxels, np.int32),
        np.zeros(1, np.int64),
        np.array([2 * scale], np.float32),
        np.array([centres is not None]),
    )


def positions(graph: VoxelGraph, slots: Integers) -> Floats:
    """Where voxels are, time relative to the first of them, float32 `[N, D]`."""
    found = graph.position[slots]
    found[:, 2:] -= found[:1, 2:]
    return found.astype(np.float32)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def join_voxels(
    graph: VoxelGraph, edges: Edges, voxels: Sites, sums: EventSums, members: Members, fine: StreamingGraph, events: Sites
) -> int:
    """Bring edges and positions up to date, after `pool_events` did so with the members.

    Args:
        graph: The graph.
        edges: Where its `incoming` lists edges.
        voxels: Its sites, in the transaction that `pool_events` began.
        sums: What the voxels' events add up to.
        members: Which events a voxel holds.
        fine: The event graph.
        events: Its sites.

    Returns:
        Number of voxels that moved.
    """
    graph.moves[0] = 0
    mask, edge_mask = len(fine.x) - 1, len(fine.source) - 1
    now = events.counts[TRANSACTION]
    # Compiled code counts references to an array whenever it takes it out of a tuple: not in loops over edges.
    x, y, source, target, next_out = fine.x, fine.y, fine.source, fine.target, fine.next_out
    alive, born, column_of, row_of = events.alive, events.born, sums.column_of, sums.row_of
    for k in range(events.counts[LEFT]):
        slot = events.left[k]
        column, row = column_of[x[slot]], row_of[y[slot]]
        _add_position(sums.total, row * graph.grid[0] + column, fine, slot, -1)
        e = fine.out[slot]
        while e >= 0:
            end = target[e & edge_mask] & mask
            across, down = column - column_of[x[end]], row - row_of[y[end]]
            # the edge was counted if both ends were there after some transaction
            if (across != 0 or down != 0) and 0 < born[end] < now:
                _count(graph, edges, voxels, column - across, row - down, across, down, -1)
                if not fine.causal[0]:
                    _count(graph, edges, voxels, column, row, -across, -down, -1)
            e = next_out[e & edge_mask]
    for k in range(events.counts[ARRIVED]):
        slot = events.arrived[k]
        if not alive[slot]:
            continue
        column, row = column_of[x[slot]], row_of[y[slot]]
        _add_position(sums.total, row * graph.grid[0] + column, fine, slot, 1)
        for position in range(fine.start[slot], fine.start[slot] + fine.earlier[slot]):
            end = source[position & edge_mask] & mask
            across, down = column_of[x[end]] - column, row_of[y[end]] - row
            if (across != 0 or down != 0) and alive[end]:
                _count(graph, edges, voxels, column, row, across, down, 1)
                if not fine.causal[0]:
                    _count(graph, edges, voxels, column + across, row + down, -across, -down, 1)
    if graph.fixed[0]:
        return 0
    for k in range(members.counts[0]):
        voxel = members.dirty[k]
        if members.size[voxel] > 0 and _move(graph, voxel, sums.total[voxel], members.size[voxel], fine.time_scale[0]):
            graph.moved[graph.moves[0]] = voxel
            graph.moves[0] += 1
            touch(voxels, voxel)
            touch_readers(graph, voxels, voxel)
    return int(graph.moves[0])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _count(graph: VoxelGraph, edges: Edges, voxels: Sites, column: int, row: int, across: int, down: int, count: int) -> None:
    """Count an edge into the voxel at a column and row, from the one that is so far across and down; `count` times (1 or -1)."""
    voxel = row * graph.grid[0] + column
    k = (down + graph.grid[3]) * (2 * graph.grid[2] + 1) + across + graph.grid[2]
    before = graph.joined[voxel, k]
    graph.joined[voxel, k] = before + count
    if before == 0 or before + count == 0:
        edges.degree[voxel] += count
        touch(voxels, voxel)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _add_position(total: Integers, voxel: int, fine: StreamingGraph, slot: int, count: int) -> None:
    total[voxel, 0] += count * fine.x[slot]
    total[voxel, 1] += count * fine.y[slot]
    total[voxel, 2] += count * fine.t[slot]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _move(graph: VoxelGraph, voxel: int, total: Integers, size: int, time_scale: float) -> bool:
    """Put a voxel where the mean of its events is; whether that is elsewhere."""
    moved = False
    for d in range(graph.position.shape[1]):
        value = np.float64(np.float32(total[d]) / np.float32(size))  # as torch divides: columns and rows are whole, their sums exact
        if d == 2:
            value = total[d] / size * time_scale
        if value != graph.position[voxel, d]:
            graph.position[voxel, d] = value
            moved = True
    return moved


@numba.njit(cache=True, nogil=True, error_model="numpy")
def touch_readers(graph: VoxelGraph, voxels: Sites, voxel: int) -> None:
    """Touch the targets of all edges out of a voxel."""
    _visit_readers(graph, voxels, voxel, True)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _visit_readers(graph: VoxelGraph, voxels: Sites, voxel: int, touched: bool) -> None:
    """Touch the voxels that an edge leads to from this one, or put them on the worklist."""
    width, height = graph.grid[0], graph.grid[1]
    column, row = voxel % width, voxel // width
    for k in range(len(graph.row)):
        target_column, target_row = column - graph.column[k], row - graph.row[k]
        if 0 <= target_column < width and 0 <= target_row < height:
            target = target_row * width + target_column
            if graph.joined[target, k] > 0:
                if touched:
                    touch(voxels, target)
                else:
                    add(voxels, target)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def incoming(graph: VoxelGraph, edges: Edges, voxels: Sites, voxel: int) -> int:
    """List the edges into a voxel; how many there are."""
    tag = edges.tag
    if tag[0] == voxel and tag[1] == voxels.counts[TRANSACTION]:
        return int(tag[2])
    count = 0
    for k in range(len(graph.row)):
        if graph.joined[voxel, k] > 0:
            source = voxel + graph.row[k] * graph.grid[0] + graph.column[k]
            edges.source[count] = source
            for d in range(graph.position.shape[1]):
                offset = np.float32(graph.position[source, d] - graph.position[voxel, d])
                edges.offset[count, d] = offset / graph.span[0] + np.float32(0.5)
            count += 1
    tag[0], tag[1], tag[2] = voxel, voxels.counts[TRANSACTION], count
    tag[3] += 1
    return count


@numba.njit(cache=True, nogil=True, error_model="numpy")
def add_readers(graph: VoxelGraph, voxels: Sites, slots: Indices, count: int) -> None:
    """Put the targets of all edges out of these voxels on the worklist."""
    for k in range(count):
        _visit_readers(graph, voxels, slots[k], False)
