"""What flows between the layers of an asynchronous network: features of sites, where these are, and how they are joined.

All of it names arrays that one compiled function works on.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Compiled = Callable[..., Any]


@dataclass(eq=False)
class State:
    """Arrays that the compiled function works on.

    Attributes:
        name: Its variable in the compiled function.
        value: A NamedTuple of arrays.
        domain: The domain that it grows with, None if it never grows.
        per_site: Its arrays with an entry a slot, and what they hold where there is no site.
        per_edge: The same with slots for edges.
        edge_range: Positions of the oldest edge and of the next one, from the value; an edge's slot is its position mod capacity.
        constant: Whether it holds weights and settings, which are no part of a saved state.
    """

    name: str
    value: Any
    domain: "Domain | None" = None
    per_site: Mapping[str, Any] = field(default_factory=dict)
    per_edge: Mapping[str, Any] = field(default_factory=dict)
    edge_range: Callable[[Any], tuple[int, int]] | None = None
    constant: bool = False

    def array(self, name: str) -> "Array":
        """One of its arrays, for a function that needs no other."""
        return Array(f"{self.name}.{name}")


@dataclass(eq=False)
class Array:
    """One array of a state: to hand over the whole state to a function that is called for every site takes longer than many a function.

    Attributes:
        name: What it is called in the compiled function.
    """

    name: str


@dataclass(eq=False)
class Group:
    """Several states, or arrays of the same kind, as one argument, a tuple.

    Attributes:
        states: The states or arrays.
    """

    states: "Sequence[State | Array]"

    @property
    def name(self) -> str:
        """What it is called in the compiled function."""
        return f"({''.join(f'{state.name}, ' for state in self.states)})"


Argument = State | Array | Group


@dataclass(eq=False)
class Domain:
    """A set of sites: events, voxels, or cells.

    Attributes:
        sites: State of type `Sites`.
        capacity: Slots.
        grows: Whether more are made when they are all taken.
        reserve: Slots that have to be free for the source to take an event.
        ever: Number of sites that there have been, where those are forgotten that a synchronous forward computes; else None.
    """

    sites: State
    capacity: int
    grows: bool
    reserve: int = 0
    ever: Callable[[], int] | None = None


@dataclass(eq=False)
class Neighbourhood:
    """Whose rows the row of a site depends on.

    Attributes:
        domain: The domain.
        state: State, or states, of what joins the sites.
        edges: State of type `Edges`, where the edges into a site are counted, and listed where its layers need that.
        incoming: Compiled `(state, edges, sites, slot) -> count`: counts the edges into a site, and lists them.
        add_readers: Compiled `(state, sites, slots, count)`: puts the targets of all edges out of these sites on the worklist.
    """

    domain: Domain
    state: State | Group
    edges: State
    incoming: Compiled
    add_readers: Compiled


@dataclass(eq=False)
class Graph(Neighbourhood):
    """How the sites of a domain are joined, with all edges into a site listed.

    Attributes:
        positions: Where sites are, from the state's value and their slots: float32 `[N, dimensions]`.
        dimensions: Dimensions of the offsets.
    """

    state: State
    positions: Callable[[Any, NDArray[np.int64]], NDArray[np.float32]]
    dimensions: int


@dataclass(eq=False)
class Features:
    """The features of a domain's sites.

    Attributes:
        rows: State of type `Rows`.
        domain: The domain.
        size: `(width, height)` where the sites are the cells of a map `[1, C, height, width]`, x fastest, or `(width, height, frames)` of a
            volume `[1, C, frames, height, width]`; None for `[N, C]`.
        shared: Whether more than one layer reads them, so that none may change them in their place.
        sparse: Whether only some cells of the map are sites, as in a `SparseMap`; a cell's slot is its number.
    """

    rows: State
    domain: Domain
    size: tuple[int, ...] | None = None
    shared: bool = True
    sparse: bool = False

    @property
    def channels(self) -> int:
        """Features of a site."""
        return int(self.rows.value.rows.shape[1])


@dataclass(eq=False)
class EdgeIndex:
    """A graph's edges, as a batch's `edge_index`."""

    graph: Graph


@dataclass(eq=False)
class EdgeOffsets:
    """A graph's offsets, as a batch's `edge_attr`."""

    graph: Graph


@dataclass(eq=False)
class Positions:
    """The positions of a domain's sites, as a batch's `pos`; may be sliced as `pos[:, :d]`.

    Attributes:
        domain: The domain.
        graph: The graph whose state holds them.
        dimensions: How many of them, pixels first.
    """

    domain: Domain
    graph: Graph
    dimensions: int

    def __getitem__(self, index: Any) -> "Positions":
        rows, columns = index
        if rows != slice(None) or columns.start not in (None, 0) or columns.step not in (None, 1):
            raise IndexError(index)
        return Positions(self.domain, self.graph, len(range(self.dimensions)[columns]))


@dataclass(eq=False)
class SampleIndex:
    """Which sample a site belongs to, as a batch's `batch`: a stream is one sample."""

    domain: Domain
