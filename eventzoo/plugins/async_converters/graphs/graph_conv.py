"""Graph convolutions that take no account of where neighbours are, event by event: torch_geometric's `GCNConv`, `GraphConv`, `SAGEConv`."""

from typing import Any, ClassVar, NamedTuple

import numba
import numpy as np
import torch
from torch import Tensor
from torch_geometric.nn import GCNConv, GraphConv, MessagePassing, SAGEConv
from torch_geometric.nn.aggr import MaxAggregation, MeanAggregation, SumAggregation
from torch_geometric.nn.conv.gcn_conv import gcn_norm

from eventzoo.asynchronous import AsyncConverter, Cost, EdgeIndex, Features, Graph, Plan, State, Unsupported
from eventzoo.kernels.asynchronous.products import add_product
from eventzoo.kernels.asynchronous.sites import Edges, Floats, Indices, Integers

SUM, MEAN, MAX = range(3)  # values of GraphConvolution.aggregation
_AGGREGATIONS = {SumAggregation: SUM, MeanAggregation: MEAN, MaxAggregation: MAX}


class GraphConvolution(NamedTuple):
    """A convolution's weights and room for its sums.

    Attributes:
        weight: Rows for what the neighbours amount to, then for the site itself if it counts, float32 `[1 or 2 times C_in, C_out]`.
        bias: float32 `[C_out]`.
        sums: The same rows of features, float32 `[1 or 2 times C_in]`.
        aggregation: What neighbours amount to: `SUM`, `MEAN` or `MAX`. int64 `[1]`.
        loop: Weight of the edge that leads from a site to itself, 0 for none; of normalised convolutions. float32 `[1]`.
    """

    weight: Floats
    bias: Floats
    sums: Floats
    aggregation: Integers
    loop: Floats


class AsyncGraphConv(AsyncConverter):
    """Sums, means or maxima of the neighbours, and the site itself, each multiplied with a matrix."""

    handles: ClassVar = (GraphConv, SAGEConv)

    def convert(self, plan: Plan, layer: GraphConv | SAGEConv, *args: Any, **kwargs: Any) -> Features:
        """The convolved features."""
        is_sage = isinstance(layer, SAGEConv)
        x, graph = _neighbours(layer, SAGEConv if is_sage else GraphConv, args, kwargs)
        neighbours, root = (layer.lin_l, layer.lin_r if layer.root_weight else None) if is_sage else (layer.lin_rel, layer.lin_root)
        if is_sage and layer.project:
            raise Unsupported("it projects the features before it aggregates them (project=True)")
        blocks = [neighbours.weight, *([] if root is None else [root.weight])]
        weights = _weights(plan, layer, x, blocks, neighbours.bias)
        cost = Cost(site=2 * weights.value.weight.size, edge=x.channels)
        output = plan.rows(convolve, [weights], x, weights.value.weight.shape[1], graph, cost=cost)
        if is_sage and layer.normalize:
            output.shared = False
            return plan.refine(_normalise_row, [], output, cost=Cost(site=3 * output.channels))
        return output


class AsyncGCNConv(AsyncConverter):
    """Neighbours weighted by the degrees of both ends, so that an event that comes or goes changes its neighbours' neighbours, too."""

    handles: ClassVar = (GCNConv,)

    def convert(self, plan: Plan, layer: GCNConv, *args: Any, **kwargs: Any) -> Features:
        """The convolved features."""
        x, graph = _neighbours(layer, GCNConv, args, kwargs)
        if layer.cached:
            raise Unsupported("it keeps the degrees of the first graph that it is given (cached=True)")
        if type(layer.aggr_module) is not SumAggregation:
            raise Unsupported(f"it does not sum its neighbours (aggr={layer.aggr!r})")
        weights = _weights(plan, layer, x, [layer.lin.weight], layer.bias, _loop(layer) if layer.add_self_loops else 0)
        matrix = weights.value.weight
        if not layer.normalize:
            return plan.rows(convolve, [weights], x, matrix.shape[1], graph, cost=Cost(site=2 * matrix.size, edge=x.channels))
        cost = Cost(site=2 * matrix.size + 2 * x.channels, edge=2 * x.channels)
        return plan.rows(convolve_normalised, [weights], x, matrix.shape[1], graph, reads_degrees=True, cost=cost)


def _neighbours(layer: MessagePassing, base: type[MessagePassing], args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Features, Graph]:
    """A layer's features and the graph of their sites, if it treats them as `base` does."""
    names = ("x", "edge_index", "size") if base is SAGEConv else ("x", "edge_index", "edge_weight", "size")
    given = dict(zip(names, args, strict=False)) | kwargs
    x, edge_index = given["x"], given["edge_index"]
    if given.get("edge_weight") is not None:
        raise Unsupported("its edges have weights")
    if given.get("size") is not None:
        raise Unsupported("its sources and targets are different sites (size)")
    if not isinstance(x, Features) or not isinstance(edge_index, EdgeIndex) or x.domain is not edge_index.graph.domain:
        raise Unsupported("its edges do not join the sites of its features")
    if layer.flow != "source_to_target":
        raise Unsupported(f"its messages go from targets to sources (flow={layer.flow!r})")
    own = type(layer)
    changed = [name for name in ("message", "aggregate", "update") if getattr(own, name) is not getattr(base, name)]
    if changed:
        raise Unsupported(f"{own.__name__} has a {changed[0]} of its own, which the converter of {base.__name__} does not know")
    return x, edge_index.graph


def _loop(layer: GCNConv) -> float:
    """Weight of the edge from a site to itself, as torch_geometric has it: where edges have no weights, 2.8 ignores `improved`."""
    edges, shares = gcn_norm(torch.tensor([[0], [1]]), num_nodes=2, improved=layer.improved, dtype=torch.float64)
    share = float(shares[(edges == 1).all(0)])  # of the loop, in a site with one edge of weight 1 besides
    return share / (1 - share)


def _weights(plan: Plan, layer: MessagePassing, x: Features, blocks: list[Tensor], bias: Tensor | None, loop: float = 0) -> State:
    """State of type `GraphConvolution`."""
    aggregation = _AGGREGATIONS.get(type(layer.aggr_module))
    if aggregation is None:
        raise Unsupported(f"it neither sums its neighbours nor takes their mean or maximum (aggr={layer.aggr!r})")
    if any(block.shape[1] != x.channels for block in blocks):
        raise Unsupported(f"it is made for {blocks[0].shape[1]} channels and given {x.channels}")
    weight = torch.cat([block.detach().T for block in blocks]).float().cpu().numpy()
    none = np.zeros(weight.shape[1], np.float32)
    return plan.weights(
        GraphConvolution(
            np.ascontiguousarray(weight),
            none if bias is None else bias.detach().float().cpu().numpy(),
            np.zeros(len(weight), np.float32),
            np.array([aggregation], np.int64),
            np.array([loop], np.float32),
        )
    )


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def convolve(conv: GraphConvolution, x: Floats, slot: int, edges: Edges, count: int, out: Floats) -> None:
    """One site's row."""
    sums, inner, aggregation = conv.sums, x.shape[1], conv.aggregation[0]
    if aggregation == MAX:
        _take_maxima(sums, x, edges.source, count)
    else:
        _sum_rows(sums, x, edges.source, count)
    if aggregation == MEAN:
        share = np.float32(1) / np.float32(max(count, 1))
        for c in range(inner):
            sums[c] *= share
    for c in range(inner, len(sums)):
        sums[c] = x[slot, c - inner]
    _multiply(conv, out)


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def convolve_normalised(conv: GraphConvolution, x: Floats, slot: int, edges: Edges, count: int, out: Floats) -> None:
    """One site's row, of `GCNConv`: an edge counts as the inverse root of the product of the degrees of its ends."""
    sums, source, degree, loop = conv.sums, edges.source, edges.degree, conv.loop[0]
    inner, whole = len(sums), count // 4 * 4
    own = _inverse_root(degree[slot], loop)
    for i in range(inner):
        sums[i] = own * loop * x[slot, i]
    for e in range(0, whole, 4):
        x0, x1, x2, x3 = x[source[e]], x[source[e + 1]], x[source[e + 2]], x[source[e + 3]]
        a, b = _inverse_root(degree[source[e]], loop), _inverse_root(degree[source[e + 1]], loop)
        c, d = _inverse_root(degree[source[e + 2]], loop), _inverse_root(degree[source[e + 3]], loop)
        for i in range(inner):
            sums[i] += (a * x0[i] + b * x1[i]) + (c * x2[i] + d * x3[i])
    for e in range(whole, count):
        row, a = x[source[e]], _inverse_root(degree[source[e]], loop)
        for i in range(inner):
            sums[i] += a * row[i]
    for i in range(inner):
        sums[i] *= own
    _multiply(conv, out)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _inverse_root(edges: int, loop: np.float32) -> np.float32:
    """Of a site's degree; zero if there are neither edges into it nor a loop."""
    degree = np.float32(edges) + loop
    return np.float32(1) / np.sqrt(degree) if degree > 0 else np.float32(0)


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _multiply(conv: GraphConvolution, out: Floats) -> None:
    """The row from what the neighbours and the site amount to."""
    bias = conv.bias
    for o in range(len(out)):
        out[o] = bias[o]
    add_product(out, conv.sums, conv.weight)


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _sum_rows(sums: Floats, x: Floats, source: Indices, count: int) -> None:
    """The neighbours' sum, four edges at a time."""
    inner, whole = x.shape[1], count // 4 * 4
    for c in range(inner):
        sums[c] = np.float32(0)
    for e in range(0, whole, 4):
        x0, x1, x2, x3 = x[source[e]], x[source[e + 1]], x[source[e + 2]], x[source[e + 3]]
        for c in range(inner):
            sums[c] += (x0[c] + x1[c]) + (x2[c] + x3[c])
    for e in range(whole, count):
        row = x[source[e]]
        for c in range(inner):
            sums[c] += row[c]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _take_maxima(sums: Floats, x: Floats, source: Indices, count: int) -> None:
    """The neighbours' maxima; zeros where there are none."""
    for c in range(x.shape[1]):
        sums[c] = np.float32(0) if count == 0 else x[source[0], c]
    for e in range(1, count):
        row = x[source[e]]
        for c in range(len(row)):
            sums[c] = max(sums[c], row[c])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _normalise_row(row: Floats) -> None:
    """Length 1, as `torch.nn.functional.normalize` has it."""
    square = np.float32(0)
    for c in range(len(row)):
        square += row[c] * row[c]
    length = max(np.sqrt(square), np.float32(1e-12))
    for c in range(len(row)):
        row[c] /= length
