import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventzoo.kernels.radius_graph import radius_graph, relative_positions


def literal_graph(x, y, t, radius, max_neighbors, causal):
    """The definition, event by event."""
    pairs = []
    square = np.float32(radius) * np.float32(radius)
    for i in range(len(t)):
        near = [
            j for j in range(i) if np.float32((x[j] - x[i]) ** 2) + np.float32((y[j] - y[i]) ** 2) + (t[j] - t[i]) * (t[j] - t[i]) < square
        ]
        latest = near if max_neighbors is None else near[-max_neighbors:]
        pairs += [(j, i) for j in latest]
    if not causal:
        pairs += [(i, j) for j, i in pairs]
    return np.array(sorted(pairs, key=lambda pair: pair[::-1]), np.int64).reshape(-1, 2).T


@st.composite
def clouds(draw):
    count = draw(st.integers(0, 120))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    side = draw(st.sampled_from([1, 3, 9, 30]))
    span = draw(st.sampled_from([0.0, 0.5, 5.0, 60.0]))
    t = np.sort(rng.random(count) * span).astype(np.float32)
    if draw(st.booleans()):
        t = np.round(t)  # many ties, and distances of exactly the radius
    return rng.integers(0, side, count), rng.integers(0, side, count), t


radii = st.sampled_from([0.5, 1.0, 2.5, 3.0, 5.0])
limits = st.sampled_from([1, 2, 5, 16, 32, 40, None])


@settings(deadline=None, max_examples=150)
@given(clouds(), radii, limits, st.booleans())
def test_equals_the_definition(cloud, radius, limit, causal):
    assert np.array_equal(radius_graph(*cloud, radius, limit, causal=causal), literal_graph(*cloud, radius, limit, causal))


@settings(deadline=None, max_examples=50)
@given(clouds(), radii, limits, st.integers(0, 120))
def test_the_future_changes_nothing(cloud, radius, limit, cut):
    x, y, t = cloud
    whole = radius_graph(x, y, t, radius, limit, causal=True)
    part = radius_graph(x[:cut], y[:cut], t[:cut], radius, limit, causal=True)
    assert np.array_equal(part, whole[:, whole[1] < cut])
    whole = radius_graph(x, y, t, radius, limit, causal=False)
    part = radius_graph(x[:cut], y[:cut], t[:cut], radius, limit, causal=False)
    assert np.array_equal(part, whole[:, whole.max(axis=0, initial=-1) < cut])


def test_hot_pixel_beyond_every_ring():
    """More events at one pixel than a ring holds, with older neighbours elsewhere that still count."""
    count = 200
    x = np.full(count, 3)
    x[:5] = 4
    y, t = np.full(count, 3), np.linspace(0, 0.1, count).astype(np.float32)
    for limit in (32, 64, 199, None):
        assert np.array_equal(radius_graph(x, y, t, 3.0, limit, causal=True), literal_graph(x, y, t, 3.0, limit, True))


def test_forgotten_neighbours_are_found_again():
    """The ring of a pixel fills with events that are near in the plane but too old, a closer one being older still."""
    x = np.array([5] + [7] * 40 + [5])
    y = np.full(42, 5)
    t = np.array([0.0] + [0.2] * 40 + [2.5], np.float32)  # at distance 2: 4 + 2.3² > 9; at distance 0: 2.5² < 9
    assert literal_graph(x, y, t, 3.0, 4, True)[:, -1].tolist() == [0, 41]
    assert np.array_equal(radius_graph(x, y, t, 3.0, 4, causal=True), literal_graph(x, y, t, 3.0, 4, True))


@pytest.mark.parametrize("dtype", [np.int16, np.int64, np.uint16])
def test_relative_positions_map_the_radius_to_one(dtype):
    x, y, t = np.array([0, 3], dtype), np.array([2, 2], dtype), np.array([0, 1.5], np.float32)
    offsets = relative_positions(x, y, t, np.array([[0, 1], [1, 0]]), 3.0)
    assert offsets.dtype == np.float32
    np.testing.assert_allclose(offsets, [[0.0, 0.5, 0.25], [1.0, 0.5, 0.75]])
