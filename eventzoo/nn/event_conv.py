"""Convolution of event streams: learned exponentials in time for each cell of a stencil in space."""

import math
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import embedding_bag, one_hot, softplus
from torch.utils.checkpoint import checkpoint

from eventzoo.errors import EventZooError
from eventzoo.kernels.event_sums import (
    Rows,
    add_rows,
    fade,
    group_rows,
    spread_polarities,
    spread_rows,
    spread_traces,
    sum_polarities,
    sum_rows,
    trace,
)
from eventzoo.nn.event_stream import StreamEdges, TraceEdges

Positive = Literal["projection", "softplus"]
"""How decays are kept from being negative: set to zero where a step of the optimiser made them so, or the softplus of what is learned."""

_ROWS_AT_ONCE = 512  # of a cell; fewer, and the products are small; more, and their sums leave the cache


class EventConv(nn.Module):
    r"""Convolution of an event stream with truncated exponentials.

    .. math::
        y_o = b + \sum_p \sum_k \Big( \sum_{j \in E(o, p)} e^{-\lambda_{pk} d_{oj}} x_j \Big) W_{pk}

    with the stencil's cells p, K exponentials k for each, and the events j that o looks at in a cell, d decay times ago.

    The events of a cell are summed first and multiplied afterwards, for some output events at a time, and only cells in which there are
    events. The sums, as large as edges times exponentials times channels, are never held at once, and made again for the backward pass.
    On other devices than the CPU they are made by torch, an exponential at a time. In mixed precision all is computed in the weights' type:
    reading the events takes much of the time.

    Source: Jack et al., "Sparse Convolutions on Continuous Domains for Point Cloud and Event Stream Networks", ACCV 2020.

    Args:
        in_channels: Features of an incoming event; 2 if they are polarities.
        out_channels: Features of an outgoing event.
        cells: Cells of the stencil.
        decays: Exponentials K of a cell.
        binary: Whether the incoming features are polarities, bool `[N_in]`, each taken as two features, one for each polarity.
        positive: How decays are kept from being negative.

    Raises:
        EventZooError: A setting is out of its range.

    Shapes:
        weight: `[cells, decays, in_channels, out_channels]`; decay: `[cells, decays]`; bias: `[out_channels]`.
        input: `[N_in, in_channels]`, or bool `[N_in]`, and the `StreamEdges`.
        output: `[N_out, out_channels]`.
    """

    def __init__(
        self, in_channels: int, out_channels: int, cells: int, decays: int = 4, binary: bool = False, positive: Positive = "projection"
    ) -> None:
        super().__init__()
        _check_settings("EventConv", in_channels, out_channels, cells, decays, binary)
        if positive not in get_args(Positive):
            raise EventZooError(f"EventConv: positive is 'projection' or 'softplus', not {positive!r}")
        self.in_channels, self.out_channels, self.cells, self.decays = in_channels, out_channels, cells, decays
        self.binary, self.positive = binary, positive
        self.weight = nn.Parameter(torch.empty(cells, decays, in_channels, out_channels))
        self.decay = nn.Parameter(torch.empty(cells, decays))
        self.bias = nn.Parameter(torch.empty(out_channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """As ECN's code does: Glorot's uniform weights, all decays one, bias zero."""
        _glorot(self.weight, self.binary)
        nn.init.constant_(self.decay, 1.0 if self.positive == "projection" else math.log(math.expm1(1.0)))
        nn.init.zeros_(self.bias)

    def rates(self) -> Tensor:
        """The decays λ as they are used, at least 0: `[cells, decays]`."""
        return softplus(self.decay) if self.positive == "softplus" else self.decay.clamp(min=0)

    def forward(self, x: Tensor, edges: StreamEdges) -> Tensor:
        """Convolve the features of a stream.

        Raises:
            EventZooError: The features or the edges are not what this layer takes.
        """
        if not isinstance(edges, StreamEdges):
            raise EventZooError(_other_memory("EventConv", "window", edges))
        if self.training and self.positive == "projection":
            self.decay.data.clamp_(min=0)  # not the parameter itself: a layer may be used twice before the backward pass
        return _convolve(self, x, edges)

    def extra_repr(self) -> str:
        """Channels, cells and exponentials."""
        return f"{self.in_channels}, {self.out_channels}, cells={self.cells}, decays={self.decays}, positive={self.positive!r}"


class TraceConv(nn.Module):
    r"""Convolution of an event stream with endless exponentials: all the past of a pixel in one fading trace.

    .. math::
        H_{jk} = x_j + e^{-\lambda_k g_j} H_{j'k}, \qquad y_o = b + \sum_p \sum_k e^{-\lambda_k d_{op}} H_{j(o,p),k} W_{pk}

    with the event j' before j at the same pixel, g decay times ago, and the last event j(o, p) that o sees in the stencil's cell p, d decay
    times ago. That is `EventConv` without windows, with rates that all cells share: a pixel's past takes K traces, however long it is, and
    an event the same few steps. Rates are a softplus, because a trace that does not fade would grow forever.

    On the CPU the traces, K times the size of the input, are made by one loop over the events, and again for the backward pass. On other
    devices pointers are doubled: as many steps over all traces as the logarithm of the longest pixel's number of events, each of which is
    kept for the backward pass.

    Args:
        in_channels: Features of an incoming event; 2 if they are polarities.
        out_channels: Features of an outgoing event.
        cells: Cells of the stencil.
        decays: Exponentials K.
        binary: Whether the incoming features are polarities, bool `[N_in]`, each taken as two features, one for each polarity.

    Raises:
        EventZooError: A setting is out of its range.

    Shapes:
        weight: `[cells, decays, in_channels, out_channels]`; decay: `[decays]`; bias: `[out_channels]`.
        input: `[N_in, in_channels]`, or bool `[N_in]`, and the `TraceEdges`.
        output: `[N_out, out_channels]`.
    """

    def __init__(self, in_channels: int, out_channels: int, cells: int, decays: int = 4, binary: bool = False) -> None:
        super().__init__()
        _check_settings("TraceConv", in_channels, out_channels, cells, decays, binary)
        self.in_channels, self.out_channels, self.cells, self.decays, self.binary = in_channels, out_channels, cells, decays, binary
        self.weight = nn.Parameter(torch.empty(cells, decays, in_channels, out_channels))
        self.decay = nn.Parameter(torch.empty(decays))
        self.bias = nn.Parameter(torch.empty(out_channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Glorot's uniform weights, bias zero, rates in equal ratios from 1/4 to 2: exponentials that all cells share must differ."""
        _glorot(self.weight, self.binary)
        with torch.no_grad():
            self.decay.copy_(torch.logspace(-2, 1, self.decays, 2.0).expm1().log())
        nn.init.zeros_(self.bias)

    def rates(self) -> Tensor:
        """The decays λ as they are used, above 0: `[decays]`."""
        return softplus(self.decay)

    def forward(self, x: Tensor, edges: TraceEdges) -> Tensor:
        """Convolve the features of a stream.

        Raises:
            EventZooError: The features or the edges are not what this layer takes.
        """
        if not isinstance(edges, TraceEdges):
            raise EventZooError(_other_memory("TraceConv", "trace", edges))
        return _convolve(self, x, edges)

    def extra_repr(self) -> str:
        """Channels, cells and exponentials."""
        return f"{self.in_channels}, {self.out_channels}, cells={self.cells}, decays={self.decays}"


def _check_settings(name: str, in_channels: int, out_channels: int, cells: int, decays: int, binary: bool) -> None:
    if min(in_channels, out_channels, cells, decays) < 1 or cells > 256:
        given = f"{in_channels}, {out_channels}, {cells} and {decays}"
        raise EventZooError(f"{name}: channels, cells and decays are at least 1, cells at most 256, not {given}")
    if binary and in_channels != 2:
        raise EventZooError(f"{name}: binary features are two, one for each polarity: in_channels is 2, not {in_channels}")


def _other_memory(name: str, memory: str, edges: object) -> str:
    return f"{name} takes the edges of memory={memory!r}, not {type(edges).__name__}: set `memory` of ECN and EventStream to the same"


def _glorot(weight: Tensor, binary: bool) -> None:
    """Glorot's uniform weights with the fans of ECN's code, where a binary kernel's exponentials count for its input only."""
    cells, decays, in_channels, out_channels = weight.shape
    fan_in, fan_out = cells * decays * in_channels, cells * out_channels * (1 if binary else decays)
    bound = math.sqrt(6 / (fan_in + fan_out))
    nn.init.uniform_(weight, -bound, bound)


def _convolve(layer: EventConv | TraceConv, x: Tensor, edges: StreamEdges | TraceEdges) -> Tensor:
    weight, name = layer.weight, type(layer).__name__
    expected = f"bool [{len(x)}]" if layer.binary else f"[{len(x)}, {layer.in_channels}]"
    if x.shape != ((len(x),) if layer.binary else (len(x), layer.in_channels)) or layer.binary != (x.dtype == torch.bool):
        raise EventZooError(f"{name} takes features {expected}, not {str(x.dtype).removeprefix('torch.')} {list(x.shape)}")
    if not layer.binary:
        x = x.to(weight.dtype).contiguous()
    elif isinstance(edges, TraceEdges):
        x = one_hot(x.long(), 2).to(weight.dtype)
    edges = edges._replace(age=edges.age.to(weight.dtype).contiguous())
    if isinstance(edges, TraceEdges):
        edges = edges._replace(gap=edges.gap.to(weight.dtype).contiguous())
    with torch.autocast(x.device.type, enabled=False):
        if x.device.type == "cpu" and weight.dtype in (torch.float32, torch.float64):
            _check_edges(name, x, edges, layer.cells)
            out: Tensor = _Convolve.apply(x, layer.rates(), weight, edges)  # type: ignore[no-untyped-call]
        else:
            out = convolve_in_torch(x, layer.rates(), weight, edges)
        return out + layer.bias


def _check_edges(name: str, x: Tensor, edges: StreamEdges | TraceEdges, cells: int) -> None:
    """Compiled loops do not look where they write."""
    if len(edges.source) > 0 and not (int(edges.cell.max()) < cells and 0 <= int(edges.source.min()) <= int(edges.source.max()) < len(x)):
        raise EventZooError(
            f"{name} has {cells} cells and was given {len(x)} events, but edges of cells up to {int(edges.cell.max())} from events "
            f"{int(edges.source.min())} to {int(edges.source.max())}: these are another stencil's edges, or another level's"
        )
    if isinstance(edges, TraceEdges) and (len(edges.previous) != len(x) or bool((edges.previous >= torch.arange(len(x))).any())):
        raise EventZooError(
            f"{name}: `previous` names an earlier event, or -1, for each of {len(x)} events; these edges are another stream's"
        )


class _Block(NamedTuple):
    """What is multiplied for some output events.

    Attributes:
        output: The output event of each row, as in `Rows`; int32 `[rows]`.
        first: As in `Rows`.
        end: As in `Rows`.
        sizes: Rows of each cell, which follow each other.
        fading: Of the rows' edges, from `fade`.
        sums: `[rows, K · C]`.
    """

    output: Tensor
    first: Any
    end: Any
    sizes: list[int]
    fading: Any
    sums: Tensor


class _Convolve(torch.autograd.Function):
    """The convolution without bias, on the CPU, in float32 or float64; what it makes on the way is made again for the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rates: Tensor, weight: Tensor, edges: StreamEdges | TraceEdges) -> Tensor:
        ctx.save_for_backward(x, rates, weight)
        ctx.edges, ctx.rows = edges, _group(edges, len(weight))
        out = weight.new_zeros(len(edges.start) - 1, weight.shape[3])
        products, matrices = weight.new_empty(_most(ctx.rows), weight.shape[3]), weight.flatten(1, 2).unbind(0)
        for block in _blocks(ctx.rows, edges, _values(x, rates, edges), rates, weight):
            rows = products[: len(block.sums)]
            by_cell = (tensor.split_with_sizes(block.sizes) for tensor in (block.sums, rows))
            for sums, into, matrix in zip(*by_cell, matrices, strict=True):
                torch.mm(sums, matrix, out=into)
            add_rows(block.output.numpy(), rows.numpy(), out.numpy())
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor, Tensor, None]:
        x, rates, weight = ctx.saved_tensors
        edges, values, traces = ctx.edges, _values(x, rates, ctx.edges), isinstance(ctx.edges, TraceEdges)
        grad_values = np.zeros(values.shape if traces or ctx.needs_input_grad[0] else (0, *values.shape[1:]), values.dtype)
        turned = weight.flatten(1, 2).mT.contiguous()  # so, the products are a little faster than those of views
        grad_rates, grad_turned = np.zeros(weight.shape[:2]), torch.zeros_like(turned)
        grad_sums = weight.new_empty(_most(ctx.rows), weight.shape[1] * weight.shape[2])
        of_edges = (edges.source.numpy(), edges.cell.numpy(), edges.age.numpy())
        with torch.autocast("cpu", enabled=False):
            for block in _blocks(ctx.rows, edges, values, rates, weight):
                grad_rows = grad.index_select(0, block.output)
                by_cell = (tensor.split_with_sizes(block.sizes) for tensor in (block.sums, grad_rows, grad_sums[: len(grad_rows)]))
                for sums, given, into, matrix, grad_matrix in zip(*by_cell, turned, grad_turned, strict=True):
                    grad_matrix.addmm_(given.T, sums)
                    torch.mm(given, matrix, out=into)
                of_sums = grad_sums.view(-1, *weight.shape[1:3]).numpy()
                if x.dtype == torch.bool:
                    spread_polarities(block.first, block.end, *of_edges, block.fading, values, of_sums, grad_rates)
                else:
                    spread_rows(block.first, block.end, *of_edges, block.fading, values, of_sums, grad_values, grad_rates)
        if traces:
            grad_x = spread_traces(edges.previous.numpy(), edges.gap.numpy(), rates.numpy(), values, grad_values, grad_rates[0])
        else:
            grad_x = grad_values[:, 0] if x.dtype != torch.bool else grad_values
        of_rates = torch.from_numpy(grad_rates).sum_to_size(rates.shape).to(rates.dtype)
        return torch.from_numpy(grad_x) if ctx.needs_input_grad[0] else None, of_rates, grad_turned.mT.reshape(weight.shape), None


def _group(edges: StreamEdges | TraceEdges, cells: int) -> Rows:
    outputs = max(len(edges.start) - 1, 1)
    occupied = min(len(edges.source) / outputs / cells, 1)  # of the cells, at most
    return group_rows(edges.start.numpy(), edges.cell.numpy(), cells, int(_ROWS_AT_ONCE / max(occupied, 1 / cells)))


def _most(rows: Rows) -> int:
    """Rows of the largest block."""
    return int((rows.begin[:, -1] - rows.begin[:, 0]).max(initial=0))


def _values(x: Tensor, rates: Tensor, edges: StreamEdges | TraceEdges) -> Any:
    """What is summed: polarities `[N_in]`, features `[N_in, 1, C]` or traces `[N_in, K, C]`."""
    if isinstance(edges, TraceEdges):
        return trace(x.numpy(), edges.previous.numpy(), edges.gap.numpy(), rates.numpy())
    return x.numpy() if x.dtype == torch.bool else x.numpy()[:, None]


def _blocks(rows: Rows, edges: StreamEdges | TraceEdges, values: Any, rates: Tensor, weight: Tensor) -> Iterator[_Block]:
    """Sum block by block; the sums of one are where those of the one before were."""
    source, cell, age = edges.source.numpy(), edges.cell.numpy(), edges.age.numpy()
    cells, decays, channels, _ = weight.shape
    of_cells, sums = rates.expand(cells, decays).contiguous().numpy(), weight.new_empty(_most(rows), decays * channels)
    into = sums.view(-1, decays, channels).numpy()
    for begin in rows.begin:
        block = slice(begin[0], begin[-1])
        first, end = rows.first[block], rows.end[block]
        fading = fade(first, end, cell, age, of_cells)
        (sum_polarities if values.dtype == bool else sum_rows)(first, end, source, fading, values, into)
        yield _Block(torch.from_numpy(rows.output[block]), first, end, np.diff(begin).tolist(), fading, sums[: len(first)])


def convolve_in_torch(x: Tensor, rates: Tensor, weight: Tensor, edges: StreamEdges | TraceEdges) -> Tensor:
    """The convolution without bias, by torch, on any device and of any type; the sums of one exponential at a time are held.

    Args:
        x: Features, `[N_in, C]`, or polarities, bool `[N_in]`.
        rates: `[cells, K]`, or `[K]` for all cells.
        weight: `[cells, K, C, C_out]`.
        edges: The edges.
    """
    cells, decays, channels, out_channels = weight.shape
    count = len(edges.start) - 1
    x = one_hot(x.long(), 2).to(weight.dtype) if x.dtype == torch.bool else x
    tables = _traces_in_torch(x, rates, edges).unbind(1) if isinstance(edges, TraceEdges) else (x,) * decays
    out = x.new_zeros(count, out_channels)
    if len(edges.source) == 0:
        return out + 0 * (x.sum() + rates.sum() + weight.sum())  # so that gradients are zero, not missing
    cell, output = edges.cell.long(), torch.repeat_interleave(torch.arange(count, device=x.device), edges.start.diff())
    bags = torch.searchsorted(output * cells + cell, torch.arange(count * cells, device=x.device)).int()

    def add_exponential(table: Tensor, rate: Tensor, matrix: Tensor) -> Tensor:
        sums = embedding_bag(edges.source, table, bags, mode="sum", per_sample_weights=torch.exp(-rate.expand(cells)[cell] * edges.age))
        return sums.view(count, cells * channels) @ matrix.flatten(0, 1)

    for table, rate, matrix in zip(tables, rates.unbind(-1), weight.unbind(1), strict=True):
        out = out + checkpoint(add_exponential, table, rate, matrix, use_reentrant=False, preserve_rng_state=False)
    return out


def _traces_in_torch(x: Tensor, rates: Tensor, edges: TraceEdges) -> Tensor:
    """The traces, `[N_in, K, C]`: in each step, a trace takes in one that holds as many events as itself, and then points to before it."""
    previous, fading = edges.previous.long(), torch.exp(-edges.gap.to(rates.dtype)[:, None] * rates)[:, :, None]
    traces = x[:, None].expand(-1, rates.shape[-1], -1)
    while bool((previous >= 0).any()):
        before = previous.clamp(min=0)
        more = torch.where(previous[:, None, None] >= 0, fading, 0)
        traces = traces + more * traces[before]
        fading = more * fading[before]
        previous = torch.where(previous >= 0, previous[before], -1)
    return traces
