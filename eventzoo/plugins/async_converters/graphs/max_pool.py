"""Max pooling of graphs, event by event."""

import math
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from eventzoo.asynchronous import (
    AsyncConverter,
    Cost,
    EdgeIndex,
    EdgeOffsets,
    Features,
    Graph,
    Plan,
    Positions,
    SampleIndex,
    State,
    Unsupported,
)
from eventzoo.errors import EventZooError
from eventzoo.kernels.asynchronous import event_pool, voxel_graph, voxel_pool
from eventzoo.kernels.asynchronous.streaming_graph import StreamingGraph
from eventzoo.kernels.asynchronous.voxel_graph import VoxelGraph
from eventzoo.nn.pool import CoarseGraph, GridMaxPool, VoxelMaxPool, cell_index


class AsyncVoxelMaxPool(AsyncConverter):
    """Pools events into voxels: chains of members, counted edges, and sums of positions in whole numbers."""

    handles: ClassVar = (VoxelMaxPool,)

    def convert(self, plan: Plan, layer: VoxelMaxPool, *args: Any, **kwargs: Any) -> CoarseGraph:
        """The coarse graph."""
        given = dict(zip(("x", "pos", "edge_index", "batch"), args, strict=False)) | kwargs
        x, pos, edge_index = given["x"], given["pos"], given["edge_index"]
        fine = _graph(x, pos)
        if not isinstance(edge_index, EdgeIndex) or edge_index.graph is not fine:
            raise Unsupported("its edges are not those of the graph as they are")
        columns, rows = layer.grid
        domain = plan.domain(columns * rows)
        pooled = plan.features(domain, x.channels)
        centres = None
        if layer.positions == "centre":
            centres = np.zeros((columns * rows, pos.dimensions), np.float32)
            centres[:, :2] = layer.centres(torch.arange(columns * rows)).numpy()
        state = plan.state(voxel_graph.make_voxel_graph(layer.grid, layer.voxel_size, _reach(fine), pos.dimensions, layer.scale, centres))
        edges = plan.edges(domain)
        graph = Graph(domain, state, edges, voxel_graph.incoming, voxel_graph.add_readers, voxel_graph.positions, pos.dimensions)
        arguments = [state, edges, domain.sites]
        if isinstance(fine.state.value, StreamingGraph):
            members = _pool_events(plan, fine, x, pooled, layer.voxel_size, columns, keep_empty=False)
            column_of, row_of = members.value.column, members.value.row // columns
            sums = plan.state(voxel_graph.EventSums(column_of, row_of, np.zeros((columns * rows, 3), np.int64)))
            plan.step(voxel_graph.join_voxels, [*arguments, sums, members, fine.state, fine.domain.sites], domain)
        else:
            inside = _pool_voxels(plan, fine, x, pooled, layer.voxel_size, layer.grid, keep_empty=False)
            plan.step(voxel_pool.join_cells, [*arguments, inside, fine.state, fine.domain.sites], domain)
        return CoarseGraph(pooled, Positions(domain, graph, pos.dimensions), EdgeIndex(graph), EdgeOffsets(graph), SampleIndex(domain))  # type: ignore[arg-type]


class AsyncGridMaxPool(AsyncConverter):
    """Pools events or voxels into the cells of a map."""

    handles: ClassVar = (GridMaxPool,)

    def convert(self, plan: Plan, layer: GridMaxPool, *args: Any, **kwargs: Any) -> Features:
        """The map."""
        given = dict(zip(("x", "pos", "batch", "num_graphs"), args, strict=False)) | kwargs
        x, pos = given["x"], given["pos"]
        source = _graph(x, pos)
        columns, rows = layer.size
        pooled = plan.features(plan.domain(columns * rows), x.channels, layer.size)
        if isinstance(source.state.value, StreamingGraph):
            _pool_events(plan, source, x, pooled, layer.cell_size, columns, keep_empty=True)
        else:
            _pool_voxels(plan, source, x, pooled, layer.cell_size, layer.size, keep_empty=True)
        return pooled


def _graph(x: Any, pos: Any) -> Graph:
    """The graph whose nodes are pooled."""
    if not isinstance(x, Features) or not isinstance(pos, Positions) or x.domain is not pos.domain:
        raise Unsupported("its positions are not those of its features")
    if not isinstance(pos.graph.state.value, StreamingGraph | VoxelGraph):
        raise Unsupported("it pools neither events nor voxels")
    return pos.graph


def _reach(fine: Graph) -> tuple[int, int]:
    """Largest distance between nodes that are joined, in pixels along each axis."""
    if isinstance(fine.state.value, StreamingGraph):
        farthest = math.ceil(float(fine.state.value.radius[0])) - 1
        return farthest, farthest
    _, _, columns, rows, width, height = fine.state.value.grid.tolist()
    return (columns + 1) * width, (rows + 1) * height


def _pool_events(
    plan: Plan, graph: Graph, x: Features, pooled: Features, cell_size: tuple[float, float], columns: int, keep_empty: bool
) -> State:
    """Pool events into cells; which events a cell holds. The cell of a pixel is looked up in what the synchronous layer makes of it."""
    width, height = plan.sensor_size
    zeros = torch.zeros(max(width, height))
    column = cell_index(torch.stack([torch.arange(width).float(), zeros[:width]], 1), cell_size, columns).numpy()
    row = cell_index(torch.stack([zeros[:height], torch.arange(height).float()], 1), cell_size, columns).numpy()
    cells = pooled.domain.capacity
    if column[-1] >= columns or row[-1] >= cells:
        raise EventZooError(f"{plan.layer} is made for a smaller sensor than the model's, {width}×{height}; make both for the same")
    members = plan.state(
        event_pool.make_members(column, row, cells, x.channels, x.domain.capacity, keep_empty), x.domain, event_pool.PER_SITE
    )
    arguments = [members, graph.state, x.domain.sites, x.rows, pooled.domain.sites, pooled.rows]
    plan.step(event_pool.pool_events, arguments, x.domain, Cost(site=x.channels))
    return members


def _pool_voxels(
    plan: Plan, graph: Graph, x: Features, pooled: Features, cell_size: tuple[float, float], grid: tuple[int, int], keep_empty: bool
) -> State:
    """Pool voxels into cells; which voxels a cell holds."""
    columns, rows = grid
    start, candidate = _overlaps(graph, cell_size, grid, plan.sensor_size)
    inside = plan.state(
        voxel_pool.Cells(
            np.full(x.domain.capacity, -1, np.int32),
            start,
            candidate,
            np.zeros(columns * rows, np.int32),
            np.zeros(columns * rows, np.int64),
            np.zeros(1, np.int64),
            np.array(cell_size, np.float32),
            np.array([columns], np.int64),
            np.array([keep_empty]),
        )
    )
    arguments = [inside, graph.state, x.domain.sites, x.rows, pooled.domain.sites, pooled.rows]
    plan.step(voxel_pool.pool_voxels, arguments, x.domain, Cost(site=x.channels))
    return inside


def _overlaps(
    graph: Graph, cell_size: tuple[float, float], grid: tuple[int, int], sensor_size: tuple[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """The voxels that can lie in each cell: those that overlap it in the image plane, wherever in the voxel their position is.

    Returns:
        Position of each cell's first voxel, `[cells + 1]`, and the voxels.
    """
    columns, rows = grid
    voxel_columns, voxel_rows, _, _, *voxel_size = graph.state.value.grid.tolist()
    spans = []
    for voxels, size, side, cell in zip((voxel_columns, voxel_rows), voxel_size, sensor_size, cell_size, strict=True):
        first = np.arange(voxels) * size
        last = np.minimum(first + size, side - 1)
        spans.append([(end.astype(np.float32) / np.float32(cell)).astype(np.int64) for end in (first, last)])
    inside = [
        [
            row * voxel_columns + column
            for row in np.flatnonzero((spans[1][0] <= cell // columns) & (cell // columns <= spans[1][1]))
            for column in np.flatnonzero((spans[0][0] <= cell % columns) & (cell % columns <= spans[0][1]))
        ]
        for cell in range(columns * rows)
    ]
    return np.cumsum([0, *map(len, inside)]), np.concatenate(inside).astype(np.int32)
