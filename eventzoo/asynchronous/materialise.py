"""From the state of a plan to the tensors that its synchronous form would hold: for layers that are run densely."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eventzoo.asynchronous.state import Domain, EdgeIndex, EdgeOffsets, Features, Graph, Positions, SampleIndex
from eventzoo.nn.sparse import SparseMap

PLANNED = (Features, EdgeIndex, EdgeOffsets, Positions, SampleIndex)
"""What `materialise` takes."""


def materialise(value: Any) -> Any:
    """The tensor that stands in a batch, or between layers, for something of the plan.

    Sites come in their order: events by time, voxels and cells by number.
    """
    if isinstance(value, Features):
        if value.sparse:
            return _sparse_map(value)
        rows = torch.from_numpy(value.rows.value.rows[slots(value.domain)])
        return rows if value.size is None else _map(rows, value.size)
    if isinstance(value, Positions):
        return torch.from_numpy(value.graph.positions(value.graph.state.value, slots(value.domain))[:, : value.dimensions])
    if isinstance(value, SampleIndex):
        return torch.zeros(len(slots(value.domain)), dtype=torch.long)
    if isinstance(value, EdgeIndex):
        return _edges(value.graph)[0]
    return _edges(value.graph)[1]


def _sparse_map(value: Features) -> SparseMap:
    assert value.size is not None  # noqa: S101  # a sparse map has one
    active = torch.from_numpy(value.domain.sites.value.alive[:, None].copy())
    return SparseMap(_map(torch.from_numpy(value.rows.value.rows.copy()) * active, value.size), _map(active, value.size))


def _map(rows: Tensor, size: tuple[int, ...]) -> Tensor:
    """A row a cell `[cells, C]` as a map `[1, C, height, width]`, or a volume."""
    return rows.T.reshape(1, rows.shape[1], *reversed(size))


def slots(domain: Domain) -> NDArray[np.int64]:
    """Slots of the sites that there are, in order."""
    sites = domain.sites.value
    there = np.flatnonzero(sites.alive)
    return there[np.argsort(sites.id[there], kind="stable")]


def _edges(graph: Graph) -> tuple[Tensor, Tensor]:
    """Source and target `[2, E]`, sorted by target and then by source, and offsets `[E, D]`."""
    domain, listed = graph.domain, graph.edges.value
    order = slots(domain)
    number = np.full(domain.capacity, -1)
    number[order] = np.arange(len(order))
    sources, offsets, counts = [], [], []
    for slot in order:
        count = graph.incoming(graph.state.value, listed, domain.sites.value, int(slot))
        by_source = np.argsort(number[listed.source[:count]], kind="stable")
        sources.append(number[listed.source[:count]][by_source])
        offsets.append(listed.offset[:count, : graph.dimensions][by_source])
        counts.append(count)
    index = np.stack([np.concatenate([*sources, np.empty(0, int)]), np.repeat(np.arange(len(order)), counts)])
    empty = np.empty((0, graph.dimensions), np.float32)
    return torch.from_numpy(index.astype(np.int64)), torch.from_numpy(np.concatenate([*offsets, empty]))
