"""Max pooling of graphs, event by event."""

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
from eventzoo.kernels import event_pool, voxel_graph, voxel_pool
from eventzoo.kernels.streaming_graph import StreamingGraph
from eventzoo.kernels.voxel_graph import VoxelGraph
from eventzoo.nn.pool import CoarseGraph, GridMaxPool, VoxelMaxPool, cell_index


class AsyncVoxelMaxPool(AsyncConverter):
    """Pools events into voxels: chains of members, counted edges, and sums of positions in whole numbers."""

    handles: ClassVar = (VoxelMaxPool,)

    def convert(self, plan: Plan, layer: VoxelMaxPool, *args: Any, **kwargs: Any) -> CoarseGraph:
        """The coarse graph."""
        given = dict(zip(("x", "pos", "edge_index", "batch"), args, strict=False)) | kwargs
        x, pos, edge_index = given["x"], given["pos"], given["edge_index"]
        fine = _graph(x, pos)
        if not isinstance(fine.state.value, StreamingGraph) or not isinstance(edge_index, EdgeIndex) or edge_index.graph is not fine:
            raise Unsupported("it pools something other than the events with their edges")
        columns, rows = layer.grid
        voxels = columns * rows
        domain = plan.domain(voxels)
        pooled = plan.features(domain, x.channels)
        members = _members(plan, x, layer.voxel_size, columns, voxels, keep_empty=False)
        centres = None
        if layer.positions == "centre":
            centres = np.zeros((voxels, pos.dimensions), np.float32)
            centres[:, :2] = layer.centres(torch.arange(voxels)).numpy()
        radius = float(fine.state.value.radius[0])
        state = plan.state(
            voxel_graph.make_voxel_graph(
                members.value.column,
                members.value.row // columns,
                layer.grid,
                layer.voxel_size,
                radius,
                pos.dimensions,
                layer.scale,
                centres,
            )
        )
        edges = plan.edges(domain)
        _pool_events(plan, members, fine, x, pooled)
        plan.step(voxel_graph.join_voxels, [state, edges, domain.sites, members, fine.state, fine.domain.sites], domain)
        graph = Graph(domain, state, edges, voxel_graph.incoming, voxel_graph.add_readers, voxel_graph.positions, pos.dimensions)
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
        domain = plan.domain(columns * rows)
        pooled = plan.features(domain, x.channels, layer.size)
        if isinstance(source.state.value, StreamingGraph):
            members = _members(plan, x, layer.cell_size, columns, columns * rows, keep_empty=True)
            _pool_events(plan, members, source, x, pooled)
            return pooled
        if not isinstance(source.state.value, VoxelGraph):
            raise Unsupported("it pools neither events nor voxels")
        start, candidate = _overlaps(layer, source, plan.sensor_size)
        inside = plan.state(
            voxel_pool.Cells(
                np.full(x.domain.capacity, -1, np.int32),
                start,
                candidate,
                np.zeros(columns * rows, np.int32),
                np.zeros(columns * rows, np.int64),
                np.zeros(1, np.int64),
                np.array(layer.cell_size, np.float32),
                np.array([columns], np.int64),
            )
        )
        plan.step(
            voxel_pool.pool_voxels,
            [inside, source.state, x.domain.sites, x.rows, domain.sites, pooled.rows],
            x.domain,
            Cost(site=x.channels),
        )
        return pooled


def _graph(x: Any, pos: Any) -> Graph:
    """The graph whose nodes are pooled."""
    if not isinstance(x, Features) or not isinstance(pos, Positions) or x.domain is not pos.domain:
        raise Unsupported("its positions are not those of its features")
    return pos.graph


def _members(plan: Plan, x: Features, cell_size: tuple[float, float], columns: int, cells: int, keep_empty: bool) -> State:
    """Which events a cell holds; the cell of a pixel is looked up in what the synchronous layer makes of it."""
    width, height = plan.sensor_size
    zeros = torch.zeros(max(width, height))
    column = cell_index(torch.stack([torch.arange(width).float(), zeros[:width]], 1), cell_size, columns).numpy()
    row = cell_index(torch.stack([zeros[:height], torch.arange(height).float()], 1), cell_size, columns).numpy()
    members = event_pool.make_members(column, row, cells, x.channels, x.domain.capacity, keep_empty)
    return plan.state(members, x.domain, event_pool.PER_SITE)


def _pool_events(plan: Plan, members: State, graph: Graph, x: Features, pooled: Features) -> None:
    arguments = [members, graph.state, x.domain.sites, x.rows, pooled.domain.sites, pooled.rows]
    plan.step(event_pool.pool_events, arguments, x.domain, Cost(site=x.channels))


def _overlaps(layer: GridMaxPool, source: Graph, sensor_size: tuple[int, int]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """The voxels that can lie in each cell: one that overlaps it in the image plane, wherever in the voxel its position is."""
    columns, rows = layer.size
    voxel_columns, voxel_rows, _, _, *voxel_size = source.state.value.grid.tolist()
    spans = []
    for voxels, size, side, cell in zip((voxel_columns, voxel_rows), voxel_size, sensor_size, layer.cell_size, strict=True):
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
    start = np.cumsum([0, *map(len, inside)])
    return start, np.concatenate(inside).astype(np.int32)
