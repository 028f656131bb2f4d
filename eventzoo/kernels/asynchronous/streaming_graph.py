"""The event graph of a window that moves over a stream: events arrive at its end and leave at its beginning.

It has the edges of `radius_graph` on the events in the window. Events are numbered as they come; number n has the slot
n mod capacity, so arrays are rings. The edges into an event from earlier ones lie side by side in another ring, oldest source
first: as the oldest event of the window leaves first, edges too leave at the beginning of their block. The edges out of an
event to later ones are chained, newest first.
"""

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from eventzoo.kernels.asynchronous.sites import (
    ARRIVED,
    TRANSACTION,
    Edges,
    Indices,
    Integers,
    Rows,
    Sites,
    add,
    arrive,
    begin,
    leave,
    touch,
)
from eventzoo.kernels.radius_graph import UNLIMITED, disc, search_chains

FIRST, LAST, EDGE_FIRST, EDGE_LAST, EDGE_KEPT, NOW, BASE = range(7)  # positions in StreamingGraph.at
NEVER = np.iinfo(np.int64).min


class StreamingGraph(NamedTuple):
    """The graph's state, see `make_streaming_graph`.

    Attributes:
        x: Columns, int64 `[capacity]`.
        y: Rows, int64 `[capacity]`.
        t: Microseconds since the first event of the stream, int64 `[capacity]`.
        start: Position of the first edge from an earlier event, int64 `[capacity]`.
        earlier: Number of edges from earlier events, int32 `[capacity]`.
        out: Position of the newest edge to a later event, -1 for none, int64 `[capacity]`.
        older: Number of the event before this at the same pixel, -1 for none, int64 `[capacity]`.
        source: Number of an edge's source, int64 `[edges]`.
        target: Number of its target, int64 `[edges]`.
        next_out: Position of the next older edge out of the same source, int64 `[edges]`.
        newest: Number of the newest event at a pixel, -1 for none, int64 `[padded sensor]`.
        near: Pixels closer than the radius: their offsets in `newest`, int64 `[disc]`.
        square: Their squared distances, float32 `[disc]`.
        found: Room for the neighbours of an event, int64 `[capacity]`.
        at: Numbers of the oldest event and of the next one, positions of the oldest edge, of the next one, and of the oldest one that
            may not be overwritten in this transaction; the time, and that of the first event, in microseconds. int64 `[7]`.
        shape: Row length and border of `newest`, limit of earlier neighbours, window in events, window in microseconds. int64 `[5]`.
        causal: Whether edges lead from the past to the present only. bool `[1]`.
        final: Whether an event is computed once, and keeps its edges. bool `[1]`.
        radius: Largest distance of neighbours, exclusive, in pixels. float32 `[1]`.
        time_scale: Pixels a microsecond. float64 `[1]`.
    """

    x: Integers
    y: Integers
    t: Integers
    start: Integers
    earlier: Indices
    out: Integers
    older: Integers
    source: Integers
    target: Integers
    next_out: Integers
    newest: Integers
    near: Integers
    square: NDArray[np.float32]
    found: Integers
    at: Integers
    shape: Integers
    causal: NDArray[np.bool_]
    final: NDArray[np.bool_]
    radius: NDArray[np.float32]
    time_scale: NDArray[np.float64]


STRIDE, BORDER, LIMIT, MOST_EVENTS, MOST_TIME = range(5)  # positions in StreamingGraph.shape
PER_SITE = {"x": 0, "y": 0, "t": 0, "start": 0, "earlier": 0, "out": -1, "older": -1, "found": 0}
PER_EDGE = {"source": 0, "target": 0, "next_out": -1}
ENDLESS = np.iinfo(np.int64).max


def make_streaming_graph(
    sensor_size: tuple[int, int],
    radius: float,
    max_neighbors: int | None,
    time_scale: float,
    causal: bool,
    window: tuple[int | None, int | None],
    final: bool,
    capacity: int,
    edge_capacity: int,
) -> StreamingGraph:
    """A graph without events.

    Args:
        sensor_size: `(width, height)` in pixels.
        radius: Largest distance of neighbours, exclusive, in pixels.
        max_neighbors: Most earlier neighbours of an event; None for all.
        time_scale: Pixels a microsecond.
        causal: Whether edges lead from the past to the present only.
        window: Most events, and most microseconds, that the window holds; None for no such limit.
        final: Whether an event is computed once, with the edges that it has when it comes.
        capacity: Slots for events, a power of two.
        edge_capacity: Slots for edges, a power of two.
    """
    width, height = sensor_size
    border = int(np.ceil(radius))
    stride = width + 2 * border
    _, near, square = disc(np.float32(radius), stride)
    limits = [UNLIMITED if max_neighbors is None else max_neighbors, *(ENDLESS if limit is None else limit for limit in window)]
    events, edges = np.zeros((3, capacity), np.int64), np.zeros((3, edge_capacity), np.int64)
    x, y, t = (row.copy() for row in events)
    source, target, next_out = (row.copy() for row in edges)
    graph = StreamingGraph(
        x,
        y,
        t,
        np.zeros(capacity, np.int64),
        np.zeros(capacity, np.int32),
        np.full(capacity, -1, np.int64),
        np.full(capacity, -1, np.int64),
        source,
        target,
        next_out,
        np.full(stride * (height + 2 * border), -1, np.int64),
        near,
        square,
        np.zeros(capacity, np.int64),
        np.zeros(7, np.int64),
        np.array([stride, border, *limits], np.int64),
        np.array([causal]),
        np.array([final]),
        np.array([radius], np.float32),
        np.array([time_scale], np.float64),
    )
    graph.at[NOW] = NEVER
    return graph


def edge_range(graph: StreamingGraph) -> tuple[int, int]:
    """Positions of the oldest edge and of the next one."""
    return int(graph.at[EDGE_FIRST]), int(graph.at[EDGE_LAST])


def positions(graph: StreamingGraph, slots: Integers) -> NDArray[np.float32]:
    """Where events are, time relative to the first of them: float32 `[N, 3]`."""
    t = (graph.t[slots] - graph.t[slots[:1]]) * graph.time_scale
    return np.stack([graph.x[slots], graph.y[slots], t], 1).astype(np.float32)


def window_events(graph: StreamingGraph, polarity: Rows) -> tuple[NDArray[np.int16], NDArray[np.int16], Integers, NDArray[np.bool_]]:
    """Columns, rows, times in microseconds and polarities of the events in the window, in order."""
    slots = np.arange(graph.at[FIRST], graph.at[LAST]) & (len(graph.x) - 1)
    x, y = graph.x[slots].astype(np.int16), graph.y[slots].astype(np.int16)
    return x, y, graph.t[slots] + graph.at[BASE], polarity.rows[slots, 0] > 0


@numba.njit(cache=True, nogil=True, error_model="numpy")
def push_events(
    graph: StreamingGraph,
    edges: Edges,
    sites: Sites,
    polarity: Rows,
    x: NDArray[np.int16],
    y: NDArray[np.int16],
    t: Integers,
    p: NDArray[np.bool_],
    first: int,
    last: int,
    now: int,
) -> int:
    """One transaction: events `first` to `last` arrive in turn, and before each, those leave that are no longer in its window.

    Args:
        graph: The graph.
        edges: Where its `incoming` lists edges.
        sites: Its events.
        polarity: Their features, ±1.
        x: Columns of a part of the stream.
        y: Rows.
        t: Times in microseconds.
        p: Polarities.
        first: Index of the first event to take.
        last: Index after the last.
        now: Time to which the clock is put first, in microseconds; `NEVER` to leave it.

    Returns:
        Index after the last event that was taken: there may be no room for more edges.
    """
    at = graph.at
    begin(sites)
    polarity.counts[0] = 0
    at[EDGE_KEPT] = at[EDGE_FIRST]
    if now != NEVER:
        _expire(graph, edges, sites, now, 0)
    mask, edge_mask = len(graph.x) - 1, len(graph.source) - 1
    found, causal = graph.found, graph.causal[0]  # compiled code counts references to an array when it takes it out of a tuple
    for i in range(first, last):
        if at[LAST] == 0:
            at[BASE] = t[i]
        _expire(graph, edges, sites, t[i], 1)
        number = at[LAST]
        slot = number & mask
        pixel = (y[i] + graph.shape[BORDER]) * graph.shape[STRIDE] + x[i] + graph.shape[BORDER]
        graph.x[slot], graph.y[slot], graph.t[slot] = x[i], y[i], t[i] - at[BASE]
        count, _ = search_chains(
            pixel,
            graph.t[slot],
            graph.t,
            graph.time_scale[0],
            graph.radius[0] * graph.radius[0],
            graph.shape[LIMIT],
            graph.near,
            graph.square,
            graph.newest,
            graph.older,
            at[FIRST],
            mask,
            found,
            0,
        )
        _sort(found, count)
        if at[EDGE_LAST] + count - at[EDGE_KEPT] > len(graph.source):
            return i
        at[LAST] += 1
        source, target, next_out, out, degree = graph.source, graph.target, graph.next_out, graph.out, edges.degree
        graph.start[slot] = at[EDGE_LAST]
        graph.earlier[slot] = count
        out[slot] = -1
        degree[slot] = count
        for k in range(count):
            neighbour = found[k]
            near, position = neighbour & mask, at[EDGE_LAST] + k
            e = position & edge_mask
            source[e], target[e], next_out[e] = neighbour, number, out[near]
            out[near] = position
            if not causal:
                degree[near] += 1
                touch(sites, near)
        at[EDGE_LAST] += count
        graph.older[slot] = graph.newest[pixel]
        graph.newest[pixel] = number
        arrive(sites, slot, number)
        polarity.rows[slot, 0] = np.float32(1) if p[i] else np.float32(-1)
    for k in range(sites.counts[ARRIVED]):
        slot = sites.arrived[k]
        if sites.alive[slot] or graph.final[0]:
            polarity.changed[polarity.counts[0]] = slot
            polarity.counts[0] += 1
    return last


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _sort(numbers: Integers, count: int) -> None:
    """Sort the first numbers, ascending. A few are sorted by insertion, which for them takes a fraction of the time."""
    if count > 64:
        numbers[:count].sort()
        return
    for k in range(1, count):
        number, place = numbers[k], k
        while place > 0 and numbers[place - 1] > number:
            numbers[place] = numbers[place - 1]
            place -= 1
        numbers[place] = number


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _expire(graph: StreamingGraph, edges: Edges, sites: Sites, now: int, coming: int) -> None:
    """Put the clock to `now`; the events leave that are too old for it, or too many with the ones that come."""
    at = graph.at
    at[NOW] = now
    mask = len(graph.x) - 1
    latest = now - at[BASE]
    while at[FIRST] < at[LAST] and (
        at[LAST] + coming - at[FIRST] > graph.shape[MOST_EVENTS] or latest - graph.t[at[FIRST] & mask] >= graph.shape[MOST_TIME]
    ):
        slot = at[FIRST] & mask
        if not graph.final[0]:
            e = graph.out[slot]
            while e >= 0:
                target = graph.target[e & (len(graph.source) - 1)] & mask
                graph.start[target] += 1
                graph.earlier[target] -= 1
                edges.degree[target] -= 1
                touch(sites, target)
                e = graph.next_out[e & (len(graph.source) - 1)]
        at[EDGE_FIRST] = graph.start[slot] + graph.earlier[slot]
        at[FIRST] += 1
        leave(sites, slot, graph.final[0])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def incoming(graph: StreamingGraph, edges: Edges, sites: Sites, slot: int) -> int:
    """List the edges into an event; how many there are."""
    tag = edges.tag
    if tag[0] == slot and tag[1] == sites.counts[TRANSACTION]:
        return int(tag[2])
    mask, edge_mask = len(graph.x) - 1, len(graph.source) - 1
    listed, offset, xs, ys, ts = edges.source, edges.offset, graph.x, graph.y, graph.t
    source, target, next_out = graph.source, graph.target, graph.next_out
    start, count = graph.start[slot], graph.earlier[slot]
    for k in range(count):
        listed[k] = source[(start + k) & edge_mask] & mask
    if not graph.causal[0]:
        e = graph.out[slot]
        while e >= 0:
            listed[count] = target[e & edge_mask] & mask
            count += 1
            e = next_out[e & edge_mask]
    span, half, scale = np.float32(2) * graph.radius[0], np.float32(0.5), graph.time_scale[0]
    x, y, t = xs[slot], ys[slot], ts[slot]
    for k in range(count):
        j = listed[k]
        offset[k, 0] = np.float32(xs[j] - x) / span + half
        offset[k, 1] = np.float32(ys[j] - y) / span + half
        offset[k, 2] = np.float32((ts[j] - t) * scale) / span + half
    tag[0], tag[1], tag[2] = slot, sites.counts[TRANSACTION], count
    tag[3] += 1
    return int(count)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def add_readers(graph: StreamingGraph, sites: Sites, slots: Indices, count: int) -> None:
    """Put the targets of all edges out of these events on the worklist."""
    mask, edge_mask = len(graph.x) - 1, len(graph.source) - 1
    source, target, next_out = graph.source, graph.target, graph.next_out
    for k in range(count):
        slot = slots[k]
        e = graph.out[slot]
        while e >= 0:
            add(sites, target[e & edge_mask] & mask)
            e = next_out[e & edge_mask]
        if not graph.causal[0]:
            for position in range(graph.start[slot], graph.start[slot] + graph.earlier[slot]):
                add(sites, source[position & edge_mask] & mask)
