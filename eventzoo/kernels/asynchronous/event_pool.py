"""Max pooling of events into voxels or cells, kept up to date."""

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from eventzoo.kernels.asynchronous.sites import (
    LEFT,
    TRANSACTION,
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
    copy_row,
    leave,
)
from eventzoo.kernels.asynchronous.streaming_graph import StreamingGraph


class Members(NamedTuple):
    """Which events a cell holds: a chain, oldest first, and so the first to leave.

    Attributes:
        column: Cell's column of each pixel's x, int64 `[width]`.
        row: Cell's row of each pixel's y, times the number of columns, int64 `[height]`.
        oldest: Number of a cell's oldest event, int64 `[cells]`.
        newest: Number of its newest, int64 `[cells]`.
        size: Number of its events, int64 `[cells]`.
        next: Number of the next event of the same cell, int64 `[capacity]`.
        inside: Whether an event is in its cell's chain, bool `[capacity]`.
        top: Maximum of each channel, float32 `[cells, C]`.
        holder: Number of an event that has it, int64 `[cells, C]`.
        stale: Whether the maximum has to be searched for, bool `[cells, C]`.
        dirty: Cells whose events changed, came or went, int32 `[cells]`.
        listed_in: Transaction that put a cell on that list, int64 `[cells]`.
        counts: Length of `dirty`. int64 `[1]`.
        keep_empty: Whether a cell without events is there, with zeros. bool `[1]`.
    """

    column: Integers
    row: Integers
    oldest: Integers
    newest: Integers
    size: Integers
    next: Integers
    inside: NDArray[np.bool_]
    top: Floats
    holder: Integers
    stale: NDArray[np.bool_]
    dirty: Indices
    listed_in: Integers
    counts: Integers
    keep_empty: NDArray[np.bool_]


PER_SITE = {"next": -1, "inside": False}


def make_members(column: Integers, row: Integers, cells: int, channels: int, capacity: int, keep_empty: bool) -> Members:
    """Cells without events.

    Args:
        column: Cell's column of each pixel's x, int64 `[width]`.
        row: Cell's row of each pixel's y, times the number of columns, int64 `[height]`.
        cells: Number of cells.
        channels: Features of an event.
        capacity: Slots for events.
        keep_empty: Whether a cell without events is there, with zeros.
    """
    return Members(
        column,
        row,
        np.full(cells, -1, np.int64),
        np.full(cells, -1, np.int64),
        np.zeros(cells, np.int64),
        np.full(capacity, -1, np.int64),
        np.zeros(capacity, np.bool_),
        np.zeros((cells, channels), np.float32),
        np.full((cells, channels), -1, np.int64),
        np.zeros((cells, channels), np.bool_),
        np.zeros(cells, np.int32),
        np.zeros(cells, np.int64),
        np.zeros(1, np.int64),
        np.array([keep_empty]),
    )


@numba.njit(cache=True, nogil=True, error_model="numpy")
def pool_events(members: Members, graph: StreamingGraph, sites: Sites, rows: Rows, cells: Sites, pooled: Rows) -> int:
    """Bring the cells' maxima up to date.

    Args:
        members: Which events a cell holds.
        graph: Where the events are.
        sites: Its sites.
        rows: Their features.
        cells: The cells; their transaction begins here.
        pooled: The cells' features.

    Returns:
        Number of events that were compared.
    """
    if members.keep_empty[0]:
        begin_fixed(cells)
    else:
        begin(cells)
    pooled.counts[0] = 0
    members.counts[0] = 0
    if members.keep_empty[0] and cells.counts[TRANSACTION] == 1:
        for cell in range(len(members.size)):
            _note(members, cells, cell)
    mask = len(sites.id) - 1
    channels = members.top.shape[1]
    for k in range(sites.counts[LEFT]):
        slot = sites.left[k]
        if not members.inside[slot]:
            continue
        cell = members.row[graph.y[slot]] + members.column[graph.x[slot]]
        members.inside[slot] = False
        members.oldest[cell] = members.next[slot]
        members.size[cell] -= 1
        _note(members, cells, cell)
        for c in range(channels):
            if members.holder[cell, c] == sites.id[slot]:
                members.stale[cell, c] = True
    for k in range(rows.counts[0]):
        slot = rows.changed[k]
        if not sites.alive[slot]:
            continue
        number = sites.id[slot]
        cell = members.row[graph.y[slot]] + members.column[graph.x[slot]]
        _note(members, cells, cell)
        if not members.inside[slot]:
            members.inside[slot] = True
            members.next[slot] = -1
            if members.size[cell] == 0:
                members.oldest[cell] = number
                for c in range(channels):
                    members.holder[cell, c], members.stale[cell, c] = -1, False
            else:
                members.next[members.newest[cell] & mask] = number
            members.newest[cell] = number
            members.size[cell] += 1
        row, top, holder = rows.rows[slot], members.top[cell], members.holder[cell]
        for c in range(channels):
            if row[c] > top[c] or holder[c] == -1:
                top[c], holder[c] = row[c], number
            elif holder[c] == number:
                members.stale[cell, c] = True
    compared = rows.counts[0]
    for k in range(members.counts[0]):
        cell = members.dirty[k]
        if members.size[cell] == 0:
            if members.keep_empty[0]:
                clear_row(pooled.row)
                commit(cells, pooled, cell)
            elif cells.alive[cell]:
                leave(cells, cell, False)
            continue
        if not cells.alive[cell]:
            arrive(cells, cell, cell)
        compared += _search(members, cell, rows, mask)
        copy_row(pooled.row, members.top[cell])
        commit(cells, pooled, cell)
    return int(compared)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _note(members: Members, cells: Sites, cell: int) -> None:
    """Put a cell on the list of those that changed."""
    if members.listed_in[cell] != cells.counts[TRANSACTION]:
        members.listed_in[cell] = cells.counts[TRANSACTION]
        members.dirty[members.counts[0]] = cell
        members.counts[0] += 1


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _search(members: Members, cell: int, rows: Rows, mask: int) -> int:
    """Search a cell's events for the maxima that were lost; how many events were looked at."""
    stale, top, holder = members.stale[cell], members.top[cell], members.holder[cell]
    looked_at = 0
    for c in range(len(top)):
        if not stale[c]:
            continue
        number = members.oldest[cell]
        top[c], holder[c] = rows.rows[number & mask, c], number
        for _ in range(members.size[cell] - 1):
            number = members.next[number & mask]
            value = rows.rows[number & mask, c]
            if value > top[c]:
                top[c], holder[c] = value, number
        stale[c] = False
        looked_at = members.size[cell]
    return looked_at
