"""Convolutions of event streams on one core, beside the plain formula in torch: time, peak memory, and the floor by operations.

    python benchmarks/event_conv.py [upstream] [inplace] [pointwise] [trace] [--rounds 9]

The sizes are those of the benchmark in ECN's own repository, and those of the edges within level 1 of a batch of 32 N-MNIST recordings.
Edges are random; in place, an event sees events in about as many of its nine cells as in the recordings. The peer is the formula as it is
written: what each edge adds to each exponential of each channel, added up by index_add. That of traces is what other devices use,
doubling of pointers in torch. Peak memory is what the resident set grows by during a step, in a process of its own (Linux).
"""

from race import race  # isort: skip  # pins the threads
from training_step import status  # isort: skip

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from eventzoo.nn.event_conv import EventConv, TraceConv, convolve_in_torch
from eventzoo.nn.event_stream import StreamEdges, TraceEdges


class Case(NamedTuple):
    """Sizes of a convolution; `occupied` is the share of its cells that an event sees events in, where it is less than edges allow."""

    inputs: int
    outputs: int
    edges: int
    cells: int
    decays: int
    in_channels: int
    out_channels: int
    occupied: float = 1
    pixels: int = 0  # if not 0, with traces


CASES = {
    "upstream": Case(100_000, 25_000, 250_000, 9, 4, 32, 64),
    "inplace": Case(20_000, 20_000, 210_000, 9, 4, 32, 32, 0.58),
    "pointwise": Case(20_000, 20_000, 60_000, 1, 16, 32, 32),
    "trace": Case(20_000, 20_000, 94_000, 9, 4, 32, 32, 0.58, pixels=32 * 289),
}
OURS, PLAIN = "fused", "plain"
Layer = EventConv | TraceConv
Edges = StreamEdges | TraceEdges
Convolve = Callable[[Layer, Tensor, Edges], Tensor]


def make(case: Case) -> tuple[Layer, Tensor, Edges]:
    """A layer, features, and edges from events not long before."""
    generator = torch.Generator().manual_seed(0)
    output = torch.randint(0, case.outputs, (case.edges,), generator=generator)
    allowed = torch.rand(case.outputs, case.cells, generator=generator) < case.occupied
    allowed[:, case.cells // 2] = True
    cell = (torch.rand(case.edges, case.cells, generator=generator) * allowed[output]).argmax(1)
    key = (output * case.cells + cell).sort().values
    key = key.unique() if case.pixels else key
    output, cell = key // case.cells, (key % case.cells).to(torch.uint8)
    start = torch.searchsorted(output, torch.arange(case.outputs + 1))
    past = torch.randint(0, 200, output.shape, generator=generator)
    source = (output * case.inputs // case.outputs - past).clamp(min=0).int()
    age, x = 4 * torch.rand(output.shape, generator=generator), torch.randn(case.inputs, case.in_channels, generator=generator)
    edges: Edges = StreamEdges(start, source, cell, age)
    layer: Layer = EventConv(case.in_channels, case.out_channels, case.cells, case.decays)
    if case.pixels:
        pixel = torch.randint(0, case.pixels, (case.inputs,), generator=generator)
        order = pixel.argsort(stable=True)
        again = pixel[order][1:] == pixel[order][:-1]
        previous = torch.full((case.inputs,), -1)
        previous[order[1:][again]] = order[:-1][again]
        gap = torch.rand(case.inputs, generator=generator) * (previous >= 0)
        edges = TraceEdges(start, source, cell, age, previous.int(), gap)
        layer = TraceConv(case.in_channels, case.out_channels, case.cells, case.decays)
    return layer, x.requires_grad_(), edges


def plain(layer: Layer, x: Tensor, edges: Edges) -> Tensor:
    """The formulas as they are written."""
    if isinstance(edges, TraceEdges):
        return convolve_in_torch(x, layer.rates(), layer.weight, edges) + layer.bias
    count, cell = len(edges.start) - 1, edges.cell.long()
    row = torch.repeat_interleave(torch.arange(count), edges.start.diff()) * layer.cells + cell
    fading = torch.exp(-layer.rates()[cell] * edges.age[:, None])
    terms = fading[:, :, None] * x[edges.source.long(), None]
    sums = x.new_zeros(count * layer.cells, layer.decays, x.shape[1]).index_add_(0, row, terms)
    return sums.view(count, -1) @ layer.weight.flatten(0, 2) + layer.bias


CONTENDERS: dict[str, Convolve] = {OURS: lambda layer, x, edges: layer(x, edges), PLAIN: plain}


def forward(convolve: Convolve, layer: Layer, x: Tensor, edges: Edges) -> Tensor:
    with torch.no_grad():
        return convolve(layer, x, edges)


def step(convolve: Convolve, layer: Layer, x: Tensor, edges: Edges) -> list[Tensor]:
    """Forward and backward; the gradients."""
    layer.zero_grad()
    x.grad = None
    convolve(layer, x, edges).square().mean().backward()
    return [x.grad, *(parameter.grad for parameter in layer.parameters())]


def peak_memory(case: Case, contender: str) -> None:
    tiny = case._replace(inputs=50, outputs=50, edges=200, pixels=min(case.pixels, 9))
    step(CONTENDERS[contender], *make(tiny))  # libraries and compiled loops are loaded
    given = make(case)
    before = status("VmRSS")
    with open("/proc/self/clear_refs", "w") as reset:
        reset.write("5")
    step(CONTENDERS[contender], *given)
    print(status("VmHWM") - before)


def measured_memory(name: str, contender: str) -> float:
    command = [sys.executable, __file__, name, "--memory", contender]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def floor(case: Case, edges: Edges) -> None:
    """What must be computed, and how long that takes at the rate of a large product on this core."""
    a, b, out = (torch.randn(2000, 2000) for _ in range(3))
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        torch.mm(a, b, out=out)
        seconds.append(time.perf_counter() - start)
    rate = 2 * 2000**3 / min(seconds)
    output = torch.repeat_interleave(torch.arange(case.outputs), edges.start.diff())
    rows, features = len((output * case.cells + edges.cell).unique()), case.decays * case.in_channels
    products, sums = 2 * rows * features * case.out_channels, 2 * len(edges.source) * features
    print(
        f"\n{case.outputs:,} events from {case.inputs:,}, {len(edges.source):,} edges, {rows:,} pairs of an event and a cell\n"
        f"floor: forward, a product of {products / 1e9:.2f} GFLOP ({products / rate * 1e3:.1f} ms at this core's {rate / 1e9:.0f} GFLOP/s) "
        f"and sums of {sums / 1e9:.3f} GFLOP; with backward, three products ({3 * products / rate * 1e3:.1f} ms) and sums of "
        f"{4 * sums / 1e9:.3f} GFLOP; all cells instead of the occupied ones: {case.outputs * case.cells / rows:.1f} times the products"
    )


def compare(name: str, rounds: int) -> None:
    case = CASES[name]
    memory = {contender: measured_memory(name, contender) for contender in CONTENDERS}
    given = make(case)
    floor(case, given[2])
    first, second = (torch.cat([grad.flatten() / grad.abs().max() for grad in step(each, *given)]) for each in CONTENDERS.values())
    difference = (forward(CONTENDERS[OURS], *given) - forward(plain, *given)).abs().max()
    print(
        f"largest difference of the outputs: {difference:.2g}; of the gradients: {(first - second).abs().max():.2g} of each one's largest"
    )
    medians = [
        race(f"{name}, {title}", {key: lambda run=run, each=each: run(each, *given) for key, each in CONTENDERS.items()}, rounds)
        for title, run in (("forward", forward), ("forward and backward", step))
    ]
    print(f"\n| {name} | forward | forward and backward | peak memory |\n|---|---|---|---|")
    for contender in CONTENDERS:
        times = " | ".join(f"{median[contender] * 1e3:.1f} ms" for median in medians)
        print(f"| {contender} | {times} | {memory[contender]:.0f} MiB |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("cases", nargs="*", default=list(CASES))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--memory", choices=list(CONTENDERS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.cases:
        if options.memory:
            peak_memory(CASES[name], options.memory)
        else:
            compare(name, options.rounds)
