"""Layers whose windows move over a map, dense or sparse, brought up to date where cells changed."""

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn

from eventzoo.asynchronous import Plan, Unsupported, Window
from eventzoo.asynchronous.converter import converter_of, converters
from eventzoo.kernels.asynchronous import products, sites
from eventzoo.kernels.asynchronous.map_convolution import TapShares
from eventzoo.kernels.asynchronous.map_taps import make_taps
from eventzoo.nn.sparse import SparseBatchNorm, SparseConv2d, SparseMap, SparseMaxPool2d, SparseReLU, SubmanifoldConv2d, ToDense, ToSparse

SIDES = st.integers(1, 3)
VALUES = st.sampled_from([0.0, 0.0, 1.0, -0.3, 1e-3, 7e4])


@st.composite
def updates(draw, size, channels):
    """Rows for a few cells at a time, some of which are what is there already."""
    cells = st.integers(0, size[0] * size[1] - 1)
    rows = st.lists(VALUES, min_size=channels, max_size=channels)
    return draw(st.lists(st.dictionaries(cells, rows), min_size=1, max_size=5))


@st.composite
def dense_layers(draw):
    """A layer, the size of its map, and updates of it."""
    width, height, channels = draw(st.integers(1, 6)), draw(st.integers(1, 6)), draw(st.integers(1, 6))
    kernel, stride, dilation = draw(st.tuples(SIDES, SIDES)), draw(st.tuples(SIDES, SIDES)), draw(st.tuples(SIDES, SIDES))
    torch.manual_seed(draw(st.integers(0, 9)))
    if draw(st.booleans()):
        padding = draw(st.sampled_from(["same", "valid", 0, 1, (2, 1)]))
        stride = 1 if padding == "same" else stride
        layer = nn.Conv2d(channels, draw(st.integers(1, 9)), kernel, stride, padding, dilation, bias=draw(st.booleans()))
    else:
        layer = nn.MaxPool2d(kernel, stride, tuple(side // 2 for side in kernel), dilation)
    return layer, channels, (width, height), draw(updates((width, height), channels))


@st.composite
def sparse_layers(draw):
    """A series of sparse layers, the size of its map, and updates of it."""
    width, height, channels = draw(st.integers(3, 8)), draw(st.integers(3, 8)), draw(st.integers(1, 3))
    torch.manual_seed(draw(st.integers(0, 9)))
    norm = SparseBatchNorm(4)
    nn.init.normal_(norm.module.bias)  # without which a site that is taken for active by mistake would not show
    pool = draw(st.sampled_from([SparseMaxPool2d(), SparseMaxPool2d(2, 1), SparseConv2d(4, 4, 2, 2, bias=True), SparseConv2d(4, 4)]))
    first = SubmanifoldConv2d(channels, 4, bias=draw(st.booleans()))
    layers = [ToSparse(), first, norm, SparseReLU(), pool, SubmanifoldConv2d(4, 2, draw(st.sampled_from([1, 3, 5])), bias=True)]
    return [*layers, *draw(st.sampled_from([[], [ToDense()]]))], channels, (width, height), draw(updates((width, height), channels))


def check(carried_out, layers, channels, size, changes):
    """The output is torch's after each update, by whatever updates, and what is said to have changed has."""
    carried, rows, before = carried_out(layers, channels, size), {}, None
    for change in changes:
        rows |= change
        changed = carried.change(change)
        found, expected = carried.found, carried.expected
        if isinstance(found, SparseMap):
            assert torch.equal(found.active, expected.active)
            active = np.flatnonzero(found.active.numpy())
            found, expected = found.features, expected.features
        else:
            active = range(found.shape[2] * found.shape[3])
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6 * float(expected.abs().max()))
        at_once = carried_out(layers, channels, size)
        at_once.change(rows)
        again = at_once.found.features if isinstance(at_once.found, SparseMap) else at_once.found
        assert torch.equal(found, again), "the bits do not tell how the map came to be"
        now = dict(zip(active, found.flatten(2)[0].T[list(active)].tolist(), strict=True))
        assert changed == {cell for cell, row in now.items() if before is None or before.get(cell) != row}
        before = now


@given(case=dense_layers())
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")  # torch copies the input then, and says so once
@settings(max_examples=30, deadline=None)
def test_any_updates_of_a_dense_map(carried_out, case):
    layer, channels, (width, height), changes = case
    try:
        layer(torch.zeros(1, channels, height, width))
    except RuntimeError:  # the window is larger than the map
        return
    check(carried_out, [layer], channels, (width, height), changes)


@given(case=sparse_layers())
@settings(max_examples=30, deadline=None)
def test_any_updates_of_a_sparse_map(carried_out, case):
    check(carried_out, *case)


@given(width=st.integers(1, 5), height=st.integers(1, 5), new_width=st.integers(1, 7), new_height=st.integers(1, 7), data=st.data())
@settings(max_examples=20, deadline=None)
def test_any_updates_of_a_resized_map(carried_out, width, height, new_width, new_height, data):
    check(carried_out, [nn.Upsample(size=(new_height, new_width))], 2, (width, height), data.draw(updates((width, height), 2)))


def test_what_a_change_touches(carried_out):
    """One cell is multiplied, and those around it are added up, each once."""
    carried = carried_out([nn.Conv2d(2, 3, 3, padding=1)], 2, (6, 5))
    carried.change({})
    assert carried.change({14: [1, 2]}) == {7, 8, 9, 13, 14, 15, 19, 20, 21}
    assert carried.change({0: [1, 2], 1: [1, 2]}) == {0, 1, 2, 6, 7, 8}
    assert carried.change({0: [1, 2]}) == set()
    assert carried.x.domain.sites.value.counts[sites.WORK] == 0


def test_what_a_change_of_a_sparse_map_multiplies(carried_out):
    """Pairs of a changed site and an active one that reads it, and those of a new site: the rules of the paper."""
    carried = carried_out([ToSparse(), SubmanifoldConv2d(1, 1)], 1, (6, 5))
    carried.change({})

    (shares,) = (state for state in carried.plan.states if isinstance(state.value, TapShares))

    def products(rows):
        carried.change(rows)
        return shares.value.counts.sum()

    assert products({14: [1]}) == 1  # alone: by itself
    assert products({15: [1]}) == 3  # by itself, each by the other
    assert products({14: [2]}) == 2
    assert products({20: [1]}) == 5  # by itself, and it and the two before by each other
    assert products({15: [0]}) == 0  # a site that leaves is only left out
    assert products({15: [0]}) == 0
    assert products({}) == 0


def test_taps_by_hand():
    taps, size = make_taps((3, 2), (2, 2), stride=(1, 2), padding=(0, 1))
    assert size == (2, 1)
    assert taps.reads.tolist() == [[-1, 0, -1, 3], [1, 2, 4, 5]]
    assert taps.feeds.tolist() == [[-1, 0, -1, -1], [1, -1, -1, -1], [-1, 1, -1, -1], [-1, -1, -1, 0], [-1, -1, 1, -1], [-1, -1, -1, 1]]


@given(st.integers(1, 20), st.integers(1, 70), st.integers(0, 99))
@example(64, 576, 0)
@settings(deadline=None)
def test_a_row_has_the_same_bits_among_others(length, channels, seed):
    """Otherwise the answer would depend on how many cells change together."""
    rng = np.random.default_rng(seed)
    matrix, rows = rng.normal(size=(length, channels)).astype(np.float32), rng.normal(size=(4, length)).astype(np.float32)
    four, single = np.full((2, 4, channels), np.nan, np.float32)
    products.multiply_four(tuple(four), tuple(rows), matrix)
    for out, row in zip(single, rows, strict=True):
        products.multiply_row(out, row, matrix)
    np.testing.assert_array_equal(four, single)
    np.testing.assert_allclose(single, rows.astype(np.float64) @ matrix, rtol=0, atol=1e-5 * length)


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (nn.Conv2d(2, 4, 3, padding=1, groups=2), "its groups are 2"),
        (nn.Conv2d(2, 3, 3, padding=1, padding_mode="reflect"), "its padding 'reflect'"),
        (nn.MaxPool2d(2, ceil_mode=True), "beyond the map"),
        (nn.MaxPool2d(2, return_indices=True), "indices"),
        (nn.Upsample(size=(8, 8), mode="bilinear"), "'bilinear'"),
        (SubmanifoldConv2d(2, 3), "not given a sparse map"),
        (SparseMaxPool2d(), "not given a sparse map"),
        (ToDense(), "not given a sparse map"),
    ],
)
def test_what_is_not_converted(carried_out, layer, reason):
    with pytest.raises(Unsupported, match=reason):
        carried_out([layer], 2, (4, 4))


@pytest.mark.parametrize("layer", [nn.Conv2d(2, 3, 1), nn.MaxPool2d(2), ToSparse(), nn.Upsample(size=(8, 8))])
def test_what_is_no_dense_map(layer):
    plan = Plan(Window(), (8, 8), 1024)
    for x in (plan.features(plan.domain(16), 2), plan.features(plan.domain(16), 2, (4, 4), sparse=True)):
        with pytest.raises(Unsupported, match="not given a map"):
            converter_of(layer, converters()).convert(plan, layer, x)
