import copy
import itertools
from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eventzoo.nn import spline_conv
from eventzoo.nn.spline_conv import SplineConv, SplineEdges


def literal_conv(conv, x, edge_index, edge_attr):
    """The formula of the docstring, edge by edge and corner by corner."""
    k, out = conv.kernel_size, x.new_zeros(len(x), conv.out_channels)
    degree = torch.bincount(edge_index[1], minlength=len(x))
    for (j, i), u in zip(edge_index.T.tolist(), edge_attr, strict=True):
        v = u * (k - 1)
        lower = v.floor().clamp(max=k - 2)
        for bits in itertools.product((0, 1), repeat=conv.dim):
            weight, index = x.new_ones(()), 0
            for d, bit in enumerate(bits):
                fraction = v[d] - lower[d]
                weight = weight * (fraction if bit else 1 - fraction)
                index += (int(lower[d]) + bit) * k**d
            out[i] += weight * (x[j] @ conv.weight[index]) / degree[i]
    if conv.root is not None:
        out = out + conv.root(x)
    return out if conv.bias is None else out + conv.bias


def random_graph(nodes, edges, dim, seed=0):
    generator = torch.Generator().manual_seed(seed)
    edge_index = torch.randint(0, nodes, (2, edges), generator=generator) if nodes else torch.zeros(2, 0, dtype=torch.long)
    return edge_index, torch.rand(edge_index.shape[1], dim, generator=generator, dtype=torch.float64)


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 12),
    st.integers(0, 40),
    st.sampled_from([2, 3]),
    st.sampled_from([2, 3, 5]),
    st.booleans(),
    st.booleans(),
    st.integers(0, 99),
)
def test_equals_the_formula(nodes, edges, dim, kernel_size, bias, root, seed):
    torch.manual_seed(seed)
    edge_index, edge_attr = random_graph(nodes, edges, dim, seed)
    conv = SplineConv(3, 4, dim, kernel_size, bias=bias, root_weight=root).double()
    x = torch.randn(nodes, 3, dtype=torch.float64)
    out = conv(x, SplineEdges(edge_index, edge_attr, nodes, kernel_size))
    torch.testing.assert_close(out, literal_conv(conv, x, edge_index, edge_attr))


@pytest.mark.parametrize(("dim", "kernel_size"), [(3, 2), (2, 2), (2, 5), (3, 8)])
def test_gradients_agree_with_finite_differences(dim, kernel_size):
    torch.manual_seed(0)
    edge_index, edge_attr = random_graph(7, 20, dim)
    conv = SplineConv(2, 3, dim, kernel_size).double()
    edges = SplineEdges(edge_index, edge_attr, 7, kernel_size)
    x = torch.randn(7, 2, dtype=torch.float64, requires_grad=True)
    touched = conv.weight.detach()[:, :, :1].clone().requires_grad_()

    def convolve(x, weight):
        rest = conv.weight[:, :, 1:]
        return torch.func.functional_call(conv, {"weight": torch.cat([weight, rest], 2)}, (x, edges))

    assert torch.autograd.gradcheck(convolve, (x, touched))


@pytest.mark.parametrize("kernel_size", [2, 4])
def test_the_order_of_the_edges_does_not_matter(kernel_size):
    edge_index, edge_attr = random_graph(10, 60, 3)
    conv, x = SplineConv(4, 4, 3, kernel_size).double(), torch.randn(10, 4, dtype=torch.float64)
    shuffled = torch.randperm(60)
    torch.testing.assert_close(
        conv(x, SplineEdges(edge_index, edge_attr, 10, kernel_size)),
        conv(x, SplineEdges(edge_index[:, shuffled], edge_attr[shuffled], 10, kernel_size)),
    )


def test_ends_of_the_kernel():
    """An offset of exactly 0 or 1 touches the first or last kernel point alone; beyond them it is clamped."""
    conv = SplineConv(1, 1, 2, 3, bias=False, root_weight=False)
    conv.weight.data = torch.arange(9.0).view(9, 1, 1)
    for u, expected in [((0, 0), 0.0), ((1, 0), 2.0), ((0, 1), 6.0), ((1, 1), 8.0), ((0.5, 0.5), 4.0), ((1.5, -0.2), 2.0)]:
        edges = SplineEdges(torch.tensor([[0], [1]]), torch.tensor([u], dtype=torch.float32), 2, 3)
        assert conv(torch.ones(2, 1), edges).flatten().tolist() == [0.0, expected]


@settings(deadline=None, max_examples=30)
@given(
    st.integers(0, 40),
    st.integers(0, 300),
    st.sampled_from([(3, 2), (2, 2), (1, 2), (3, 8), (2, 5)]),
    st.booleans(),
    st.integers(0, 99),
)
def test_compiled_sums_equal_those_by_torch(nodes, edges, kernel, sort, seed):
    """float32 on CPU is summed by compiled loops, some nodes at a time; float64, as everything on other devices, by torch."""
    torch.manual_seed(seed)
    edge_index, edge_attr = random_graph(nodes, edges, kernel[0], seed)
    if sort:
        edge_index = edge_index[:, edge_index[1].argsort()]
    conv, x, grad = SplineConv(5, 6, *kernel), torch.randn(nodes, 5), torch.randn(nodes, 6)

    def results(dtype):
        features, layer = x.to(dtype, copy=True).requires_grad_(), copy.deepcopy(conv).to(dtype)
        out = layer(features, SplineEdges(edge_index, edge_attr.to(dtype), nodes, kernel[1]))
        return out, *torch.autograd.grad(out, (features, *layer.parameters()), grad.to(dtype))

    with mock.patch.object(spline_conv, "_NODES_AT_ONCE", 7):
        compiled = results(torch.float32)
    for single, double in zip(compiled, results(torch.float64), strict=True):
        torch.testing.assert_close(single.double(), double, rtol=1e-4, atol=1e-4)


def test_float32_stays_near_float64():
    edge_index, edge_attr = random_graph(200, 4000, 3)
    conv, x = SplineConv(16, 16, 3, 2), torch.randn(200, 16)
    single = conv(x, SplineEdges(edge_index, edge_attr.float(), 200, 2))
    double = conv.double()(x.double(), SplineEdges(edge_index, edge_attr, 200, 2))
    torch.testing.assert_close(single.double(), double, rtol=1e-4, atol=1e-5)
