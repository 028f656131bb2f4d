"""Radius graphs of events: every event is joined to the events near it in space and time.

Events are placed at (x, y, scaled time). Two are neighbours if they are closer than the radius: dx² + dy² + dt² < r², every
term and sum in float32, strictly. Of two events, dt is the difference of their times, exact in whole microseconds, times the
scale in float64, rounded to float32 once: so two events are neighbours or not wherever a recording begins, and a stream and any
window of it agree. Time order makes the search cheap: a linked chain a pixel, newest event first, so that an event looks at the
few pixels within the radius and leaves each chain at the first event that is too old.
"""

import numba
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.integer]
Times = NDArray[np.int64] | NDArray[np.float32]
Time = np.int64 | np.float32
Edges = NDArray[np.int64]
Nodes = NDArray[np.signedinteger]  # indices of events
Offsets = NDArray[np.int64]
Squares = NDArray[np.float32]

UNLIMITED = np.iinfo(np.int32).max
RING = 32  # most slots of a pixel's ring: 128 bytes, two cache lines


def radius_graph(
    x: Pixels, y: Pixels, t: Times, radius: float, max_neighbors: int | None = None, *, causal: bool, time_scale: float = 1.0
) -> Edges:
    """Edges between events that are closer than `radius`, without self-loops.

    An event is joined to earlier events only as it comes: to the `max_neighbors` most recent ones within the radius. The
    causal graph has these edges from the past to the event; the symmetric graph has them in both directions. So the limit
    never looks at the future, an event's arrival removes no edge, and the first n events have the same graph whatever
    follows. Earlier means a lower index: events of equal time follow their order.

    Args:
        x: Columns, whole pixels `[N]`, not negative.
        y: Rows, whole pixels `[N]`, not negative.
        t: Times `[N]`, non-decreasing: int64 microseconds, or float32.
        radius: Largest distance, exclusive, in pixels.
        max_neighbors: Most earlier neighbours of an event; None for all.
        causal: Whether edges only lead from the past to the present.
        time_scale: Pixels a unit of time.

    Returns:
        Source and target of each edge, int64 `[2, E]`, sorted by target, then by source.
    """
    if len(t) == 0:
        return np.empty((2, 0), np.int64)
    limit = UNLIMITED if max_neighbors is None else max_neighbors
    start, source = _earlier(x, y, t, float(time_scale), np.float32(radius), limit, int(x.max()) + 1, int(y.max()) + 1)
    edges: Edges = _directed(start, source) if causal else _mirrored(start, source)
    return edges


@numba.njit(cache=True, nogil=True)
def relative_positions(x: Pixels, y: Pixels, t: Times, edges: Edges, scale: float, time_scale: float = 1.0) -> NDArray[np.float32]:
    """Offset from target to source of every edge, mapped from [-scale, scale] to [0, 1].

    Args:
        x: Columns `[N]`.
        y: Rows `[N]`.
        t: Times `[N]`: int64 microseconds, or float32.
        edges: Source and target of each edge `[2, E]`.
        scale: Largest absolute offset, in pixels.
        time_scale: Pixels a unit of time.

    Returns:
        float32 `[E, 3]`: dx, dy, dt.
    """
    offsets = np.empty((edges.shape[1], 3), np.float32)
    span = np.float32(2.0 * scale)
    half = np.float32(0.5)
    for e in range(edges.shape[1]):
        j, i = edges[0, e], edges[1, e]
        offsets[e, 0] = np.float32(np.int64(x[j]) - np.int64(x[i])) / span + half
        offsets[e, 1] = np.float32(np.int64(y[j]) - np.int64(y[i])) / span + half
        offsets[e, 2] = np.float32((t[j] - t[i]) * time_scale) / span + half
    return offsets


@numba.njit(cache=True, nogil=True)
def disc(radius: np.float32, stride: int) -> tuple[int, Offsets, Squares]:
    """The pixels closer than `radius` to a pixel: their offsets in a grid of row length `stride`, and squared distances."""
    reach = int(np.ceil(radius)) - 1  # pixels are whole, so a distance below r is at most ceil(r) - 1
    offset = np.empty((2 * reach + 1) ** 2, np.int64)
    square = np.empty(len(offset), np.float32)
    count = 0
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            in_plane = np.float32(dx * dx + dy * dy)
            if in_plane < radius * radius:
                offset[count], square[count] = dy * stride + dx, in_plane
                count += 1
    return reach, offset[:count], square[:count]


@numba.njit(cache=True, nogil=True)
def _earlier(
    x: Pixels, y: Pixels, t: Times, time_scale: float, radius: np.float32, limit: int, width: int, height: int
) -> tuple[Offsets, Nodes]:
    """Earlier neighbours of every event, ascending: `source[start[i]:start[i + 1]]`.

    Every pixel has a ring of the latest events in the disc around it, so that an event finds its neighbours in one place
    and in order. Where a ring has forgotten an event that may yet be a neighbour, the chains of all pixels are searched.
    """
    n = len(t)
    stride = width + 2 * int(np.ceil(radius))
    reach, offset, square = disc(radius, stride)
    bound = radius * radius
    cells = stride * (height + 2 * reach)
    slots = 1
    while slots < min(limit, RING):
        slots *= 2
    ring = np.empty(cells * slots, np.int32)
    seen = np.zeros(cells, np.int32)
    newest = np.full(cells, -1, np.int32)
    older = np.empty(n, np.int32)
    start = np.zeros(n + 1, np.int64)
    source: Nodes = np.empty(n * min(limit, RING) + 1, np.int32)
    count = 0
    for i in range(n):
        xi, yi, ti = np.int64(x[i]), np.int64(y[i]), t[i]
        pixel = (yi + reach) * stride + xi + reach
        first = count
        held = min(seen[pixel], slots)
        if count + min(limit, held) > len(source):
            source = np.concatenate((source, np.empty(len(source), np.int32)))
        dt = np.float32(0)
        for back in range(1, held + 1):
            j = ring[pixel * slots + ((seen[pixel] - back) & (slots - 1))]
            dx, dy, dt = np.float32(x[j] - xi), np.float32(y[j] - yi), np.float32((t[j] - ti) * time_scale)
            if dx * dx + dy * dy + dt * dt < bound:
                source[count] = j
                count += 1
                if count - first == limit:
                    break
        if count - first < limit and seen[pixel] > slots and dt * dt < bound:  # dt: of the oldest event that the ring remembers
            count, source = search_chains(pixel, ti, t, time_scale, bound, limit, offset, square, newest, older, 0, -1, source, first)
            source[first:count].sort()
        else:
            source[first:count] = source[first:count][::-1].copy()
        start[i + 1] = count
        older[i] = newest[pixel]
        newest[pixel] = i
        for k in range(len(offset)):
            cell = pixel + offset[k]
            ring[cell * slots + (seen[cell] & (slots - 1))] = i
            seen[cell] += 1
    return start, source[:count]


@numba.njit(cache=True, nogil=True)
def search_chains(
    pixel: np.int64,
    now: Time,
    t: Times,
    time_scale: float,
    bound: np.float32,
    limit: int,
    offset: Offsets,
    square: Squares,
    newest: Nodes,
    older: Nodes,
    oldest: int,
    mask: int,
    source: Nodes,
    first: int,
) -> tuple[int, Nodes]:
    """Write the latest `limit` neighbours of an event to `source[first:]`, in any order.

    Args:
        pixel: Cell of the event in a grid with a margin of the radius.
        now: Time of the event.
        t: Times of the events by index & mask.
        time_scale: Pixels a unit of time.
        bound: Square of the radius.
        limit: Most neighbours; `UNLIMITED` for all.
        offset: Cells of the disc relative to the event's own.
        square: Their squared distances.
        newest: Index of the latest event of each cell, or less than `oldest` where there is none.
        older: Index of the event before each event at its cell, by index & mask; less than `oldest` where there is none.
        oldest: Least index of an event that counts.
        mask: -1 for arrays of all events; their length - 1 for rings whose length is a power of two.
        source: Where the indices go. It is replaced by a longer copy where it is too short.
        first: Where they begin.

    Returns:
        Where they end, and `source`.
    """
    count = first
    for k in range(len(offset)):
        j = newest[pixel + offset[k]]
        while j >= oldest:
            dt = np.float32((t[j & mask] - now) * time_scale)
            if square[k] + dt * dt >= bound:
                break
            if count - first < limit:
                if count == len(source):
                    source = np.concatenate((source, np.empty_like(source)))
                source[count] = j
                count += 1
                if count - first == limit:
                    for at in range(limit // 2 - 1, -1, -1):
                        _sift_down(source, first, count, at)
            elif j > source[first]:
                source[first] = j
                _sift_down(source, first, count, 0)
            else:
                break
            j = older[j & mask]
    return count, source


@numba.njit(cache=True, nogil=True)
def _sift_down(heap: Nodes, first: int, last: int, at: int) -> None:
    """Restore the min-heap `heap[first:last]` below position `at`."""
    value = heap[first + at]
    size = last - first
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and heap[first + child + 1] < heap[first + child]:
            child += 1
        if heap[first + child] >= value:
            break
        heap[first + at] = heap[first + child]
        at = child
    heap[first + at] = value


@numba.njit(cache=True, nogil=True)
def _directed(start: Offsets, source: Nodes) -> Edges:
    edges = np.empty((2, len(source)), np.int64)
    for i in range(len(start) - 1):
        for e in range(start[i], start[i + 1]):
            edges[0, e] = source[e]
            edges[1, e] = i
    return edges


@numba.njit(cache=True, nogil=True)
def _mirrored(start: Offsets, source: Nodes) -> Edges:
    """Both directions of every edge. A row holds its earlier neighbours, then its later ones, both ascending."""
    n = len(start) - 1
    row = np.zeros(n + 1, np.int64)
    for e in range(len(source)):
        row[source[e] + 1] += 1
    for i in range(n):
        row[i + 1] += row[i] + start[i + 1] - start[i]
    edges = np.empty((2, 2 * len(source)), np.int64)
    free = np.empty(n, np.int64)
    for i in range(n):
        at = row[i]
        for e in range(start[i], start[i + 1]):
            j = source[e]
            edges[0, at] = j
            at += 1
            edges[0, free[j]] = i
            free[j] += 1
        free[i] = at
        edges[1, row[i] : row[i + 1]] = i
    return edges
