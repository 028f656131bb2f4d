"""Layers of the volumes that a stream's voxels make, brought up to date where voxels changed."""

import operator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import eventzoo
from eventzoo.asynchronous import Plan, Unsupported, Window
from eventzoo.asynchronous.converter import converter_of, converters
from eventzoo.kernels.asynchronous import sites
from eventzoo.nn.event_stream import HalvingConv3d

SIDES = st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 3))
VALUES = st.sampled_from([0.0, 0.0, 1.0, -0.3, 1e-3, 7e4])


@st.composite
def updates(draw, size, channels):
    """Rows for a few voxels at a time, some of which are what is there already."""
    rows = st.lists(VALUES, min_size=channels, max_size=channels)
    return draw(st.lists(st.dictionaries(st.integers(0, int(np.prod(size)) - 1), rows), min_size=1, max_size=5))


def normed(channels):
    norm = nn.BatchNorm3d(channels)
    for tensor in (norm.running_mean, norm.weight.data, norm.bias.data):
        tensor.normal_()
    return norm


@st.composite
def volumes(draw):
    """Layers, the `(width, height, frames)` of a volume, and updates of it."""
    size, channels, made = draw(SIDES), draw(st.integers(1, 5)), draw(st.integers(1, 6))
    torch.manual_seed(draw(st.integers(0, 9)))
    first = draw(
        st.sampled_from(
            [
                nn.Conv3d(channels, made, 1),
                nn.Conv3d(channels, made, 3, padding=1),
                nn.Conv3d(channels, made, 3, 2, 1, bias=False),
                nn.Conv3d(channels, made, (1, 2, 3), (2, 1, 1), (0, 1, 1)),
                nn.Conv3d(channels, made, (3, 1, 3), padding="same"),
                nn.Conv3d(channels, made, 2, padding=2, dilation=(1, 2, 3)),
                HalvingConv3d(channels, made),
            ]
        )
    )
    rest = draw(st.sampled_from([[], [normed(made)], [nn.ReLU(), HalvingConv3d(made, 2), normed(2)]]))
    return [first, *rest], channels, size, draw(updates(size, channels))


@given(case=volumes())
@settings(max_examples=30, deadline=None)
def test_any_updates_of_a_volume(carried_out, case):
    layers, channels, size, changes = case
    try:
        for layer in layers:
            layer.eval()
        nn.Sequential(*layers)(torch.zeros(1, channels, *reversed(size)))
    except RuntimeError:  # the window is larger than the volume
        return
    carried, rows, before = carried_out(layers, channels, size), {}, None
    for change in changes:
        rows |= change
        changed, found, expected = carried.change(change), carried.found, carried.expected
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=2e-6 * float(expected.abs().max()))
        at_once = carried_out(layers, channels, size)
        at_once.change(rows)
        assert torch.equal(found, at_once.found), "the bits do not tell how the volume came to be"
        now = dict(enumerate(found.flatten(2)[0].T.tolist()))
        assert changed == {cell for cell, row in now.items() if before is None or before[cell] != row}
        before = now


@given(size=SIDES, data=st.data(), flat=st.booleans())
@settings(max_examples=30, deadline=None)
def test_any_updates_of_what_is_maximal(carried_out, size, data, flat):
    size, pool = (size[:2], nn.AdaptiveMaxPool2d(1)) if flat else (size, nn.AdaptiveMaxPool3d((1, 1, 1)))
    conv = (nn.Conv2d if flat else nn.Conv3d)(2, 3, 1)
    carried = carried_out([conv, pool], 2, size)
    one, before = carried.plan.whole.sites.value, None
    for change in data.draw(updates(size, 2)):
        sites.begin_fixed(one)
        changed, found = carried.change(change), carried.found
        torch.testing.assert_close(found.flatten(), carried.expected.flatten(), rtol=1e-5, atol=1e-2)
        assert changed == (set() if before is not None and torch.equal(before, found) else {0})
        before = found.clone()


class Branches(nn.Module):
    """Two volumes that are added."""

    def __init__(self):
        super().__init__()
        self.one, self.two, self.norm = nn.Conv3d(2, 3, 3, padding=1), nn.Conv3d(2, 3, 1), normed(3)

    def forward(self, x):
        return self.one(x) + self.norm(self.two(x))


@given(size=SIDES, later_first=st.booleans(), data=st.data())
@settings(max_examples=20, deadline=None)
def test_volumes_of_different_origin_are_added(carried_out, size, later_first, data):
    torch.manual_seed(0)
    carried, module, known = carried_out([], 2, size), Branches().eval(), converters()

    def converted(layer, *x):
        output = converter_of(layer, known).convert(carried.plan, layer, *x)
        output.shared = False
        return output

    terms = converted(module.one, carried.x), converted(module.norm, converted(module.two, carried.x))
    carried.output, carried.layers = converted(operator.add, *(terms[::-1] if later_first else terms)), [module]
    for change in data.draw(updates(size, 2)):
        carried.change(change)
        torch.testing.assert_close(carried.found, carried.expected, rtol=1e-5, atol=2e-6 * float(carried.expected.abs().max()))


@pytest.mark.parametrize(
    ("layer", "size", "reason"),
    [
        (nn.AdaptiveMaxPool3d((1, 1, 2)), (4, 3, 2), "it makes a map"),
        (nn.AdaptiveMaxPool3d((None, 1, 1)), (4, 3, 2), "it makes a map"),
        (nn.AdaptiveMaxPool3d(1, return_indices=True), (4, 3, 2), "indices"),
        (nn.AdaptiveMaxPool2d(2), (4, 3), "it makes a map"),
        (nn.Conv3d(2, 2, 1), (4, 3), "a kernel for volumes"),
        (nn.Conv2d(2, 2, 1), (4, 3, 2), "a kernel for volumes"),
        (nn.Conv3d(2, 2, 1, groups=2), (4, 3, 2), "groups are 2"),
        (nn.Conv3d(2, 2, 3, padding=1, padding_mode="circular"), (4, 3, 2), "padding 'circular'"),
        (nn.MaxPool2d(2), (4, 3, 2), "it is given a volume"),
        (nn.Upsample(size=(2, 2)), (4, 3, 2), "it is given a volume"),
    ],
)
def test_what_is_not_converted(carried_out, layer, size, reason):
    with pytest.raises(Unsupported, match=reason):
        carried_out([layer], 2, size)


def test_a_maximum_of_all_cells_keeps_its_dimensions_until_it_is_flattened():
    plan = Plan(Window(), (4, 4), 64)
    volume = plan.features(plan.domain(8), 3, (2, 2, 2))
    top = eventzoo.async_converters.AsyncMapMaximum().convert(plan, nn.AdaptiveMaxPool3d(1), volume)
    assert top.size == (1, 1, 1)
    flatten = eventzoo.async_converters.AsyncFlatten()
    for dims in ((1, -1), (1, 4)):
        vector = flatten.convert(plan, nn.Flatten(*dims), top)
        assert vector.size is None
        assert vector.rows is top.rows
        assert vector.shared == top.shared
    for layer, x in ((nn.Flatten(1, 3), volume), (nn.AdaptiveMaxPool2d(1), volume), (nn.AdaptiveMaxPool3d(2), volume)):
        converter = flatten if isinstance(layer, nn.Flatten) else eventzoo.async_converters.AsyncMapMaximum()
        with pytest.raises(Unsupported):
            converter.convert(plan, layer, x)
