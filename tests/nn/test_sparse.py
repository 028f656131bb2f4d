"""Sparse layers beside loops over a dictionary of active sites."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from eventzoo.errors import EventZooError
from eventzoo.nn.sparse import (
    SparseBatchNorm,
    SparseConv2d,
    SparseMap,
    SparseMaxPool2d,
    SparseReLU,
    SubmanifoldConv2d,
    ToDense,
    ToSparse,
)


def sparse_map(seed=0, samples=2, channels=2, height=7, width=6, share=0.3, dtype=torch.float64):
    """A map of active sites at random, some of whose features are zero, or all of them."""
    rng = np.random.default_rng(seed)
    active = rng.random((samples, 1, height, width)) < share
    features = rng.normal(size=(samples, channels, height, width)) * (rng.random((samples, channels, height, width)) < 0.8) * active
    return SparseMap(torch.from_numpy(features).to(dtype), torch.from_numpy(active))


maps = st.builds(
    sparse_map, st.integers(0, 2**20), st.integers(1, 3), st.integers(1, 3), st.integers(5, 9), st.integers(5, 9), st.floats(0, 1)
)
few = settings(max_examples=40, deadline=None)


def sites(x):
    """Sample, row and column of each active site, with its features."""
    return {(b, i, j): x.features[b, :, i, j].detach().numpy() for b, _, i, j in x.active.nonzero().tolist()}


def from_sites(found, like, channels):
    """The map that a dictionary of sites describes."""
    features, active = np.zeros((like.features.shape[0], channels, *like.features.shape[2:])), np.zeros(like.active.shape, bool)
    for (b, i, j), x in found.items():
        features[b, :, i, j], active[b, 0, i, j] = x, True
    return SparseMap(torch.from_numpy(features), torch.from_numpy(active))


def windows(x, kernel_size, stride):
    """Of each place of a kernel that covers an active site, the active sites by their place in the kernel."""
    found, (height, width) = sites(x), x.features.shape[2:]
    covered = {}
    for b, i, j in itertools.product(
        range(len(x.features)), range((height - kernel_size) // stride + 1), range((width - kernel_size) // stride + 1)
    ):
        taps = {
            (v, u): found[b, i * stride + v, j * stride + u]
            for v, u in itertools.product(range(kernel_size), repeat=2)
            if (b, i * stride + v, j * stride + u) in found
        }
        if taps:
            covered[b, i, j] = taps
    return covered


def assert_same(found, expected):
    torch.testing.assert_close(found.features, expected.features)
    assert torch.equal(found.active, expected.active)


def double(layer):
    """In float64, with a summand and weights that are not the first ones'."""
    torch.manual_seed(0)
    for parameter in layer.double().parameters():
        nn.init.normal_(parameter)
    return layer


@given(maps, st.sampled_from([1, 3, 5]), st.booleans())
@few
def test_submanifold_convolution(x, kernel_size, bias):
    conv = double(SubmanifoldConv2d(x.features.shape[1], 4, kernel_size, bias))
    weight, middle, found = conv.weight.detach().numpy(), kernel_size // 2, sites(x)
    expected = {}
    for b, i, j in found:
        expected[b, i, j] = conv.bias.detach().numpy().copy() if bias else np.zeros(4)
        for v, u in itertools.product(range(kernel_size), repeat=2):
            expected[b, i, j] += weight[:, :, v, u] @ found.get((b, i + v - middle, j + u - middle), np.zeros(weight.shape[1]))
    assert_same(conv(x), from_sites(expected, x, 4))


@given(maps, st.integers(1, 4), st.integers(1, 3), st.booleans())
@few
def test_strided_convolution(x, kernel_size, stride, bias):
    conv = double(SparseConv2d(x.features.shape[1], 3, kernel_size, stride, bias))
    weight = conv.weight.detach().numpy()
    expected = {}
    for site, taps in windows(x, kernel_size, stride).items():
        expected[site] = sum(weight[:, :, v, u] @ features for (v, u), features in taps.items())
        expected[site] = expected[site] + (conv.bias.detach().numpy() if bias else 0)
    found = conv(x)
    assert_same(found, from_sites(expected, found, 3))


@given(maps, st.integers(1, 4), st.integers(1, 3))
@few
def test_max_pooling_is_over_active_sites_and_zero(x, kernel_size, stride):
    found = SparseMaxPool2d(kernel_size, stride)(x)
    expected = {site: np.maximum(np.stack([*taps.values()]).max(0), 0) for site, taps in windows(x, kernel_size, stride).items()}
    assert_same(found, from_sites(expected, found, x.features.shape[1]))


@given(maps, st.booleans())
@few
def test_batch_norm_is_over_the_active_sites_of_the_batch(x, training):
    channels = x.features.shape[1]
    norm = double(SparseBatchNorm(channels, momentum=0.3)).train(training)
    norm.module.running_mean.normal_()
    norm.module.running_var.uniform_(0.5, 2)
    mean, variance = norm.module.running_mean.numpy().copy(), norm.module.running_var.numpy().copy()
    scale, shift, found = norm.module.weight.detach().numpy(), norm.module.bias.detach().numpy(), sites(x)
    after = mean, variance
    if training and len(found) >= 2:
        rows = np.stack([*found.values()])
        running_variance = rows.var(0, ddof=1)  # that of the population, while the rows themselves are made to have variance 1
        after = 0.7 * mean + 0.3 * rows.mean(0), 0.7 * variance + 0.3 * running_variance
        mean, variance = rows.mean(0), rows.var(0)
    expected = {site: (features - mean) / np.sqrt(variance + 1e-4) * scale + shift for site, features in found.items()}
    assert_same(norm(x), from_sites(expected, x, channels))
    np.testing.assert_allclose(norm.module.running_mean, after[0])
    np.testing.assert_allclose(norm.module.running_var, after[1])


@given(maps)
@few
def test_relu_and_back_to_a_dense_map(x):
    found = SparseReLU()(x)
    assert_same(found, from_sites({site: np.maximum(features, 0) for site, features in sites(x).items()}, x, x.features.shape[1]))
    assert torch.equal(ToDense()(found), found.features)


def test_a_pixel_is_active_if_any_of_its_channels_is_not_zero():
    image = torch.zeros(1, 2, 2, 2)
    image[0, :, 0, 1], image[0, :, 1, 0] = torch.tensor([1.0, -1.0]), torch.tensor([0.0, -2.0])
    found = ToSparse()(image)
    assert found.active.tolist() == [[[[False, True], [True, False]]]]
    assert torch.equal(found.features, image)


def test_a_site_whose_features_are_all_zero_stays_active():
    """What a ReLU has put to zero is still summed up with, shifted by the norm, and makes the sites of coarser maps active."""
    x = sparse_map(samples=1, channels=1)
    dead = SparseReLU()(SparseMap(-x.features.abs(), x.active))
    assert dead.features.count_nonzero() == 0
    norm = double(SparseBatchNorm(1)).eval()
    for layer in (double(SubmanifoldConv2d(1, 1)), SparseMaxPool2d(), double(SparseConv2d(1, 1)), norm):
        assert torch.equal(layer(dead).active, layer(x).active)
    shift = (norm.module.bias - norm.module.running_mean / (norm.module.running_var + 1e-4).sqrt() * norm.module.weight).item()
    torch.testing.assert_close(norm(SparseMaxPool2d()(dead)).features, shift * SparseMaxPool2d()(x).active.double())


@pytest.mark.parametrize("training", [False, True])
def test_cells_without_active_input_get_no_shift(training):
    x = sparse_map(height=19, width=19, share=0.02)
    conv, norm = double(SparseConv2d(2, 3)), double(SparseBatchNorm(3)).train(training)
    nn.init.constant_(norm.module.bias, 5)
    found = norm(conv(x))
    assert not found.active.all()
    assert found.features.masked_select(~found.active).count_nonzero() == 0
    assert found.features.masked_select(found.active).count_nonzero() == 3 * found.active.sum()


LAYERS = {
    "submanifold": lambda: SubmanifoldConv2d(2, 3, bias=True),
    "strided": lambda: SparseConv2d(2, 3, bias=True),
    "pool": SparseMaxPool2d,
    "norm": lambda: SparseBatchNorm(2),
    "relu": SparseReLU,
}


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_gradients(name, training):
    x, layer = sparse_map(samples=2, height=5, width=6), double(LAYERS[name]()).train(training)
    names, parameters = zip(*layer.named_parameters(), strict=True) if list(layer.parameters()) else ((), ())

    def apply(features, *values):
        inputs = SparseMap(features * x.active, x.active)
        return torch.func.functional_call(layer, dict(zip(names, values, strict=True)), inputs).features

    leaves = [torch.randn_like(x.features), *(parameter.detach().clone() for parameter in parameters)]
    assert torch.autograd.gradcheck(apply, [leaf.requires_grad_() for leaf in leaves])


def network():
    """All layers in a row, with statistics that are not the first ones'."""
    torch.manual_seed(0)
    layers = [ToSparse(), SubmanifoldConv2d(2, 4), SparseBatchNorm(4), SparseReLU(), SparseMaxPool2d()]
    layers += [SubmanifoldConv2d(4, 6, bias=True), SparseBatchNorm(6), SparseReLU(), SparseConv2d(6, 5), SparseBatchNorm(5), ToDense()]
    for layer in layers:
        if isinstance(layer, SparseBatchNorm):
            layer.module.running_mean.normal_()
            layer.module.running_var.uniform_(0.5, 2)
            nn.init.normal_(layer.module.bias)
    return nn.Sequential(*layers)


def image(samples=3):
    return sparse_map(samples=samples, height=15, width=11, dtype=torch.float32).features


def test_in_evaluation_a_sample_means_the_same_in_any_company():
    net, batch = network().eval(), image()
    batch[1] = 0
    together = net(batch)
    torch.testing.assert_close(together, torch.cat([net(batch[i : i + 1]) for i in range(3)]))
    assert together[1].count_nonzero() == 0


@pytest.mark.parametrize("count", [0, 1])
def test_a_batch_of_fewer_than_two_sites_is_normalised_by_the_running_statistics(count):
    net, batch = network(), torch.zeros(2, 2, 15, 11)
    batch[1, :, 7, 7] = count  # a pixel that only one window covers, in a cell that only one window covers
    before = {name: buffer.clone() for name, buffer in net.named_buffers()}
    found = net.train()(batch)
    torch.testing.assert_close(dict(net.named_buffers()), before)
    torch.testing.assert_close(found, net.eval()(batch))
    found.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in net.parameters())


@pytest.mark.parametrize("training", [False, True])
def test_mixed_precision(training):
    net, batch = network().train(training), image()

    def step(enabled):
        net.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            found = net(batch)
        found.float().square().mean().backward()
        return found.float(), torch.cat([parameter.grad.flatten() for parameter in net.parameters()])

    (found, gradient), (mixed, mixed_gradient) = step(enabled=False), step(enabled=True)
    assert not torch.equal(mixed, found)  # something was computed in bfloat16
    assert (mixed - found).norm() < 0.02 * found.norm()
    assert (mixed_gradient - gradient).norm() < 0.05 * gradient.norm()
    assert torch.equal(mixed == 0, found == 0)


def test_norms_are_found_by_those_that_join_them_over_processes():
    net, batch = network().eval(), image()
    expected = net(batch)
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(net)
    assert sum(isinstance(module, nn.SyncBatchNorm) for module in converted.modules()) == 3
    torch.testing.assert_close(converted(batch), expected)
    assert converted.train()(batch).isfinite().all()


@pytest.mark.parametrize("kernel_size", [3, 5])
@pytest.mark.parametrize("layer", [SubmanifoldConv2d, SparseConv2d])
def test_first_weights_keep_the_variance_of_what_a_relu_leaves(layer, kernel_size):
    torch.manual_seed(0)
    conv = layer(24, 64, kernel_size)
    assert conv.weight.std().item() == pytest.approx((2 / (kernel_size**2 * 24)) ** 0.5, rel=0.03)
    assert conv.bias is None
    assert f"24, 64, kernel_size={kernel_size}" in repr(conv)


def test_a_kernel_without_a_middle_is_refused():
    with pytest.raises(EventZooError, match="SubmanifoldConv2d: the kernel needs a middle, so its side is odd, not 2"):
        SubmanifoldConv2d(1, 1, 2)
