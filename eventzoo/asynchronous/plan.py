"""The plan of an asynchronous network: its state, and the steps that bring it up to date, in order.

Converters add to it; `driver` makes one compiled function of it; what flows between layers is in `eventzoo.asynchronous.state`. A layer
is one of three things:

- `plan.rows`: a row of a site from that site's row, or from those of its neighbours;
- `plan.refine`: a change of a site's row in its place, such as an activation, which costs no memory of its own;
- `plan.step`: anything else, in a compiled function that does its own bookkeeping.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from eventzoo.asynchronous.state import Argument, Compiled, Domain, Features, Neighbourhood, State
from eventzoo.asynchronous.window import Window
from eventzoo.errors import EventZooError
from eventzoo.kernels.asynchronous import sites as site_kernels
from eventzoo.kernels.asynchronous.sites import Floats, copy_row, make_edges, make_rows, make_sites

Columns = tuple[NDArray[np.int16], NDArray[np.int16], NDArray[np.int64], NDArray[np.bool_]]
"""Columns x, rows y, times t in microseconds, and polarities p of events."""


@dataclass(frozen=True)
class Cost:
    """What a layer costs in floating-point operations, a multiply-add being 2.

    Attributes:
        site: Of a site that is computed.
        edge: Of an edge into it.
        unit: Of a unit of work that its function counts.
    """

    site: float = 0
    edge: float = 0
    unit: float = 0


@dataclass(eq=False)
class Step:
    """One layer's share of the work.

    Attributes:
        name: The layer.
        domain: The sites that it computes.
        graph: What the edges that it reads belong to, if any.
        cost: What it costs.
        counter: The step that counts the sites, edges and units of work that were computed.
    """

    name: str
    domain: Domain
    graph: Neighbourhood | None
    cost: Cost
    counter: int


@dataclass(eq=False)
class Call:
    """A call in the compiled function: a function, and the names of its arguments."""

    function: Compiled
    arguments: Sequence[str]


@dataclass(eq=False)
class RowLoop:
    """A loop over the sites that a layer has to compute, with the layers that change its rows in their place.

    It computes the sites whose row changed in any of `inputs`, and those that read a row of `x` that did.
    """

    step: int
    output: Features
    x: Features
    inputs: list[Features]
    graph: Neighbourhood | None
    reads_degrees: bool
    calls: list[Call]


@dataclass(eq=False)
class Plain:
    """A step that does its own bookkeeping, if it has any to do: `when` says so, or it always has."""

    step: int
    call: Call
    when: Call | None = None


@dataclass(eq=False)
class Source:
    """The step that takes events from the stream, see `Plan.begin`."""

    call: Call
    domain: Domain
    events: Callable[[], Columns]


class Plan:
    """The plan of one asynchronous network.

    Args:
        window: The events that count.
        sensor_size: `(width, height)` of the stream's sensor in pixels.
        capacity: Slots for events to begin with, a power of two.
    """

    def __init__(self, window: Window, sensor_size: tuple[int, int], capacity: int) -> None:
        self.window, self.sensor_size, self.capacity = window, sensor_size, capacity
        self.states: list[State] = []
        self.steps: list[Step] = []
        self.body: list[RowLoop | Plain] = []
        self.whole: Domain | None = None
        """All that there is as one site, which is always there; None before the first `vector`."""
        self._source: Source | None = None
        self._loops: dict[str, RowLoop] = {}  # by the rows that they write
        self._made_at: dict[str, int] = {}  # number of parts of the body that come before the one that writes these rows
        self.layer = ""
        """Name of the layer that is being converted."""

    def state(
        self,
        value: Any,
        domain: Domain | None = None,
        per_site: Mapping[str, Any] | None = None,
        per_edge: Mapping[str, Any] | None = None,
        edge_range: Callable[[Any], tuple[int, int]] | None = None,
        constant: bool = False,
    ) -> State:
        """Arrays for the compiled function, a NamedTuple; see `State`."""
        value = value._replace(**{name: np.ascontiguousarray(array) for name, array in zip(value._fields, value, strict=True)})
        state = State(f"s{len(self.states)}", value, domain, per_site or {}, per_edge or {}, edge_range, constant)
        self.states.append(state)
        return state

    def weights(self, value: Any) -> State:
        """Arrays that no step writes to, or only as room for what it computes."""
        return self.state(value, constant=True)

    def domain(self, capacity: int, grows: bool = False, reserve: int = 0, ever: Callable[[], int] | None = None) -> Domain:
        """A new domain; its sites arrive and leave in a step. See `Domain`."""
        sites = self.state(make_sites(capacity))
        domain = Domain(sites, capacity, grows, reserve, ever)
        if grows:
            sites.domain, sites.per_site = domain, site_kernels.PER_SITE
        return domain

    def features(self, domain: Domain, channels: int, size: tuple[int, ...] | None = None, sparse: bool = False) -> Features:
        """Features of a domain's sites, for a step to write. A map has a `size`; if only some cells are sites, it is `sparse`."""
        rows = self.state(make_rows(domain.capacity, channels))
        self._made_at[rows.name] = len(self.body)
        if domain.grows:
            rows.domain, rows.per_site = domain, {"rows": 0, "changed": 0}
        return Features(rows, domain, size, sparse=sparse)

    def vector(self, channels: int) -> Features:
        """Features of all that there is, for a step to write."""
        if self.whole is None:
            self.whole = self.domain(1)
        return self.features(self.whole, channels)

    def edges(self, domain: Domain) -> State:
        """State of type `Edges` for a graph over a domain."""
        edges = self.state(make_edges(domain.capacity))
        if domain.grows:
            edges.domain, edges.per_site = domain, {"source": 0, "offset": 0, "degree": 0}
        return edges

    def begin(self, domain: Domain, function: Compiled, states: Sequence[Argument], events: Callable[[], Columns]) -> None:
        """The step that takes events from the stream.

        Args:
            domain: The events.
            function: Compiled `(*states, x, y, t, p, first, last, now) -> taken`: makes one transaction of the events `first` to
                `last` of the arrays, or of fewer where there is no room for more edges, after it has put the clock to `now` (the
                least int64: leaves it); returns the index after the last one.
            states: What the function needs besides.
            events: The events in the window now, in order.
        """
        self._source = Source(Call(function, [state.name for state in states]), domain, events)
        self._made_at = dict.fromkeys(self._made_at, -1)

    @property
    def source(self) -> Source:
        """The step that takes events from the stream.

        Raises:
            EventZooError: There is none yet.
        """
        if self._source is None:
            raise EventZooError("the plan has no beginning: a representation's converter has to call plan.begin")
        return self._source

    def rows(
        self,
        function: Compiled,
        weights: Sequence[Argument],
        x: Features,
        channels: int,
        graph: Neighbourhood | None = None,
        reads_degrees: bool = False,
        cost: Cost | None = None,
        output: Features | None = None,
    ) -> Features:
        """A layer that makes a site's row from its own and its neighbours' rows.

        Args:
            function: Compiled `(*weights, x, slot, out)`, or with a graph `(*weights, x, slot, edges, count, out)`: x float32
                `[capacity, C]`, the first `count` entries of `edges` list the edges into the site; fills `out`, float32 `[channels]`.
                If `cost` names a cost of units, it returns how many of them it did.
            weights: What the function needs besides.
            x: The layer's input.
            channels: Features of a site that it makes.
            graph: The graph, or other neighbourhood, whose edges it reads.
            reads_degrees: Whether a row depends on how many edges lead into the neighbours.
            cost: What it costs.
            output: What it writes, where that is not a row for each site of `x`: features of the graph's domain.
        """
        output = output or self.features(x.domain, channels, x.size, x.sparse)
        arguments = [*(state.name for state in weights), f"{x.rows.name}.rows", "slot"]
        if graph is not None:
            arguments += [graph.edges.name, "count"]
        call = Call(function, [*arguments, f"{output.rows.name}.row"])
        step = self._step(output.domain, graph, cost or Cost())
        loop = RowLoop(step, output, x, [x] if output.domain is x.domain else [], graph, reads_degrees, [call])
        self._made_at[output.rows.name] = len(self.body)
        self._loops[output.rows.name] = loop
        self.body.append(loop)
        return output

    def refine(
        self, function: Compiled, weights: Sequence[State], x: Features, other: Features | None = None, cost: Cost | None = None
    ) -> Features:
        """A layer that changes a site's row in its place.

        Args:
            function: Compiled `(*weights, row)`, or `(*weights, row, other)` with the site's row of `other`; float32 `[C]` each.
            weights: What the function needs besides.
            x: The layer's input.
            other: Further features of the same sites.
            cost: What it costs.
        """
        loop = self._loop_of(x, other)
        if loop is None:
            x = self.rows(_copy, [], x, x.channels)
            loop = self._loops[x.rows.name]
        arguments = [*(state.name for state in weights), f"{x.rows.name}.row"]
        if other is not None:
            loop.inputs.append(other)
            arguments.append(f"{other.rows.name}.rows[slot]")
        loop.calls.append(Call(function, arguments))
        self._step(x.domain, None, cost or Cost(), loop.step)
        return Features(x.rows, x.domain, x.size, shared=False, sparse=x.sparse)

    def _loop_of(self, x: Features, other: Features | None) -> RowLoop | None:
        """The loop that writes `x`, if it may go on with it: nobody else reads it, and `other` is there before it runs."""
        loop = self._loops.get(x.rows.name)
        if loop is None or x.shared:
            return None
        return loop if other is None or self._made_at[other.rows.name] < self.body.index(loop) else None

    def step(
        self,
        function: Compiled,
        arguments: Sequence[Argument],
        domain: Domain,
        cost: Cost | None = None,
        graph: Neighbourhood | None = None,
        when: tuple[Compiled, Sequence[Argument]] | None = None,
    ) -> None:
        """A layer that does its own bookkeeping.

        Args:
            function: Compiled, takes the arguments' arrays, and returns how many sites it computed, or, with a graph, how many edges.
            arguments: States, in the order that the function takes them.
            domain: The sites that a synchronous forward would compute.
            cost: What it costs.
            graph: What the edges belong to that it computes.
            when: Compiled, with its arguments: whether there is anything to do. To hand over all that the function needs takes longer than
                to find that there is not.
        """
        step = self._step(domain, graph, cost or Cost())
        calls = [Call(called, [given.name for given in taken]) for called, taken in ((function, arguments), *([when] if when else []))]
        self.body.append(Plain(step, *calls))

    def _step(self, domain: Domain, graph: Neighbourhood | None, cost: Cost, counter: int | None = None) -> int:
        number = len(self.steps)
        self.steps.append(Step(self.layer, domain, graph, cost, number if counter is None else counter))
        return number


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _copy(x: Floats, slot: int, out: Floats) -> None:
    """A site's row as it is."""
    copy_row(out, x[slot])
