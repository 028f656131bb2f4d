"""One training step of both published AEGNNs on one core, beside the plain formula edge by edge: time, peak memory, and where they go.

    python benchmarks/training_step.py [ncars] [ncaltech101] [--rounds 3] [--compile]

The recordings are made here: the contour of an ellipse that moves over the sensor. A step is forward and backward, on graphs that are
made beforehand. The peer is the convolution as its paper writes it, in torch: a message for every edge and every kernel point that it
touches, multiplied by that point's weights; the edges are grouped by kernel point, as a copy of the weights for each edge (20 GB for the
widest layer of the large network) would neither fit nor be faster. Peak memory is what the resident set grows by during a step, in a
process of its own (Linux).
"""

from race import race  # isort: skip  # pins the threads
import moving_edge  # isort: skip

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch

import eventzoo
from eventzoo.nn.spline_conv import SplineConv, _basis


class Case(NamedTuple):
    """Recordings and a network."""

    sensor: tuple[int, int]
    radius: float
    events: int
    batch: int
    channels: tuple[int, ...]
    kernel_size: int


CASES = {
    "ncars": Case((120, 100), 3.0, 10_000, 16, (8, 16, 16, 16, 32, 32, 32), 2),
    "ncaltech101": Case((240, 180), 5.0, 25_000, 1, (16, 32, 32, 32, 128, 128, 128), 8),
}
OURS, PLAIN = "aggregated first", "edge by edge"


Group = tuple[Tensor, Tensor, list[tuple[int, Tensor]]]


class PlainBasis(nn.Module):
    """What the plain formula needs of a graph: groups of edges, both ends, and the kernel points that all of a group touch, with weights.

    With kernel size 2, all edges touch all points; else a group is the edges that touch a point. Weights are divided by the degree.
    """

    def __init__(self, dim: int, kernel_size: int) -> None:
        super().__init__()
        self.dim, self.kernel_size = dim, kernel_size

    def forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor) -> list[Group]:
        source, target = edge_index
        weights, points = _basis(edge_attr[:, : self.dim], self.kernel_size)
        weights = weights / torch.bincount(target, minlength=len(x))[target]
        if self.kernel_size == 2:
            return [(source, target, list(enumerate(weights[:, :, None])))]
        order, corners = points.flatten().argsort(stable=True), len(points)
        sizes = points.flatten().bincount(minlength=self.kernel_size**self.dim).tolist()
        values = (source.repeat(corners), target.repeat(corners), weights.flatten()[:, None])
        groups = zip(*(value[order].split(sizes) for value in values), strict=True)
        return [(sources, targets, [(k, basis)]) for k, (sources, targets, basis) in enumerate(groups) if sizes[k]]


class EdgeByEdge(nn.Module):
    """The convolution of a `SplineConv`, with a message of all output channels for every edge and kernel point."""

    def __init__(self, conv: SplineConv) -> None:
        super().__init__()
        self.weight, self.bias, self.root = conv.weight, conv.bias, conv.root

    def forward(self, x: Tensor, edges: list[Group]) -> Tensor:
        out, weight = x.new_zeros(len(x), self.weight.shape[2]), self.weight.unbind(0)
        for source, target, points in edges:
            neighbours = x.index_select(0, source)
            messages = sum(basis * (neighbours @ weight[k]) for k, basis in points)
            out.scatter_add_(0, target[:, None].expand_as(messages), messages)  # other than index_add_, keeps no messages for backward
        return out + self.root(x) + self.bias


def use_plain_formula(backbone: nn.Module) -> None:
    """Replace the convolutions of an AEGNN; the parameters stay the same."""
    backbone.basis = PlainBasis(backbone.basis.dim, backbone.basis.kernel_size)
    for name, child in list(backbone.named_children()):
        if isinstance(child, SplineConv):
            setattr(backbone, name, EdgeByEdge(child))


def graphs(case: Case, events: int, samples: int) -> Batch:
    moving_edge.SENSOR = case.sensor
    representation = eventzoo.representations.EventGraph(radius=case.radius, max_neighbors=32)
    return representation.collate([representation(moving_edge.moving_edge(events, seed)) for seed in range(samples)])


def network(case: Case, plain: bool) -> nn.Module:
    torch.manual_seed(0)
    backbone = eventzoo.backbones.AEGNN(sensor_size=case.sensor, channels=case.channels, kernel_size=case.kernel_size)
    if plain:
        use_plain_formula(backbone)
    return backbone


def step(backbone: Callable[[Batch], Tensor], batch: Batch) -> Tensor:
    backbone.zero_grad()
    features = backbone(batch)
    features.square().mean().backward()
    return features


def status(field: str) -> float:
    """MiB of a line of /proc/self/status; other than getrusage's, its peak is not inherited from the parent."""
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def peak_memory(case: Case, plain: bool) -> None:
    backbone, batch = network(case, plain), graphs(case, case.events, case.batch)
    step(backbone, graphs(case, 100, 1))  # libraries and compiled loops are loaded, gradients allocated
    before = status("VmRSS")
    with open("/proc/self/clear_refs", "w") as reset:
        reset.write("5")
    step(backbone, batch)
    print(status("VmHWM") - before)


def measured_memory(name: str, contender: str) -> float:
    command = [sys.executable, __file__, name, "--memory", contender]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def floor(case: Case, batch: Batch) -> None:
    """What must be computed, and how long that takes at the rate of a large product on this core."""
    a, b = torch.randn(2000, 2000), torch.randn(2000, 2000)
    a @ b
    start = time.perf_counter()
    a @ b
    rate = 2 * 2000**3 / (time.perf_counter() - start)
    _, points = _basis(batch.edge_attr, case.kernel_size)
    entries, rows = points.numel(), torch.unique(points * batch.num_nodes + batch.edge_index[1]).numel()
    widths = list(zip((1, *case.channels[:4]), case.channels[:5], strict=True))  # the coarse graph's layers hardly count
    products = sum(6 * inner * outer for inner, outer in widths)  # forward, and a gradient for each factor
    sums = sum(2 * (inner + outer) for inner, outer in widths)
    print(
        f"\n{batch.num_nodes:,} nodes, {batch.num_edges / batch.num_nodes:.0f} edges and {rows / batch.num_nodes:.0f} kernel points a node"
    )
    print(
        f"floor of the event graph's layers: products of {rows * products / 1e9:.0f} GFLOP ({rows * products / rate * 1e3:.0f} ms at this "
        f"core's {rate / 1e9:.0f} GFLOP/s) and sums of {entries * sums / 1e9:.0f} GFLOP; edge by edge {entries * products / 1e9:.0f} GFLOP "
        f"({entries * products / rate * 1e3:.0f} ms)"
    )


def where(backbone: nn.Module, batch: Batch) -> None:
    """Shares of a step's time."""
    kinds = {
        "sums over edges (with what drives them)": ("_Convolve", "_ConvolveBackward"),
        "products": ("aten::mm", "aten::addmm", "aten::addmm_"),
        "adding rows to nodes, taking rows": ("aten::index_add_", "aten::scatter_add_", "aten::index", "aten::add_"),
        "ELU and batch norm": ("aten::elu", "aten::elu_backward", "aten::native_batch_norm", "aten::native_batch_norm_backward"),
    }
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], acc_events=True) as profile:
        step(backbone, batch)
    times = {event.key: event.self_cpu_time_total for event in profile.key_averages()}
    total = sum(times.values())
    shares = {kind: sum(times.get(name, 0) for name in names) / total for kind, names in kinds.items()}
    shares["the rest: pooling, order of the edges, memory"] = 1 - sum(shares.values())
    print("\n| of a step of ours | share |\n|---|---|")
    for kind, share in shares.items():
        print(f"| {kind} | {share:.0%} |")


def compare(name: str, rounds: int, compiled: bool) -> None:
    case = CASES[name]
    memory = {contender: measured_memory(name, contender) for contender in (OURS, PLAIN)}
    batch = graphs(case, case.events, case.batch)
    ours, plain = network(case, False), network(case, True)
    floor(case, batch)
    difference = (step(ours, batch) - step(plain, batch)).abs().max()
    first, second = (torch.cat([parameter.grad.flatten() for parameter in net.parameters()]) for net in (ours, plain))
    relative = (first - second).abs().max() / second.abs().max()
    print(f"largest difference of the features: {difference:.2g}; of the gradients: {relative:.2g} of the largest")
    contenders = {OURS: lambda: step(ours, batch), PLAIN: lambda: step(plain, batch)}
    if compiled:
        torch.compiler.reset()
        fast = torch.compile(network(case, False), dynamic=True)
        contenders[f"{OURS}, torch.compile"] = lambda: step(fast, batch)
    medians = race(f"training step, {name}, batch of {case.batch}, {case.events:,} events each", contenders, rounds)
    print(f"\n| {name} | time | peak memory |\n|---|---|---|")
    for contender in (OURS, PLAIN):
        print(f"| {contender} | {medians[contender] * 1e3:,.0f} ms | {memory[contender]:,.0f} MiB |")
    print(f"| ratio | {medians[PLAIN] / medians[OURS]:.1f} | {memory[PLAIN] / memory[OURS]:.1f} |")
    where(ours, batch)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("cases", nargs="*", default=list(CASES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--memory", choices=[OURS, PLAIN], help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.cases:
        if options.memory:
            peak_memory(CASES[name], options.memory == PLAIN)
        else:
            compare(name, options.rounds, options.compile)
