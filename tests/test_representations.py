import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import eventzoo
from eventzoo.events import Events


@settings(deadline=None)
@given(st.integers(0, 200), st.integers(0, 99))
def test_histogram_equals_a_literal_loop(make_events, count, seed):
    events = make_events(count, (9, 7), seed)
    expected = np.zeros((2, 7, 9), np.float32)
    for x, y, p in zip(events.x, events.y, events.p, strict=True):
        expected[int(p), y, x] += 1
    image = eventzoo.representations.Histogram()(events)
    assert image.dtype == torch.float32
    assert np.array_equal(image.numpy(), expected)


def test_event_graph_of_a_worked_example():
    """Four events; r = 3, one microsecond is half a pixel."""
    events = Events([5, 6, 5, 9], [5, 5, 7, 9], [100, 102, 103, 103], [1, 0, 1, 1], (10, 10))
    graph = eventzoo.representations.EventGraph(radius=3.0, time_scale=0.5, causal=True)(events)
    assert graph.x.flatten().tolist() == [1, -1, 1, 1]
    assert graph.pos.tolist() == [[5, 5, 0], [6, 5, 1], [5, 7, 1.5], [9, 9, 1.5]]
    assert graph.edge_index.T.tolist() == [[0, 1], [0, 2], [1, 2]]
    np.testing.assert_allclose(graph.edge_attr[0], [-1 / 6 + 0.5, 0.5, -1 / 6 + 0.5], rtol=1e-6)
    both = eventzoo.representations.EventGraph(radius=3.0, time_scale=0.5)(events)
    assert both.edge_index.T.tolist() == [[1, 0], [2, 0], [0, 1], [2, 1], [0, 2], [1, 2]]


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 99), st.integers(-(10**15), 10**15), st.booleans(), st.sampled_from([0.5e-5, 3e-5, 2e-4]))
def test_event_graphs_do_not_depend_on_when_the_recording_begins(make_events, seed, later, causal, time_scale):
    events = make_events(150, (12, 9), seed)
    moved = Events(events.x, events.y, events.t + later, events.p, events.sensor_size)
    representation = eventzoo.representations.EventGraph(radius=4.0, max_neighbors=8, time_scale=time_scale, causal=causal)
    graph, same = representation(events), representation(moved)
    assert all(torch.equal(graph[name], same[name]) for name in ("x", "pos", "edge_index", "edge_attr"))


def test_a_window_of_a_stream_has_the_streams_edges(make_events):
    events = make_events(2000, (12, 9), duration=300_000)
    representation = eventzoo.representations.EventGraph(radius=3.0, max_neighbors=None, time_scale=1e-4, causal=True)
    whole, window = representation(events), representation(events[1234:])
    kept = whole.edge_index.min(0).values >= 1234
    assert torch.equal(whole.edge_index[:, kept] - 1234, window.edge_index)
    assert torch.equal(whole.edge_attr[kept], window.edge_attr)


def test_offsets_lie_in_the_unit_cube(make_events):
    graph = eventzoo.representations.EventGraph(radius=3.0, time_scale=3e-5)(make_events(500))
    assert graph.num_edges > 500
    assert graph.edge_attr.min() >= 0
    assert graph.edge_attr.max() <= 1
