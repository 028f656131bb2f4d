"""Convolutions of a map, brought up to date where cells changed."""

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn

from eventzoo.asynchronous import Plan, Unsupported, Window
from eventzoo.asynchronous.converter import converter_of, converters
from eventzoo.kernels.asynchronous import products, sites


class Convolution:
    """A convolution in a plan by itself, on a map that the test writes to; the plan is carried out in Python, not compiled as one."""

    def __init__(self, layer, size):
        self.plan = Plan(Window(), (8, 8), 1024)
        self.x = self.plan.features(self.plan.domain(size[0] * size[1]), layer.in_channels, size)
        self.output = converter_of(layer, converters()).convert(self.plan, layer, self.x)

    def change(self, rows):
        """Put rows `{cell: features}` on the map; the cells whose output the convolution says has changed."""
        cells, x = self.x.domain.sites.value, self.x.rows.value
        sites.begin_fixed(cells)
        x.counts[0] = 0
        for cell in range(len(cells.id)) if cells.counts[sites.TRANSACTION] == 1 else rows:
            x.row[:] = rows.get(cell, 0)
            sites.commit(cells, x, cell)
        products_step, loop = self.plan.body
        value = {state.name: state.value for state in self.plan.states}
        products_step.call.function(*(value[name] for name in products_step.call.arguments))
        graph, (call,), output = loop.graph, loop.calls, self.output.rows.value
        sites.open_worklist(cells, output)
        sites.add_changed(cells, x)
        graph.add_readers(graph.state.value, cells, x.changed, x.counts[0])
        for slot in cells.work[: cells.counts[sites.WORK]].tolist():
            count = graph.incoming(graph.state.value, graph.edges.value, cells, slot)
            given = {"slot": slot, "count": count, f"{self.x.rows.name}.rows": x.rows, f"{self.output.rows.name}.row": output.row, **value}
            call.function(*(given[name] for name in call.arguments))
            sites.commit(cells, output, slot)
        return set(output.changed[: output.counts[0]].tolist())

    def map_of(self, features):
        """Rows as torch has them, `[1, C, height, width]`."""
        width, height = self.x.size
        return torch.from_numpy(features.rows.value.rows.copy()).T.reshape(1, -1, height, width)


@st.composite
def updates(draw):
    """A convolution, the size of its map, and rows for a few cells at a time, some of which are what is there already."""
    width, height = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    kernel = draw(st.sampled_from([1, 3, 5, (3, 1), (1, 5), (5, 3)]))
    channels = draw(st.tuples(st.integers(1, 6), st.integers(1, 9)))
    padding = draw(st.sampled_from(["same", tuple(np.array(nn.modules.utils._pair(kernel)) // 2)]))
    torch.manual_seed(draw(st.integers(0, 9)))
    layer = nn.Conv2d(*channels, kernel, padding=padding, bias=draw(st.booleans()))
    row = st.sampled_from([0.0, 1.0, -0.3, 1e-3, 7e4])
    changes = st.dictionaries(st.integers(0, width * height - 1), st.lists(row, min_size=channels[0], max_size=channels[0]))
    return layer, (width, height), draw(st.lists(changes, min_size=1, max_size=5))


@given(updates())
@settings(max_examples=30, deadline=None)
def test_any_updates_of_a_map(case):
    layer, size, changes = case
    convolution, rows = Convolution(layer, size), {}
    before = None
    for change in changes:
        rows |= change
        changed = convolution.change(change)
        found = convolution.output.rows.value.rows.copy()
        expected = layer(convolution.map_of(convolution.x)).detach()
        torch.testing.assert_close(convolution.map_of(convolution.output), expected, rtol=1e-5, atol=1e-6 * float(expected.abs().max()))
        at_once = Convolution(layer, size)
        at_once.change(rows)
        np.testing.assert_array_equal(found, at_once.output.rows.value.rows)  # the bits do not tell how the map came to be
        different = range(size[0] * size[1]) if before is None else np.flatnonzero((found != before).any(1)).tolist()
        assert changed == set(different)
        before = found


def test_what_a_change_touches():
    """One cell is multiplied, and those around it are added up, each once."""
    convolution = Convolution(nn.Conv2d(2, 3, 3, padding=1), (6, 5))
    convolution.change({})
    assert convolution.change({14: [1, 2]}) == {7, 8, 9, 13, 14, 15, 19, 20, 21}
    assert convolution.change({0: [1, 2], 1: [1, 2]}) == {0, 1, 2, 6, 7, 8}
    assert convolution.change({0: [1, 2]}) == set()
    assert len(convolution.x.domain.sites.value.work[: convolution.x.domain.sites.value.counts[sites.WORK]]) == 0


@given(st.integers(1, 20), st.integers(1, 70), st.integers(0, 99))
@example(64, 576, 0)
@settings(deadline=None)
def test_a_row_has_the_same_bits_in_a_pair(length, channels, seed):
    """Otherwise the answer would depend on how many cells change together."""
    rng = np.random.default_rng(seed)
    matrix, rows = rng.normal(size=(length, channels)).astype(np.float32), rng.normal(size=(2, length)).astype(np.float32)
    pair, single = np.full((2, 2, channels), np.nan, np.float32)
    products.multiply_pair(pair[0], pair[1], rows[0], rows[1], matrix)
    for out, row in zip(single, rows, strict=True):
        products.multiply_row(out, row, matrix)
    np.testing.assert_array_equal(pair, single)
    np.testing.assert_allclose(single, rows.astype(np.float64) @ matrix, rtol=0, atol=1e-5 * length)


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (nn.Conv2d(2, 3, 2), "kernel of 2×2 has no middle"),
        (nn.Conv2d(2, 3, (3, 4), padding="same"), "kernel of 3×4 has no middle"),
        (nn.Conv2d(2, 3, 3, padding=1, stride=2), r"its stride is \(2, 2\)"),
        (nn.Conv2d(2, 3, 3, padding=2, dilation=2), r"its dilation \(2, 2\)"),
        (nn.Conv2d(2, 4, 3, padding=1, groups=2), "its groups 2"),
        (nn.Conv2d(2, 3, 3), r"pads the map by \(0, 0\) \(zeros\), and not by \(1, 1\) zeros"),
        (nn.Conv2d(2, 3, 3, padding="valid"), "pads the map by valid"),
        (nn.Conv2d(2, 3, 5, padding=(2, 1)), r"pads the map by \(2, 1\) \(zeros\), and not by \(2, 2\)"),
        (nn.Conv2d(2, 3, 3, padding=1, padding_mode="reflect"), "reflect"),
    ],
)
def test_other_convolutions(layer, reason):
    with pytest.raises(Unsupported, match=reason):
        Convolution(layer, (4, 4))


def test_what_is_no_map():
    plan, layer = Plan(Window(), (8, 8), 1024), nn.Conv2d(2, 3, 1)
    with pytest.raises(Unsupported, match="not given a map"):
        converter_of(layer, converters()).convert(plan, layer, plan.features(plan.domain(16), 2))
