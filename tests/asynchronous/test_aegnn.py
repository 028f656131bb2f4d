"""AEGNN event by event: the answer of the synchronous network after every event, in every window."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventzoo.asynchronous import Window
from eventzoo.errors import EventZooError
from eventzoo.events import Events
from eventzoo.testing import check_async_converter, synchronous_output


@pytest.mark.parametrize(
    ("causal", "positions", "max_neighbors"),
    [(True, "mean", 8), (True, "centre", None), (False, "mean", None), (False, "centre", 8), (False, "mean", 32)],
)
def test_every_graph(aegnn, rough, causal, positions, max_neighbors):
    model = aegnn(causal, max_neighbors, coarse_positions=positions)
    check_async_converter(model, rough(120, seed=max_neighbors or 0))


@pytest.mark.parametrize(
    ("causal", "changed"),
    [
        (True, {"dim": 2}),
        (False, {"dim": 2, "kernel_size": 3}),
        (True, {"kernel_size": 3}),
        (False, {"kernel_size": 8, "dim": 2, "coarse_positions": "centre"}),
        (False, {"bias": False, "root_weight": False}),
        (True, {"root_weight": False, "kernel_size": 3}),
        (True, {"sensor_size": (21, 13), "pool_size": (4, 7)}),
        (False, {"pool_size": (2, 2), "radius": 5.5}),  # edges reach over several voxels
        (False, {"out_size": (3, 2), "coarse_scale": 4.0}),  # offsets beyond the kernel's end
        (True, {"radius": 1.0}),  # no neighbours but at the same pixel
    ],
    ids=str,
)
def test_every_setting(aegnn, rough, causal, changed):
    model = aegnn(causal, **changed)
    check_async_converter(model, rough(100, 7, model.sensor_size), [Window(events=30)])


@pytest.mark.slow
def test_all_settings_with_each_other(aegnn, rough):
    """Every third combination, in which each two settings meet in every way."""
    choices = [(True, False), ("mean", "centre"), (8, 32, None), (2, 3), (2, 3), (True, False)]
    combinations = (chosen for chosen in itertools.product(*map(enumerate, choices)) if sum(which for which, _ in chosen) % 3 == 0)
    for number, chosen in enumerate(combinations):
        causal, positions, most, dim, size, root = (choice for _, choice in chosen)
        model = aegnn(causal, most, coarse_positions=positions, dim=dim, kernel_size=size, root_weight=root, bias=not root)
        check_async_converter(model, rough(120, number), seed=number)


@st.composite
def streams(draw):
    """Few events on few pixels at few times, with the pushes that they come in, and times at which nothing comes."""
    count = draw(st.integers(1, 40))
    pixels = st.lists(st.integers(0, 5), min_size=count, max_size=count)
    gaps = st.lists(st.sampled_from([0, 0, 0, 1, 40, 99, 100, 101, 100_000]), min_size=count, max_size=count)
    t = np.cumsum(draw(gaps)) + draw(st.sampled_from([0, -1_000, 10**12]))
    polarity = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    ends = draw(st.sets(st.integers(0, count - 1), max_size=6))
    waits = draw(st.lists(st.sampled_from([0, 0, 60, 100]), min_size=8, max_size=8))
    return Events(draw(pixels), draw(pixels), t, polarity, (34, 34)), [*sorted(ends), count], waits


@given(
    streams(),
    st.booleans(),
    st.sampled_from(["mean", "centre"]),
    st.sampled_from([Window(), *(Window(events=n) for n in (1, 2, 7)), *(Window(microseconds=t) for t in (1, 100, 101))]),
    st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_any_stream_in_any_pushes(aegnn, stream, causal, positions, window, history):
    """Also with silences in between, in which events leave."""
    events, ends, waits = stream
    if history and causal:
        window = Window(window.events, window.microseconds, history=True)
    model = aegnn(causal, 2, coarse_positions=positions, pool_size=(2, 3))
    pushed, first = model.asynchronous(window, strict=True), 0
    for end, wait in zip(ends, waits, strict=False):
        found = pushed.push(events[first:end]).logits
        now = None
        if end and wait and (end == len(events) or events.t[end] >= events.t[end - 1] + wait):
            now = int(events.t[end - 1]) + wait
            found = pushed.advance(now).logits
        expected = synchronous_output(model, events[:end], window, now)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())
        first = end


def test_history_differs_from_forgetting(aegnn, rough):
    """Otherwise the two could not be told apart by the other tests."""
    model, events = aegnn(True), rough(200, 3)
    forgets, remembers = (model.asynchronous(Window(events=30, history=history)) for history in (False, True))
    assert forgets.events == remembers.events
    assert np.abs(forgets.push(events).logits - remembers.push(events).logits).max() > 1e-3
    assert forgets.events == remembers.events == events[-30:]
    with pytest.raises(EventZooError, match="left the window"):
        remembers.synchronous()
