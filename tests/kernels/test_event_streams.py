"""Spatial LIF and neighbourhoods against literal loops and worked examples."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventzoo.kernels.event_streams import FOREVER, PLUS, POINT, STRIDED, Stencil, Stream, halved, join_edges, neighborhoods, spatial_lif

ROW_OF_THREE = Stencil(1, np.zeros(3, np.int64), np.arange(-1, 2))


def stream(t, x, y):
    return Stream(np.asarray(t, np.int64), np.asarray(x, np.int16), np.asarray(y, np.int16))


def in_a_row(t, place):
    return stream(t, np.zeros(len(t)), place)


@st.composite
def streams(draw, size, most=40):
    """Streams of many ties."""
    count = draw(st.integers(0, most))
    gaps = draw(st.lists(st.sampled_from([0, 0, 1, 4, 50]), min_size=count, max_size=count))
    places = draw(st.lists(st.tuples(st.integers(0, size[0] - 1), st.integers(0, size[1] - 1)), min_size=count, max_size=count))
    return stream(np.cumsum(gaps), *np.reshape(places, (-1, 2)).T)


def literal_lif(inputs, size, decay_time, threshold, reset_potential):
    neurons = [(x, y) for x in range((size[0] + 1) // 2) for y in range((size[1] + 1) // 2)]
    potential, last, fired = dict.fromkeys(neurons, np.float32(0)), dict.fromkeys(neurons, 0), []
    for i, (t, x, y) in enumerate(zip(*(part.tolist() for part in inputs), strict=True)):
        near = [q for q in neurons if abs(2 * q[0] - x) <= 1 and abs(2 * q[1] - y) <= 1]
        for q in near:
            value = float(potential[q]) * math.exp((last[q] - t) / decay_time) + 1 / len(near)
            if value > threshold:
                fired.append((t, *q, i))
                value = reset_potential
            potential[q], last[q] = np.float32(value), t
    return fired


def literal_neighborhoods(inputs, size, outputs, visible, stride, offsets, window, capacity):
    found = []
    for t, x, y, seen in zip(*outputs, visible, strict=True):
        of_one = []
        for cell, (dx, dy) in enumerate(offsets):
            pixel = (stride * x + dx, stride * y + dy)
            there = [j for j in range(min(seen, len(inputs.t))) if (inputs.x[j], inputs.y[j]) == pixel]
            of_one += [(j, cell) for j in there[-capacity:] if inputs.t[j] >= t - window]
        found.append(of_one)
    return found


@settings(deadline=None)
@given(st.data())
def test_lif_equals_a_literal_loop(data):
    size = data.draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
    inputs = data.draw(streams(size))
    decay_time, threshold = data.draw(st.sampled_from([1, 7, 1000])), data.draw(st.sampled_from([0.1, 0.25, 0.9, 1.5]))
    reset_potential = data.draw(st.sampled_from([0.0, 0.05, -3.0]))
    outputs, trigger = spatial_lif(inputs, size, decay_time, threshold, reset_potential)
    expected = literal_lif(inputs, size, decay_time, threshold, reset_potential)
    assert list(zip(*(part.tolist() for part in outputs), trigger.tolist(), strict=True)) == expected


STENCILS = {
    "strided": (STRIDED, 2, [(dx, dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1)]),
    "plus": (PLUS, 1, [(-2, 0), (-1, 0), (0, -2), (0, -1), (0, 0), (0, 1), (0, 2), (1, 0), (2, 0)]),
    "point": (POINT, 1, [(0, 0)]),
}


@pytest.mark.parametrize("name", STENCILS)
@settings(deadline=None)
@given(st.data())
def test_neighborhoods_equal_a_literal_loop(name, data):
    """Outputs are anywhere and at any time, outside the grid and after all inputs have expired, too."""
    size = data.draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    inputs, outputs = data.draw(streams(size)), data.draw(streams((7, 7)))
    outputs = stream(outputs.t + data.draw(st.integers(0, 90)), outputs.x - 2, outputs.y - 2)
    visible = np.sort(data.draw(st.lists(st.integers(0, 45), min_size=len(outputs.t), max_size=len(outputs.t)))).astype(np.int64)
    window, capacity = data.draw(st.sampled_from([0, 4, 60, FOREVER])), data.draw(st.sampled_from([1, 2, 31, 2**70]))
    stencil, stride, offsets = STENCILS[name]
    found = neighborhoods(inputs, size, outputs, visible, stencil, window, capacity)
    expected = literal_neighborhoods(inputs, size, outputs, visible, stride, offsets, window, capacity)
    assert np.array_equal(np.diff(found.start), [len(of_one) for of_one in expected])
    edges = [edge for of_one in expected for edge in of_one]
    assert list(zip(found.source.tolist(), found.cell.tolist(), strict=True)) == edges
    pixels = list(zip(inputs.x, inputs.y, strict=True))
    assert found.previous.tolist() == [max((i for i in range(j) if pixels[i] == pixels[j]), default=-1) for j in range(len(pixels))]


def test_strided_links_of_a_worked_grid():
    """An event at each pixel of 4×5: the outputs' cells are those pixels that are inside."""
    x, y = np.divmod(np.arange(20), 5)
    outputs = stream(np.zeros(6), *np.divmod(np.arange(6), 3))
    assert halved((4, 5)) == (2, 3)
    found = neighborhoods(stream(np.zeros(20), x, y), (4, 5), outputs, np.full(6, 20), STRIDED, 0, 31)
    assert found.start.tolist() == [0, 4, 10, 14, 20, 29, 35]
    assert found.cell[:10].tolist() == [4, 5, 7, 8, 3, 4, 5, 6, 7, 8]
    assert found.source[:10].tolist() == [0, 1, 5, 6, 1, 2, 3, 6, 7, 8]


def test_neighbours_in_a_row_of_a_worked_grid():
    row = in_a_row(np.zeros(5), np.arange(5))
    found = neighborhoods(row, (1, 5), row, np.full(5, 5), ROW_OF_THREE, 0, 31)
    assert found.start.tolist() == [0, 2, 5, 8, 11, 13]
    assert found.cell.tolist() == [1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1]
    assert found.source.tolist() == [0, 1, 0, 1, 2, 1, 2, 3, 2, 3, 4, 3, 4]


def test_lif_of_a_worked_example_in_time_alone():
    t = [0, 1, 2, 3, 4, 100, 110, 111, 112, 113]
    outputs, trigger = spatial_lif(stream(t, [0] * 10, [0] * 10), (1, 1), 5, 2.0, -2.0)
    assert outputs.t.tolist() == [2, 112]
    assert trigger.tolist() == [2, 8]


def test_charges_are_shared_and_the_threshold_is_exclusive():
    """Of 3×3 pixels, the middle one feeds four neurons, a corner one: quarters of a charge add up to one without firing."""
    times = np.zeros(5)
    outputs, trigger = spatial_lif(stream(times, [1, 1, 1, 1, 0], [1, 1, 1, 1, 0]), (3, 3), 1000, 1.0, 0.0)
    assert trigger.tolist() == [4]
    assert (outputs.x.tolist(), outputs.y.tolist()) == ([0], [0])
    outputs, trigger = spatial_lif(stream(times, [1] * 5, [1] * 5), (3, 3), 1000, 1.0, 0.0)
    assert trigger.tolist() == [4, 4, 4, 4]
    assert (outputs.x.tolist(), outputs.y.tolist()) == ([0, 0, 1, 1], [0, 1, 0, 1])


@pytest.mark.parametrize("elapsed", [2, 3])
def test_potentials_are_kept_in_single_precision(elapsed):
    """The third charge decides, by what was lost in keeping the second."""
    factor = math.exp(-elapsed / 7)
    kept, exact = float(np.float32(factor + 1)) * factor + 1, (factor + 1) * factor + 1
    assert kept != exact
    _, trigger = spatial_lif(in_a_row([0, elapsed, 2 * elapsed], [0] * 3), (1, 1), 7, (kept + exact) / 2, -3.0)
    assert trigger.tolist() == ([2] if kept > exact else [])


def test_the_latest_events_of_a_pixel_in_a_worked_example():
    outputs = in_a_row([5, 6, 7], [0, 0, 0])
    found = neighborhoods(in_a_row(np.arange(10), np.zeros(10)), (1, 1), outputs, np.array([6, 7, 8]), POINT, FOREVER, 3)
    assert found.source.reshape(3, 3).tolist() == [[3, 4, 5], [4, 5, 6], [5, 6, 7]]


def test_a_window_of_a_worked_example():
    inputs, outputs = in_a_row([0, 2, 3, 100], [0, 3, 2, 1]), in_a_row([3, 3, 100], [1, 3, 2])
    found = neighborhoods(inputs, (1, 4), outputs, np.array([3, 3, 4]), ROW_OF_THREE, 10, 4)
    assert found.start.tolist() == [0, 2, 4, 5]
    assert found.cell.tolist() == [0, 2, 0, 1, 0]
    assert found.source.tolist() == [0, 2, 2, 1, 3]


def test_windows_include_both_ends():
    inputs, outputs = in_a_row([9, 10, 20], [0, 0, 0]), in_a_row([20], [0])
    assert neighborhoods(inputs, (1, 1), outputs, np.array([3]), POINT, 10, 31).source.tolist() == [1, 2]


def test_ages_are_of_exact_differences():
    """Times at which single precision knows only every 512th microsecond, in the second of two samples."""
    t_in, t_out = np.array([5, 2**32 + 1, 2**32 + 8]), np.array([6, 2**32 + 1, 2**32 + 8])
    source, begins = np.array([0, 0, 0, 1], np.int32), np.array([0, 1, 3])
    start, age = join_edges(np.array([0, 1, 0, 1, 3]), source, t_out, begins, t_in, begins, 2.0)
    assert start.tolist() == [0, 1, 2, 4]
    assert source.tolist() == [0, 1, 1, 2]
    assert age.dtype == np.float32
    assert age.tolist() == [0.5, 0, 3.5, 0]
