"""Max pooling of voxels into the cells of a map, or into larger voxels, kept up to date; a voxel moves with its events."""

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from eventzoo.kernels.asynchronous.sites import (
    LEFT,
    TOUCHED,
    TRANSACTION,
    Edges,
    Floats,
    Indices,
    Integers,
    Rows,
    Sites,
    arrive,
    begin,
    begin_fixed,
    clear_row,
    commit,
    leave,
    touch,
)
from eventzoo.kernels.asynchronous.voxel_graph import VoxelGraph, touch_readers


class Cells(NamedTuple):
    """Which voxels a cell holds; a voxel may move from cell to cell with its position.

    Attributes:
        cell: Cell of a voxel, -1 for none, int32 `[voxels]`.
        start: Position of a cell's first candidate, int64 `[cells + 1]`.
        candidate: The voxels that overlap a cell, int32 `[overlaps]`.
        dirty: Cells whose voxels changed, came or went, int32 `[cells]`.
        listed_in: Transaction that put a cell on that list, int64 `[cells]`.
        counts: Length of `dirty`, int64 `[1]`.
        size: `(width, height)` of a cell, float32 `[2]`.
        columns: Cells in a row, int64 `[1]`.
        keep_empty: Whether a cell without voxels is there, with zeros. bool `[1]`.
    """

    cell: Indices
    start: Integers
    candidate: Indices
    dirty: Indices
    listed_in: Integers
    counts: Integers
    size: Floats
    columns: Integers
    keep_empty: NDArray[np.bool_]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def pool_voxels(inside: Cells, graph: VoxelGraph, sites: Sites, rows: Rows, cells: Sites, pooled: Rows) -> int:
    """Bring the cells' maxima up to date.

    Args:
        inside: Which voxels a cell holds.
        graph: Where the voxels are.
        sites: The voxels.
        rows: Their features.
        cells: The cells; their transaction begins here.
        pooled: The cells' features.

    Returns:
        Number of voxels that were compared.
    """
    if inside.keep_empty[0]:
        begin_fixed(cells)
    else:
        begin(cells)
    pooled.counts[0] = 0
    inside.counts[0] = 0
    if inside.keep_empty[0] and cells.counts[TRANSACTION] == 1:
        for cell in range(len(inside.start) - 1):
            _note_cell(inside, cells, cell)
    for k in range(sites.counts[LEFT]):
        voxel = sites.left[k]
        if inside.cell[voxel] >= 0:
            _note_cell(inside, cells, inside.cell[voxel])
            inside.cell[voxel] = -1
    for k in range(rows.counts[0]):
        _place(inside, graph.position, cells, rows.changed[k])
    for k in range(graph.moves[0]):
        if sites.alive[graph.moved[k]]:
            _place(inside, graph.position, cells, graph.moved[k])
    compared = 0
    for k in range(inside.counts[0]):
        cell = inside.dirty[k]
        empty = True
        for position_of in range(inside.start[cell], inside.start[cell + 1]):
            voxel = inside.candidate[position_of]
            if inside.cell[voxel] != cell:
                continue
            compared += 1
            row = rows.rows[voxel]
            for c in range(len(row)):
                if empty or row[c] > pooled.row[c]:
                    pooled.row[c] = row[c]
            empty = False
        if empty and not inside.keep_empty[0]:
            if cells.alive[cell]:
                leave(cells, cell, False)
            continue
        if empty:
            clear_row(pooled.row)
        if not cells.alive[cell]:
            arrive(cells, cell, cell)
        commit(cells, pooled, cell)
    return compared


@numba.njit(cache=True, nogil=True, error_model="numpy")
def join_cells(graph: VoxelGraph, edges: Edges, cells: Sites, inside: Cells, fine: VoxelGraph, voxels: Sites) -> int:
    """Bring the edges and positions of larger voxels up to date, after `pool_voxels` did so with what they hold.

    Args:
        graph: The graph of the larger voxels.
        edges: Where its `incoming` lists edges.
        cells: Its sites, in the transaction that `pool_voxels` began.
        inside: Which voxels a larger one holds.
        fine: The graph of the voxels.
        voxels: Its sites.

    Returns:
        Number of larger voxels that moved.
    """
    graph.moves[0] = 0
    for k in range(voxels.counts[TOUCHED]):
        cell = inside.cell[voxels.touched[k]]
        if cell >= 0:
            _note_cell(inside, cells, cell)
    for k in range(inside.counts[0]):
        cell = inside.dirty[k]
        _count_edges(graph, edges, cells, inside, fine, cell)
        if not graph.fixed[0] and _move(graph, inside, fine.position, cell):
            graph.moved[graph.moves[0]] = cell
            graph.moves[0] += 1
            touch(cells, cell)
            touch_readers(graph, cells, cell)
    return int(graph.moves[0])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _count_edges(graph: VoxelGraph, edges: Edges, cells: Sites, inside: Cells, fine: VoxelGraph, cell: int) -> None:
    """Count the edges from members of other cells to those of this one."""
    before, joined = graph.joined[cell].copy(), graph.joined[cell]
    joined[:] = 0
    width = graph.grid[0]
    for place in range(inside.start[cell], inside.start[cell + 1]):
        voxel = inside.candidate[place]
        if inside.cell[voxel] != cell:
            continue
        for k in range(len(fine.row)):
            if fine.joined[voxel, k] > 0:
                source = inside.cell[voxel + fine.row[k] * fine.grid[0] + fine.column[k]]
                across, down = source % width - cell % width, source // width - cell // width
                if source != cell:
                    joined[(down + graph.grid[3]) * (2 * graph.grid[2] + 1) + across + graph.grid[2]] += 1
    for k in range(len(joined)):
        if (joined[k] > 0) != (before[k] > 0):
            edges.degree[cell] += 1 if joined[k] > 0 else -1
            touch(cells, cell)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _move(graph: VoxelGraph, inside: Cells, position: NDArray[np.float64], cell: int) -> bool:
    """Put a larger voxel where the mean of its members is; whether that is elsewhere."""
    moved = False
    for d in range(graph.position.shape[1]):
        rounded, total, count = np.float32(0), 0.0, 0
        for place in range(inside.start[cell], inside.start[cell + 1]):
            voxel = inside.candidate[place]
            if inside.cell[voxel] == cell:
                rounded += np.float32(position[voxel, d])  # as torch sums and divides columns and rows, which decide on a place
                total += position[voxel, d]
                count += 1
        value = total / max(count, 1) if d == 2 else np.float64(rounded / np.float32(max(count, 1)))
        if count > 0 and value != graph.position[cell, d]:
            graph.position[cell, d] = value
            moved = True
    return moved


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _place(inside: Cells, position: NDArray[np.float64], cells: Sites, voxel: int) -> None:
    """Put a voxel into the cell at its position."""
    x, y = np.float32(position[voxel, 0]), np.float32(position[voxel, 1])
    column, row = np.int64(x / inside.size[0]), np.int64(y / inside.size[1])
    cell = row * inside.columns[0] + column
    if inside.cell[voxel] >= 0 and inside.cell[voxel] != cell:
        _note_cell(inside, cells, inside.cell[voxel])
    inside.cell[voxel] = cell
    _note_cell(inside, cells, cell)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _note_cell(inside: Cells, cells: Sites, cell: int) -> None:
    """Put a cell on the list of those that changed."""
    if inside.listed_in[cell] != cells.counts[TRANSACTION]:
        inside.listed_in[cell] = cells.counts[TRANSACTION]
        inside.dirty[inside.counts[0]] = cell
        inside.counts[0] += 1
