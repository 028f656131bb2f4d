"""Event graphs, event by event."""

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

from eventzoo import representations
from eventzoo.asynchronous import AsyncConverter, EdgeIndex, EdgeOffsets, Graph, Plan, Positions, SampleIndex, Unsupported
from eventzoo.kernels.asynchronous import streaming_graph

if TYPE_CHECKING:
    from eventzoo.plugins.representations.event_graph import EventGraph


class AsyncEventGraph(AsyncConverter):
    """The graph of the window's events: an event is joined to earlier ones when it comes, and leaves with its edges."""

    handles: ClassVar = (representations.EventGraph,)

    def convert(self, plan: Plan, layer: "EventGraph", *args: Any, **kwargs: Any) -> Any:  # noqa: ARG002  # a representation has none
        """The batch that the backbone is given."""
        window = plan.window
        if window.history and not layer.causal:
            raise Unsupported("features can only be final in a causal graph; set EventGraph's causal, or leave out the window's history")
        domain = plan.domain(plan.capacity, grows=True)
        state = plan.state(
            streaming_graph.make_streaming_graph(
                plan.sensor_size,
                layer.radius,
                layer.max_neighbors,
                layer.time_scale,
                layer.causal,
                (window.events, window.microseconds),
                window.history,
                domain.capacity,
                edge_capacity=domain.capacity << (min(layer.max_neighbors or 16, 32) - 1).bit_length(),
            ),
            domain,
            streaming_graph.PER_SITE,
            streaming_graph.PER_EDGE,
            streaming_graph.edge_range,
        )
        edges = plan.edges(domain)
        polarity = plan.features(domain, layer.channels)
        plan.begin(
            domain,
            streaming_graph.push_events,
            [state, edges, domain.sites, polarity.rows],
            lambda: streaming_graph.window_events(state.value, polarity.rows.value),
        )
        graph = Graph(domain, state, edges, streaming_graph.incoming, streaming_graph.add_readers, streaming_graph.positions, 3)
        return SimpleNamespace(
            x=polarity,
            pos=Positions(domain, graph, 3),
            edge_index=EdgeIndex(graph),
            edge_attr=EdgeOffsets(graph),
            batch=SampleIndex(domain),
            num_graphs=1,
        )
