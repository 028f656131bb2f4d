"""Which cells of a map a window reads, and which sites there are where not all of them count.

A layer whose windows move over a map, a convolution or a pool, reads one cell of its input through each *tap* of the window. The cells of a
map have the slots 0, 1, 2…, row by row. On a dense map all of them are sites, always; on a sparse map only the active ones are.
"""

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from eventzoo.kernels.asynchronous.sites import (
    ARRIVED,
    LEFT,
    TOUCHED,
    Edges,
    Floats,
    Indices,
    Integers,
    Rows,
    Sites,
    add,
    arrive,
    begin,
    begin_fixed,
    clear_row,
    commit,
    copy_row,
    leave,
    touch,
)


class Taps(NamedTuple):
    """Which cells a layer's windows read.

    Attributes:
        reads: The cell of the input that each tap of each cell of the output reads, -1 beyond the map's edge; int32 `[cells out, taps]`.
        feeds: The cell of the output that reads each cell of the input by each tap, -1 if none does; int32 `[cells in, taps]`.
    """

    reads: Indices
    feeds: Indices


class Pool(NamedTuple):
    """What a maximum begins with, float32 `[1]`: least number, or zero."""

    least: Floats


class Copies(NamedTuple):
    """A map of another size made of copies.

    Attributes:
        first: Position of the first copy of each cell of the input, int32 `[cells in + 1]`.
        copies: The cells of the output that are copies, by the input's cells, int32 `[cells out]`.
    """

    first: Indices
    copies: Indices


def make_taps(
    size: tuple[int, ...],
    kernel_size: tuple[int, ...],
    stride: tuple[int, ...] | None = None,
    padding: tuple[int, ...] | None = None,
    dilation: tuple[int, ...] | None = None,
    out_size: tuple[int, ...] | None = None,
) -> tuple[Taps, tuple[int, ...]]:
    """Which cells a window reads, cells and taps row by row.

    Args:
        size: `(width, height)` of the input, or `(width, height, frames)`.
        kernel_size: `(height, width)` of the window, or `(frames, height, width)`, as all that follow.
        stride: Cells from one place of the window to the next; default 1.
        padding: Zeros above and to the left of the map; without `out_size`, as many below and to the right. Default 0.
        dilation: Cells from one tap to the next; default 1.
        out_size: The output's, in the order of `size`, if padding differs from side to side.

    Returns:
        The taps, and the size of the output in the order of `size`.
    """
    shape, ones = np.array(size[::-1]), np.ones(len(size), np.int64)
    by, before, step = (ones * (value if value is not None else k) for value, k in ((stride, 1), (padding, 0), (dilation, 1)))
    spans = step * (np.array(kernel_size) - 1) + 1
    sides = np.array(out_size[::-1]) if out_size else (shape + 2 * before - spans) // by + 1
    taps, places = (np.indices(tuple(extent)).reshape(len(size), -1).T for extent in (kernel_size, sides))
    at = places[:, None] * by - before + taps * step
    inside = ((at >= 0) & (at < shape)).all(-1)
    reads = np.where(inside, np.ravel_multi_index(tuple(np.moveaxis(at, -1, 0)), tuple(shape), mode="clip"), -1).astype(np.int32)
    feeds = np.full((int(shape.prod()), len(taps)), -1, np.int32)
    cell, tap = np.nonzero(inside)
    feeds[reads[cell, tap], tap] = cell
    return Taps(reads, feeds), tuple(sides[::-1].tolist())


@numba.njit(cache=True, nogil=True, error_model="numpy")
def incoming(taps: Taps, edges: Edges, sites: Sites, cell: int) -> int:  # noqa: ARG001  # they are counted beforehand
    """How many sites a cell reads; which they are, `reads` tells."""
    return int(edges.degree[cell])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def add_readers(taps: Taps, outputs: Sites, cells: Indices, count: int) -> None:
    """Put the sites on the worklist that read any of these cells."""
    for k in range(count):
        for tap in range(taps.feeds.shape[1]):
            reader = taps.feeds[cells[k], tap]
            if reader >= 0:
                add(outputs, reader)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def count_readers(taps: Taps, edges: Edges, inputs: Sites, outputs: Sites) -> int:
    """Count the sites that each cell reads, after some arrived and left, and touch the sites that read those. No work to speak of: 0."""
    for k in range(inputs.counts[ARRIVED]):
        _count(taps, edges, outputs, inputs.arrived[k], 1)
    for k in range(inputs.counts[LEFT]):
        _count(taps, edges, outputs, inputs.left[k], -1)
    return 0


@numba.njit(cache=True, nogil=True, error_model="numpy")
def follow_sites(taps: Taps, edges: Edges, inputs: Sites, outputs: Sites) -> int:
    """Let the output's sites be the cells that read a site of the input; their transaction begins here. No work to speak of: 0."""
    begin(outputs)
    count_readers(taps, edges, inputs, outputs)
    for k in range(outputs.counts[TOUCHED]):
        cell = outputs.touched[k]
        if edges.degree[cell] > 0 and not outputs.alive[cell]:
            arrive(outputs, cell, cell)
        elif edges.degree[cell] == 0 and outputs.alive[cell]:
            leave(outputs, cell, False)
    return 0


@numba.njit(cache=True, nogil=True, error_model="numpy")
def begin_map(outputs: Sites) -> int:
    """Begin the transaction of a dense map. No work to speak of: 0."""
    begin_fixed(outputs)
    return 0


@numba.njit(cache=True, nogil=True, error_model="numpy")
def find_active(x: Rows, outputs: Sites, rows: Rows) -> int:
    """Let the sites be the cells of a dense map where any feature is not zero; how many cells were looked at."""
    begin(outputs)
    rows.counts[0] = 0
    for k in range(x.counts[0]):
        cell = x.changed[k]
        copy_row(rows.row, x.rows[cell])
        active = False
        for c in range(len(rows.row)):
            active = active or rows.row[c] != 0
        if active:
            if not outputs.alive[cell]:
                arrive(outputs, cell, cell)
            commit(outputs, rows, cell)
        elif outputs.alive[cell]:
            leave(outputs, cell, False)
    return int(x.counts[0])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def fill_map(x: Rows, inputs: Sites, outputs: Sites, rows: Rows) -> int:
    """Make a dense map of a sparse one, zero where there is no site; how many cells were written."""
    begin_fixed(outputs)
    rows.counts[0] = 0
    clear_row(rows.row)
    arrived = outputs.counts[ARRIVED]  # all of them in the first transaction, else none
    for cell in range(arrived):
        if not inputs.alive[cell]:
            commit(outputs, rows, cell)
    for k in range(inputs.counts[LEFT]):
        if arrived == 0:
            commit(outputs, rows, inputs.left[k])
    for k in range(x.counts[0]):
        cell = x.changed[k]
        copy_row(rows.row, x.rows[cell])
        commit(outputs, rows, cell)
    return int(arrived + inputs.counts[LEFT] + x.counts[0])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def copy_cells(copies: Copies, x: Rows, outputs: Sites, rows: Rows) -> int:
    """Bring the copies of the cells up to date that changed; how many were written."""
    begin_fixed(outputs)
    rows.counts[0] = 0
    written = 0
    for k in range(x.counts[0]):
        cell = x.changed[k]
        for at in range(copies.first[cell], copies.first[cell + 1]):
            copy_row(rows.row, x.rows[cell])
            commit(outputs, rows, copies.copies[at])
            written += 1
    return written


@numba.njit(cache=True, nogil=True, error_model="numpy")
def largest(
    pool: Pool,
    taps: Taps,
    alive: NDArray[np.bool_],
    x: Floats,
    cell: int,
    edges: Edges,  # noqa: ARG001  # reads tells which cells there are
    count: int,  # noqa: ARG001
    out: Floats,
) -> None:
    """A site's row: the maximum of the sites that its taps read."""
    for c in range(len(out)):
        out[c] = pool.least[0]
    for tap in range(taps.reads.shape[1]):
        source = taps.reads[cell, tap]
        if source >= 0 and alive[source]:
            row = x[source]
            for c in range(len(out)):
                out[c] = max(out[c], row[c])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def has_changed(x: Integers, output: Integers) -> bool:
    """Whether any row of a layer's input has changed, by the `counts` of its rows; of its output's, none has so far."""
    output[0] = 0
    return bool(x[0] > 0)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def largest_of_all(x: Rows, one: Sites, output: Rows) -> int:
    """Bring the maximum over all cells of a dense map up to date; how many cells were compared."""
    rows, row = x.rows, output.row
    copy_row(row, rows[0])
    for cell in range(1, len(rows)):
        for c in range(len(row)):
            row[c] = max(row[c], rows[cell, c])
    commit(one, output, 0)
    return len(rows)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _count(taps: Taps, edges: Edges, outputs: Sites, cell: int, change: int) -> None:
    for tap in range(taps.feeds.shape[1]):
        reader = taps.feeds[cell, tap]
        if reader >= 0:
            edges.degree[reader] += change
            touch(outputs, reader)
