import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventzoo.kernels.radius_graph import UNLIMITED, disc, radius_graph, relative_positions, search_chains


def literal_graph(x, y, t, radius, max_neighbors, causal, time_scale=1.0):
    """The definition, event by event."""
    pairs = []
    square = np.float32(radius) * np.float32(radius)
    for i in range(len(t)):
        dt = np.array([np.float32((t[j] - t[i]) * time_scale) for j in range(i)], np.float32)
        near = [j for j in range(i) if np.float32((x[j] - x[i]) ** 2) + np.float32((y[j] - y[i]) ** 2) + dt[j] * dt[j] < square]
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


@st.composite
def streams(draw):
    """Events of whole microseconds."""
    x, y, _ = draw(clouds())
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    begin = draw(st.sampled_from([0, 12_345_678, 10**15]))
    t = begin + np.sort(rng.integers(0, draw(st.sampled_from([1, 100, 100_000, 3_000_000])), len(x)))
    return x.astype(np.int16), y.astype(np.int16), t


radii = st.sampled_from([0.5, 1.0, 2.5, 3.0, 5.0])
scales = st.sampled_from([0.0, 3e-5, 0.5e-5, 1e-2])
limits = st.sampled_from([1, 2, 5, 16, 32, 40, None])


@settings(deadline=None, max_examples=150)
@given(clouds(), radii, limits, st.booleans())
def test_equals_the_definition(cloud, radius, limit, causal):
    assert np.array_equal(radius_graph(*cloud, radius, limit, causal=causal), literal_graph(*cloud, radius, limit, causal))


@settings(deadline=None, max_examples=100)
@given(streams(), radii, limits, st.booleans(), scales)
def test_equals_the_definition_in_microseconds(stream, radius, limit, causal, scale):
    found = radius_graph(*stream, radius, limit, causal=causal, time_scale=scale)
    assert np.array_equal(found, literal_graph(*stream, radius, limit, causal, scale))


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


@settings(deadline=None, max_examples=50)
@given(streams(), st.sampled_from([1.0, 2.5, 3.0]), limits, scales, st.sampled_from([1, 8, 64]))
def test_chains_in_rings_give_the_neighbours_among_the_latest_events(stream, radius, limit, scale, capacity):
    """As a graph of a sliding window keeps them: arrays that are written in turn, and numbers that count on."""
    x, y, t = stream
    begin, mask = 2**40, capacity - 1
    margin = int(np.ceil(radius))
    stride = 30 + 2 * margin
    _, offset, square = disc(np.float32(radius), stride)
    newest = np.full(stride * stride, -1, np.int64)
    times, older = np.zeros(capacity, np.int64), np.full(capacity, -1, np.int64)
    source = np.empty(capacity, np.int64)
    most, bound = UNLIMITED if limit is None else limit, np.float32(radius) * np.float32(radius)
    for i in range(len(t)):
        first = max(0, i - capacity)
        pixel = (int(y[i]) + margin) * stride + int(x[i]) + margin
        oldest = begin + first
        count, grown = search_chains(pixel, t[i], times, scale, bound, most, offset, square, newest, older, oldest, mask, source, 0)
        assert grown is source
        window = slice(first, i + 1)
        expected = literal_graph(x[window], y[window], t[window], radius, limit, True, scale)
        assert sorted(source[:count] - oldest) == expected[0, expected[1] == i - first].tolist()
        times[(begin + i) & mask], older[(begin + i) & mask], newest[pixel] = t[i], newest[pixel], begin + i


def test_relative_positions_round_the_scaled_difference_once():
    x, y = np.zeros(2, np.int16), np.zeros(2, np.int16)
    t = 10**15 + np.array([0, 123_457])
    offsets = relative_positions(x, y, t, np.array([[0], [1]]), 3.0, 0.5e-5)
    assert offsets[0, 2] == np.float32(-123_457 * 0.5e-5) / np.float32(6) + np.float32(0.5)


@pytest.mark.parametrize("dtype", [np.int16, np.int64, np.uint16])
def test_relative_positions_map_the_radius_to_one(dtype):
    x, y, t = np.array([0, 3], dtype), np.array([2, 2], dtype), np.array([0, 1.5], np.float32)
    offsets = relative_positions(x, y, t, np.array([[0, 1], [1, 0]]), 3.0)
    assert offsets.dtype == np.float32
    np.testing.assert_allclose(offsets, [[0.0, 0.5, 0.25], [1.0, 0.5, 0.75]])
