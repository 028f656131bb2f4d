"""Events as the nodes of a graph."""

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from eventzoo.data.representation import Representation
from eventzoo.errors import EventZooError
from eventzoo.events import Events
from eventzoo.kernels.radius_graph import radius_graph, relative_positions
from eventzoo.nn.backbone import Kind


class EventGraph(Representation[Data]):
    """A graph whose nodes are the events, joined where they are near in space and time.

    A node is at (x, y, (t - t₀) · time_scale), t₀ being the first event's time, with the polarity ±1 as its feature. Two
    events are joined if they are closer than `radius` (strictly, in float32). An event looks only at the past for its
    neighbours and keeps the `max_neighbors` most recent ones, so that later events never change earlier edges. A causal
    graph has edges from the past to the present alone; a symmetric graph has each of them in both directions. Edges and offsets
    depend on the differences of whole microseconds alone, so that a window of a long stream has the stream's.

    Source: Schaefer et al., AEGNN, CVPR 2022, section 3.1; there, the neighbours beyond the limit are dropped at random.

    Args:
        radius: Largest distance of neighbours, exclusive, in pixels.
        max_neighbors: Most earlier neighbours of an event; null for all.
        time_scale: Pixels a microsecond, the paper's β.
        causal: Whether edges lead from the past to the present only.

    Shapes:
        x: ±1, float32 `[N, 1]`; pos: float32 `[N, 3]`; edge_index: source and target, int64 `[2, E]`, sorted by target,
        then by source; edge_attr: offsets from target to source in [0, 1], float32 `[E, 3]`.
    """

    kind: ClassVar[Kind] = "graph"
    channels = 1

    def __init__(self, radius: float = 3.0, max_neighbors: int | None = 32, time_scale: float = 0.5e-5, causal: bool = False) -> None:
        if radius <= 0 or time_scale < 0 or (max_neighbors is not None and max_neighbors < 1):
            raise EventZooError(
                f"EventGraph: radius > 0, max_neighbors >= 1 and time_scale >= 0 are needed, not {radius}, {max_neighbors} and {time_scale}"
            )
        self.radius, self.max_neighbors, self.time_scale, self.causal = radius, max_neighbors, time_scale, causal

    def __call__(self, events: Events) -> Data:
        """The graph of one recording."""
        x, y, t = events.x, events.y, events.t
        edges = radius_graph(x, y, t, self.radius, self.max_neighbors, causal=self.causal, time_scale=self.time_scale)
        return Data(
            x=torch.from_numpy(np.where(events.p, np.float32(1), np.float32(-1))[:, None]),
            pos=torch.from_numpy(np.stack([x, y, (t - t[:1]) * self.time_scale], 1, dtype=np.float32, casting="same_kind")),
            edge_index=torch.from_numpy(edges),
            edge_attr=torch.from_numpy(relative_positions(x, y, t, edges, self.radius, self.time_scale)),
        )

    def to_tensors(self, value: Data) -> dict[str, Tensor]:
        """The graph's tensors by name."""
        return value.to_dict()  # type: ignore[no-any-return]

    def from_tensors(self, tensors: dict[str, Tensor]) -> Data:
        """The graph of these tensors."""
        return Data(**tensors)

    def collate(self, samples: list[Data]) -> Batch:
        """All graphs as one, unconnected, with `batch` telling them apart."""
        return Batch.from_data_list(samples)
