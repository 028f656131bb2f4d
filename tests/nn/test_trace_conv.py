"""Convolutions of event streams with traces."""

import copy
from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eventzoo.errors import EventZooError
from eventzoo.nn import event_conv
from eventzoo.nn.event_conv import EventConv, TraceConv, convolve_in_torch
from eventzoo.nn.event_stream import StreamEdges, TraceEdges

CELLS = 3


def random_streams(inputs, outputs, pixels=2, cells=CELLS, seed=0):
    """Events at few pixels, and for each output and cell the one that is last somewhere, or none."""
    generator = torch.Generator().manual_seed(seed)
    pixel = torch.randint(0, pixels, (inputs,), generator=generator).tolist()
    t = torch.rand(inputs, generator=generator, dtype=torch.float64).cumsum(0)
    previous = [max((i for i in range(j) if pixel[i] == pixel[j]), default=-1) for j in range(inputs)]
    gap = torch.stack([t[j] - t[i] if i >= 0 else t[j] * 0 for j, i in enumerate(previous)]) if inputs else t
    seen = torch.rand(outputs, cells, generator=generator) < (0.6 if inputs else 0)
    start = torch.zeros(outputs + 1, dtype=torch.long)
    start[1:] = seen.sum(1).cumsum(0)
    count = int(start[-1])
    source = torch.randint(0, max(inputs, 1), (count,), generator=generator, dtype=torch.int32)
    age = 3 * torch.rand(count, generator=generator, dtype=torch.float64)
    return TraceEdges(start, source, seen.nonzero()[:, 1].to(torch.uint8), age, torch.tensor(previous, dtype=torch.int32), gap)


def features(inputs, binary, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(inputs, 2, generator=generator, dtype=torch.float64)
    return x[:, 0] > 0 if binary else x.requires_grad_()


def literal_conv(conv, x, edges):
    """The formula of the docstring, event by event."""
    x = torch.eye(2, dtype=conv.weight.dtype)[x.long()] if conv.binary else x
    rates, traces = conv.rates(), []
    for j in range(len(x)):
        i = int(edges.previous[j])
        traces.append([x[j] if i < 0 else x[j] + torch.exp(-rate * edges.gap[j]) * traces[i][k] for k, rate in enumerate(rates)])
    out = [conv.bias.clone() for _ in edges.start[1:]]
    for o in range(len(out)):
        for e in range(int(edges.start[o]), int(edges.start[o + 1])):
            for k, rate in enumerate(rates):
                out[o] = out[o] + torch.exp(-rate * edges.age[e]) * traces[int(edges.source[e])][k] @ conv.weight[int(edges.cell[e]), k]
    return torch.stack(out) if out else conv.bias.new_zeros(0, conv.out_channels)


def results(conv, x, edges):
    """The output, and the gradients of all that has one."""
    out = conv(x, edges)
    inputs = [*conv.parameters(), *([x] if x.requires_grad else [])]
    return out, *torch.autograd.grad((out * torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)).sum(), inputs)


forms = pytest.mark.parametrize(
    ("binary", "cells", "decays"), [(False, CELLS, 2), (True, CELLS, 2), (False, 1, 5), (False, CELLS, 1)], ids=str
)


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 12),
    st.integers(0, 12),
    st.integers(1, 5),
    st.booleans(),
    st.sampled_from([1, 3, 9]),
    st.sampled_from([1, 2, 4, 5]),
    st.integers(1, 9),
    st.integers(0, 99),
)
def test_equals_the_formula(inputs, outputs, pixels, binary, cells, decays, rows, seed):
    torch.manual_seed(seed)
    conv = TraceConv(2, 3, cells, decays, binary).double()
    torch.nn.init.normal_(conv.bias)
    edges, x = random_streams(inputs, outputs, pixels, cells, seed), features(inputs, binary, seed)
    with mock.patch.object(event_conv, "_ROWS_AT_ONCE", rows):
        out = conv(x, edges)
    torch.testing.assert_close(out, literal_conv(conv, x, edges))


@forms
@pytest.mark.parametrize("by_torch", [False, True], ids=["compiled", "torch"])
def test_gradients_agree_with_finite_differences(binary, cells, decays, by_torch):
    torch.manual_seed(0)
    conv, edges, x = TraceConv(2, 3, cells, decays, binary).double(), random_streams(9, 6, cells=cells), features(9, binary)

    def convolve(x, weight, decay):
        return torch.func.functional_call(conv, {"weight": weight, "decay": decay}, (x, edges))

    with mock.patch.object(event_conv._Convolve, "apply", convolve_in_torch if by_torch else event_conv._Convolve.apply):
        assert torch.autograd.gradcheck(convolve, (x, conv.weight, conv.decay))


@forms
@pytest.mark.parametrize(("inputs", "outputs"), [(50, 40), (5, 0), (0, 0), (0, 4)])
def test_torch_alone_gives_the_same(binary, cells, decays, inputs, outputs):
    """Other devices and types have no compiled loops."""
    conv, edges, x = TraceConv(2, 3, cells, decays, binary).double(), random_streams(inputs, outputs, 3, cells), features(inputs, binary)
    compiled = results(conv, x, edges)
    with mock.patch.object(event_conv._Convolve, "apply", convolve_in_torch):
        by_torch = results(conv, x, edges)
    for one, other in zip(compiled, by_torch, strict=True):
        torch.testing.assert_close(one, other)
    assert compiled[0].shape == (outputs, 3)


@forms
def test_float32_stays_near_float64(binary, cells, decays):
    torch.manual_seed(0)
    conv, edges, x = TraceConv(2, 16, cells, decays, binary), random_streams(200, 150, 5, cells), features(200, binary)
    single = results(conv, x if binary else x.detach().float().requires_grad_(), edges)
    double = results(copy.deepcopy(conv).double(), x, edges)
    assert single[0].dtype == torch.float32
    for one, other in zip(single, double, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=1e-4)


def test_is_an_event_convolution_that_sees_all_the_past():
    """What is left of an event when the next one comes, and of that when an output does, is what is left of it then."""
    edges, x = random_streams(20, 12, seed=3), features(20, False)
    conv, windowed = TraceConv(2, 3, CELLS).double(), EventConv(2, 3, CELLS, positive="softplus").double()
    windowed.load_state_dict({"weight": conv.weight, "bias": conv.bias, "decay": conv.decay.expand(CELLS, -1)})
    rows = []
    for o in range(12):
        for e in range(int(edges.start[o]), int(edges.start[o + 1])):
            j, age = int(edges.source[e]), edges.age[e]
            while j >= 0:
                rows.append((o, j, int(edges.cell[e]), age))
                j, age = int(edges.previous[j]), age + edges.gap[j]
    output, source, cell, age = (torch.tensor(column) for column in zip(*rows, strict=True))
    start = torch.searchsorted(output, torch.arange(13))
    all_past = StreamEdges(start, source.int(), cell.to(torch.uint8), age)
    for one, other in zip(results(conv, x, edges), results(windowed, x, all_past), strict=True):
        torch.testing.assert_close(one, other if one.shape == other.shape else other.sum(0))


def test_is_the_same_each_time():
    conv, edges, x = TraceConv(2, 16, 9), random_streams(200, 150, 5, 9), features(200, False).detach().float().requires_grad_()
    first = results(conv, x, edges)
    assert all(torch.equal(one, other) for one, other in zip(first, results(conv, x, edges), strict=True))


def test_keeps_nothing_but_what_it_was_given():
    """Traces are as large as the input times the exponentials, and are made again."""
    conv, edges, x = TraceConv(32, 4, 1, 16), random_streams(300, 100, 5, 1), torch.randn(300, 32, requires_grad=True)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        conv(x, edges)
    assert kept
    assert max(tensor.numel() for tensor in kept) <= max(x.numel(), conv.weight.numel())


def test_rates_begin_in_equal_ratios():
    torch.testing.assert_close(TraceConv(2, 3, CELLS).rates(), torch.tensor([0.25, 0.5, 1, 2]))
    torch.testing.assert_close(TraceConv(2, 3, CELLS, decays=1).rates(), torch.tensor([0.25]))


def test_what_does_not_fit():
    edges = random_streams(7, 6)
    with pytest.raises(EventZooError, match="TraceConv: channels, cells and decays are at least 1"):
        TraceConv(2, 3, 0)
    with pytest.raises(EventZooError, match="names an earlier event, or -1, for each of 7 events"):
        TraceConv(2, 3, CELLS)(torch.zeros(7, 2), edges._replace(previous=torch.arange(7, dtype=torch.int32)))
