"""Max pooling of voxels into the cells of a map, kept up to date; a voxel moves with its events."""

from typing import NamedTuple

import numba
import numpy as np

from eventzoo.kernels.sites import LEFT, TRANSACTION, Floats, Indices, Integers, Rows, Sites, begin_fixed, clear_row, commit
from eventzoo.kernels.voxel_graph import VoxelGraph


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
    """

    cell: Indices
    start: Integers
    candidate: Indices
    dirty: Indices
    listed_in: Integers
    counts: Integers
    size: Floats
    columns: Integers


@numba.njit(cache=True, nogil=True, error_model="numpy")
def pool_voxels(inside: Cells, graph: VoxelGraph, sites: Sites, rows: Rows, cells: Sites, pooled: Rows) -> int:
    """Bring the cells' maxima up to date; a cell without voxels is zero.

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
    begin_fixed(cells)
    pooled.counts[0] = 0
    inside.counts[0] = 0
    if cells.counts[TRANSACTION] == 1:
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
        if empty:
            clear_row(pooled.row)
        commit(cells, pooled, cell)
    return compared


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _place(inside: Cells, position: Floats, cells: Sites, voxel: int) -> None:
    """Put a voxel into the cell at its position."""
    column, row = np.int64(position[voxel, 0] / inside.size[0]), np.int64(position[voxel, 1] / inside.size[1])
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
