"""What an asynchronous network computes on: sites that come, change and go, and a row of features for each.

A *domain* is a set of sites: the events in the window, the voxels of a coarse graph, the cells of a map. A *transaction* is
one round through the network: some events arrive, some leave, and every layer brings its rows up to date for the sites that
this affects. Both are NamedTuples of arrays, so that one compiled function takes them all.
"""

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Indices = NDArray[np.int32]
Integers = NDArray[np.int64]

ARRIVED, LEFT, TOUCHED, WORK, TRANSACTION, WORKLIST = range(6)  # positions in Sites.counts
_TRANSIENT = -1


class Sites(NamedTuple):
    """The sites of a domain, and what the transaction at hand does to them.

    Attributes:
        id: Number of the site that holds a slot; slots are used again, numbers are not. int64 `[capacity]`.
        alive: Whether there is a site. bool `[capacity]`.
        born: Transaction in which it arrived; -1 if it left in the same one, and nobody needs it. int64 `[capacity]`.
        arrived: Slots of the sites that arrived, in order. int32 `[capacity]`.
        left: Slots of those that left, in order; their rows are still there. int32 `[capacity]`.
        touched: Slots of those whose neighbours changed, came or went. int32 `[capacity]`.
        work: Slots of those that the layer at hand has to compute. int32 `[capacity]`.
        touched_in: Transaction that touched a site last. int64 `[capacity]`.
        listed_in: Worklist that a site was put on last. int64 `[capacity]`.
        counts: Lengths of `arrived`, `left`, `touched` and `work`; number of the transaction and of the worklist. int64 `[6]`.
    """

    id: Integers
    alive: NDArray[np.bool_]
    born: Integers
    arrived: Indices
    left: Indices
    touched: Indices
    work: Indices
    touched_in: Integers
    listed_in: Integers
    counts: Integers


class Rows(NamedTuple):
    """Features of a domain's sites.

    Attributes:
        rows: A row a slot, float32 `[capacity, C]`.
        changed: Slots whose row is new or differs from before the transaction, those that arrived first and in order. int32 `[capacity]`.
        counts: Length of `changed`, int64 `[1]`.
        row: The row that is being computed, float32 `[C]`.
    """

    rows: Floats
    changed: Indices
    counts: Integers
    row: Floats


class Edges(NamedTuple):
    """The edges into one site, as a graph's `incoming` lists them.

    Attributes:
        source: Slots of their sources, int32 `[capacity]`.
        offset: Position of the source relative to the site, mapped to [0, 1] (and beyond), float32 `[capacity, 3]`.
        degree: Number of edges into every site, int32 `[capacity]`.
        tag: The site that is listed, the transaction, the number of edges, and how often anything was listed. int64 `[4]`.
    """

    source: Indices
    offset: Floats
    degree: Indices
    tag: Integers


PER_SITE = {"id": 0, "alive": False, "born": 0, "arrived": 0, "left": 0, "touched": 0, "work": 0, "touched_in": 0, "listed_in": 0}
"""What the arrays of `Sites` that have an entry a slot hold where there is no site."""


def make_sites(capacity: int) -> Sites:
    """A domain without sites."""
    integers, indices = np.zeros((4, capacity), np.int64), np.zeros((4, capacity), np.int32)
    number, born, touched_in, listed_in = (integers[k].copy() for k in range(4))
    arrived, left, touched, work = (indices[k].copy() for k in range(4))
    return Sites(number, np.zeros(capacity, np.bool_), born, arrived, left, touched, work, touched_in, listed_in, np.zeros(6, np.int64))


def make_rows(capacity: int, channels: int) -> Rows:
    """Rows of zeros."""
    return Rows(
        np.zeros((capacity, channels), np.float32), np.zeros(capacity, np.int32), np.zeros(1, np.int64), np.zeros(channels, np.float32)
    )


def make_edges(capacity: int) -> Edges:
    """No edges."""
    return Edges(np.zeros(capacity, np.int32), np.zeros((capacity, 3), np.float32), np.zeros(capacity, np.int32), np.full(4, -1, np.int64))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def copy_row(out: Floats, row: Floats) -> None:
    """`out[:] = row`, which takes numba longer to compile than all else: it makes code for broadcasting, and for its errors."""
    for c in range(len(out)):
        out[c] = row[c]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def clear_row(out: Floats) -> None:
    """`out[:] = 0`, for the same reason."""
    for c in range(len(out)):
        out[c] = np.float32(0)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def begin(sites: Sites) -> None:
    """Begin a transaction: nothing has happened yet."""
    sites.counts[ARRIVED] = sites.counts[LEFT] = sites.counts[TOUCHED] = 0
    sites.counts[TRANSACTION] += 1


@numba.njit(cache=True, nogil=True, error_model="numpy")
def begin_fixed(sites: Sites) -> None:
    """Begin a transaction of a domain whose sites are always there; in the first they arrive."""
    begin(sites)
    if sites.counts[TRANSACTION] == 1:
        for site in range(len(sites.id)):
            arrive(sites, site, site)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def arrive(sites: Sites, slot: int, number: int) -> None:
    """A site takes a slot."""
    sites.id[slot] = number
    sites.alive[slot] = True
    sites.born[slot] = sites.counts[TRANSACTION]
    sites.arrived[sites.counts[ARRIVED]] = slot
    sites.counts[ARRIVED] += 1


@numba.njit(cache=True, nogil=True, error_model="numpy")
def leave(sites: Sites, slot: int, compute: bool) -> None:
    """A site leaves; with `compute`, one that arrived in this transaction is computed all the same."""
    sites.alive[slot] = False
    if sites.born[slot] != sites.counts[TRANSACTION]:
        sites.left[sites.counts[LEFT]] = slot
        sites.counts[LEFT] += 1
    elif not compute:
        sites.born[slot] = _TRANSIENT


@numba.njit(cache=True, nogil=True, error_model="numpy")
def touch(sites: Sites, slot: int) -> None:
    """A site's neighbours changed."""
    if sites.touched_in[slot] != sites.counts[TRANSACTION]:
        sites.touched_in[slot] = sites.counts[TRANSACTION]
        sites.touched[sites.counts[TOUCHED]] = slot
        sites.counts[TOUCHED] += 1


@numba.njit(cache=True, nogil=True, error_model="numpy")
def open_worklist(sites: Sites, rows: Rows) -> None:
    """Begin the worklist of a layer that writes `rows`: the sites that arrived, in order."""
    rows.counts[0] = 0
    sites.counts[WORK] = 0
    sites.counts[WORKLIST] += 1
    for k in range(sites.counts[ARRIVED]):
        add(sites, sites.arrived[k])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def add(sites: Sites, slot: int) -> None:
    """Put a site on the worklist, once, and if it is there to be computed."""
    if sites.listed_in[slot] != sites.counts[WORKLIST] and (sites.alive[slot] or sites.born[slot] == sites.counts[TRANSACTION]):
        sites.listed_in[slot] = sites.counts[WORKLIST]
        sites.work[sites.counts[WORK]] = slot
        sites.counts[WORK] += 1


@numba.njit(cache=True, nogil=True, error_model="numpy")
def add_changed(sites: Sites, rows: Rows) -> None:
    """Put the sites on the worklist whose row changed."""
    for k in range(rows.counts[0]):
        add(sites, rows.changed[k])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def add_touched(sites: Sites) -> None:
    """Put the sites on the worklist whose neighbours changed."""
    for k in range(sites.counts[TOUCHED]):
        add(sites, sites.touched[k])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def commit(sites: Sites, rows: Rows, slot: int) -> None:
    """Keep the row that was computed for a site, and note it if it differs or is the first."""
    changed = sites.born[slot] == sites.counts[TRANSACTION]
    kept, row = rows.rows, rows.row
    for c in range(len(row)):
        if kept[slot, c] != row[c]:
            changed = True
            kept[slot, c] = row[c]
    if changed:
        rows.changed[rows.counts[0]] = slot
        rows.counts[0] += 1
