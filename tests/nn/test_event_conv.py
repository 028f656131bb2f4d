"""Convolutions of event streams with windows."""

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


def random_edges(inputs, outputs, count, cells=CELLS, seed=0):
    generator = torch.Generator().manual_seed(seed)
    count = count if inputs and outputs else 0
    key = torch.randint(0, max(outputs * cells, 1), (count,), generator=generator).sort().values
    start = torch.zeros(outputs + 1, dtype=torch.long)
    start[1:] = torch.bincount(key // cells, minlength=outputs).cumsum(0)[:outputs]
    source = torch.randint(0, max(inputs, 1), (count,), generator=generator, dtype=torch.int32)
    return StreamEdges(start, source, (key % cells).to(torch.uint8), 4 * torch.rand(count, generator=generator, dtype=torch.float64))


def features(inputs, binary, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(inputs, 2, generator=generator, dtype=torch.float64)
    return x[:, 0] > 0 if binary else x.requires_grad_()


def literal_conv(conv, x, edges):
    """The formula of the docstring, edge by edge."""
    out = [conv.bias.clone() for _ in edges.start[1:]]
    rates = conv.rates()
    for o in range(len(out)):
        for e in range(int(edges.start[o]), int(edges.start[o + 1])):
            j, p = int(edges.source[e]), int(edges.cell[e])
            value = torch.eye(2, dtype=conv.weight.dtype)[int(x[j])] if conv.binary else x[j]
            for k in range(conv.decays):
                out[o] = out[o] + torch.exp(-rates[p, k] * edges.age[e]) * value @ conv.weight[p, k]
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
    st.integers(0, 40),
    st.booleans(),
    st.sampled_from([1, 3, 9]),
    st.sampled_from([1, 2, 4, 5]),
    st.sampled_from(["projection", "softplus"]),
    st.integers(1, 9),
    st.integers(0, 99),
)
def test_equals_the_formula(inputs, outputs, count, binary, cells, decays, positive, rows, seed):
    torch.manual_seed(seed)
    conv = EventConv(2, 3, cells, decays, binary, positive).double()
    torch.nn.init.uniform_(conv.decay, -1, 2)
    torch.nn.init.normal_(conv.bias)
    edges, x = random_edges(inputs, outputs, count, cells, seed), features(inputs, binary, seed)
    with mock.patch.object(event_conv, "_ROWS_AT_ONCE", rows):
        out = conv(x, edges)
    torch.testing.assert_close(out, literal_conv(conv, x, edges))


@forms
@pytest.mark.parametrize("convolve", [event_conv._Convolve.apply, convolve_in_torch], ids=["compiled", "torch"])
@pytest.mark.parametrize("rate", [None, 0.0])
def test_gradients_agree_with_finite_differences(binary, cells, decays, convolve, rate):
    torch.manual_seed(0)
    edges, x = random_edges(7, 12, 15, cells), features(7, binary)
    assert (edges.start.diff() == 0).any(), "an event that sees nothing is among them"
    weight = torch.randn(cells, decays, 2, 3, dtype=torch.float64, requires_grad=True)
    rates = torch.rand(cells, decays, dtype=torch.float64)
    rates = (rates if rate is None else torch.full_like(rates, rate)).requires_grad_()
    with mock.patch.object(event_conv, "_ROWS_AT_ONCE", 2):
        assert torch.autograd.gradcheck(lambda x, rates, weight: convolve(x, rates, weight, edges), (x, rates, weight))


@forms
@pytest.mark.parametrize(("inputs", "outputs", "count"), [(50, 40, 300), (5, 0, 0), (0, 0, 0), (0, 4, 0), (5, 4, 0)])
def test_torch_alone_gives_the_same(binary, cells, decays, inputs, outputs, count):
    """Other devices and types have no compiled loops."""
    conv, edges, x = EventConv(2, 3, cells, decays, binary).double(), random_edges(inputs, outputs, count, cells), features(inputs, binary)
    compiled = results(conv, x, edges)
    with mock.patch.object(event_conv._Convolve, "apply", convolve_in_torch):
        by_torch = results(conv, x, edges)
    for one, other in zip(compiled, by_torch, strict=True):
        torch.testing.assert_close(one, other)
    assert compiled[0].shape == (outputs, 3)


@forms
def test_float32_stays_near_float64(binary, cells, decays):
    """Both are compiled; ages are taken in the weights' type."""
    torch.manual_seed(0)
    conv, edges, x = EventConv(2, 16, cells, decays, binary), random_edges(200, 150, 2000, cells), features(200, binary)
    single = results(conv, x if binary else x.detach().float().requires_grad_(), edges)
    double = results(copy.deepcopy(conv).double(), x, edges)
    assert single[0].dtype == torch.float32
    for one, other in zip(single, double, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("decays", [1, 4])
def test_features_may_need_no_gradient(decays):
    conv, edges, x = EventConv(2, 3, CELLS, decays).double(), random_edges(50, 40, 300), features(50, False)
    for one, other in zip(results(conv, x.detach(), edges), results(conv, x, edges), strict=False):
        torch.testing.assert_close(one, other)


def test_is_the_same_each_time():
    conv, edges, x = EventConv(2, 16, 9, 4), random_edges(200, 150, 2000, 9), features(200, False).detach().float().requires_grad_()
    first = results(conv, x, edges)
    assert all(torch.equal(one, other) for one, other in zip(first, results(conv, x, edges), strict=True))


def test_a_batch_is_its_samples():
    conv, samples = EventConv(2, 3, CELLS).double(), [(7, 5, 20), (0, 0, 0), (4, 6, 9), (3, 2, 0)]
    edges, x = [random_edges(*sample) for sample in samples], [features(sample[0], False, seed) for seed, sample in enumerate(samples)]
    inputs, counts = torch.tensor([len(part) for part in x]), torch.tensor([len(part.source) for part in edges])
    before, first = inputs.cumsum(0) - inputs, counts.cumsum(0) - counts
    batch = StreamEdges(
        torch.cat([torch.zeros(1, dtype=torch.long), *(part.start[1:] + a for part, a in zip(edges, first, strict=True))]),
        torch.cat([part.source + int(a) for part, a in zip(edges, before, strict=True)]),
        torch.cat([part.cell for part in edges]),
        torch.cat([part.age for part in edges]),
    )
    alone = [conv(features, part) for features, part in zip(x, edges, strict=True)]
    torch.testing.assert_close(conv(torch.cat(x), batch), torch.cat(alone))


def test_keeps_nothing_but_what_it_was_given():
    """What is between an edge and a product is as large as edges times exponentials times channels, and is made again."""
    conv, edges, x = EventConv(32, 8, 9, 4), random_edges(300, 100, 5000, 9), torch.randn(300, 32, requires_grad=True)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        conv(x, edges)
    assert kept
    assert max(tensor.numel() for tensor in kept) <= max(x.numel(), conv.weight.numel())


def test_a_decay_is_set_to_zero_and_can_leave_it():
    conv, edges = EventConv(2, 3, CELLS).double(), random_edges(7, 6, 20)
    with torch.no_grad():
        conv.decay[0] = -0.5
        conv.decay[1] = 0
    conv.eval()(features(7, False), edges)
    assert conv.decay[0, 0] == -0.5, "evaluating changes no parameter"
    assert conv.rates()[0, 0] == 0
    out = conv.train()(features(7, False), edges) + conv(features(7, False), edges)  # twice before the backward pass
    assert conv.decay.min() == 0
    out.square().sum().backward()
    assert (conv.decay.grad[:2] != 0).all()


def test_a_softplus_is_left_as_it_is():
    conv = EventConv(2, 3, CELLS, positive="softplus")
    torch.testing.assert_close(conv.rates(), torch.ones(CELLS, 4))
    conv.decay.data.fill_(-3)
    conv(features(7, False).float(), random_edges(7, 6, 20))
    assert (conv.decay == -3).all()
    assert (conv.rates() > 0).all()


def test_mixed_precision_computes_in_float32():
    conv, edges, x = EventConv(2, 3, CELLS), random_edges(50, 40, 300), features(50, False).detach().float()
    with torch.autocast("cpu", torch.bfloat16):
        out = conv(x.bfloat16(), edges)
    assert out.dtype == torch.float32
    assert torch.equal(out, conv(x.bfloat16().float(), edges))


def test_half_precision_goes_without_compiled_loops():
    conv, edges, x = EventConv(2, 3, CELLS), random_edges(50, 40, 300), features(50, False).detach().float()
    out = copy.deepcopy(conv).bfloat16()(x.bfloat16(), edges)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), conv(x, edges), rtol=0.1, atol=0.3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"in_channels": 0}, "channels, cells and decays are at least 1"),
        ({"decays": 0}, "channels, cells and decays are at least 1"),
        ({"cells": 257}, "cells at most 256"),
        ({"binary": True, "in_channels": 3}, "in_channels is 2, not 3"),
        ({"positive": "absolute"}, "'projection' or 'softplus', not 'absolute'"),
    ],
)
def test_settings_out_of_range(arguments, words):
    with pytest.raises(EventZooError, match=words):
        EventConv(**{"in_channels": 2, "out_channels": 3, "cells": 9} | arguments)


def test_what_does_not_fit():
    conv, edges, x = EventConv(2, 3, CELLS), random_edges(7, 6, 20), torch.zeros(7, 2)
    traces = TraceEdges(*edges, torch.full((7,), -1, dtype=torch.int32), torch.zeros(7))
    with pytest.raises(
        EventZooError, match=r"EventConv takes the edges of memory='window'.*set `memory` of ECN and EventStream to the same"
    ):
        conv(x, traces)
    with pytest.raises(EventZooError, match="TraceConv takes the edges of memory='trace', not StreamEdges"):
        TraceConv(2, 3, CELLS)(x, edges)
    with pytest.raises(EventZooError, match=r"takes features \[7, 2\], not float32 \[7, 3\]"):
        conv(torch.zeros(7, 3), edges)
    with pytest.raises(EventZooError, match=r"takes features bool \[7\], not float32 \[7, 2\]"):
        EventConv(2, 3, CELLS, binary=True)(x, edges)
    with pytest.raises(EventZooError, match="another level's"):
        conv(x[:3], edges)
    with pytest.raises(EventZooError, match="another stencil's edges"):
        EventConv(2, 3, 2)(x, edges)
