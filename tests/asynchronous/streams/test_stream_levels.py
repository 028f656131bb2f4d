"""The levels of a stream while it goes on: who is there, and who looks at whom, as the representation says of the whole recording."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eventzoo
from eventzoo.asynchronous import Plan, Window
from eventzoo.asynchronous.converter import converter_of, converters
from eventzoo.asynchronous.plan import RowLoop
from eventzoo.kernels.asynchronous.sites import ARRIVED, TOUCHED
from eventzoo.kernels.asynchronous.streams import levels as stream_levels
from eventzoo.kernels.asynchronous.streams.levels import FIRST, KEPT, LAST, kept_events
from eventzoo.kernels.event_streams import Stream, halved, spatial_lif
from eventzoo.plugins.async_converters import event_stream

KINDS = ("strided", "inplace", "pointwise")


@pytest.fixture
def slots(monkeypatch):
    """Sets how many slots a level has to begin with, if it needs no more."""
    return lambda count: monkeypatch.setattr(event_stream, "_FEWEST_SLOTS", count)


def check_tracks(tracks, streams, origin):
    """Each level keeps the last of its events, and all that may still be looked at."""
    for track, level in zip(tracks[1:], streams.levels, strict=True):
        assert track.at[LAST] == len(level.t)
        x, y, t, _ = kept_events(track)
        first = int(track.at[FIRST])
        assert first + len(t) == len(level.t)
        for found, expected in ((x, level.x), (y, level.y), (t - origin, level.t)):
            np.testing.assert_array_equal(found, expected[first:].numpy())
        if first > 0:
            assert int(level.t[first - 1]) + int(track.settings[KEPT]) <= int(streams.t[-1])


def check_edges(plan, batch):
    """What was computed in the last transaction looks at what the representation says; returns how many edges these are."""
    neighbourhoods = [part.graph for part in plan.body if isinstance(part, RowLoop) and part.graph is not None]
    neighbourhoods = [graph for graph in neighbourhoods if graph.incoming is stream_levels.incoming]
    assert len(neighbourhoods) == 3 * len(batch.levels)
    compared = 0
    for at, graph in enumerate(neighbourhoods):
        edges = getattr(batch.levels[at // 3], KINDS[at % 3])
        sites, state, listed = graph.domain.sites.value, tuple(part.value for part in graph.state.states), graph.edges.value
        inputs = state[1]
        for slot in (*sites.touched[: sites.counts[TOUCHED]], *sites.arrived[: sites.counts[ARRIVED]]):
            number = int(sites.id[slot])
            of_one = slice(int(edges.start[number]), int(edges.start[number + 1]))
            count = graph.incoming(state, listed, sites, int(slot))
            newest = int(inputs.at[LAST]) - 1
            source = newest - ((newest - listed.source[:count]) & (len(inputs.t) - 1))
            found = sorted(zip(listed.offset[:count, 1].tolist(), source.tolist(), listed.offset[:count, 0].tolist(), strict=True))
            expected = (edges.cell[of_one].tolist(), edges.source[of_one].tolist(), edges.age[of_one].tolist())
            assert found == sorted(zip(*expected, strict=True))
            cells = listed.offset[:count, 1]
            assert (np.diff(cells) >= 0).all()
            compared += count
    return compared


@given(
    seed=st.integers(0, 99),
    duration=st.sampled_from([1, 30, 400, 1500]),
    tick=st.sampled_from([1, 25]),
    start=st.sampled_from([0, -(10**9), 10**15]),
    ties=st.sampled_from(["together", "in order"]),
    capacity=st.sampled_from([1, 2, 31, 5000]),
    max_decays=st.sampled_from([1, 4]),
    fewest=st.sampled_from([1, 256]),
    pushed=st.lists(st.sampled_from([1, 2, 7, 40, 130]), min_size=1, max_size=8),
)
@settings(max_examples=8, deadline=None)
def test_any_recording_in_any_pieces(ecn, recorded, tracks_of, seed, duration, tick, start, ties, capacity, max_decays, fewest, pushed):
    model = ecn(ties=ties, capacity=capacity, max_decays=max_decays)
    events, represent = recorded(sum(pushed), duration, seed, start, tick), model.representation
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(event_stream, "_FEWEST_SLOTS", fewest)
        stream = model.asynchronous(strict=True)
        plan = stream._engine.captured.plan
    done = 0
    for count in pushed:
        stream.push(events[done : done + count])
        done += count
        streams = represent(events[:done])
        check_tracks(tracks_of(plan), streams, int(events.t[0]))
        check_edges(plan, represent.collate([streams]))


@pytest.mark.parametrize("push", ["push", "push_each"])
def test_levels_grow_in_the_middle_of_a_push(ecn, recorded, tracks_of, slots, push):
    """Before and after a state is saved, too; and a full level of few slots says what one of many does, to the bit."""
    model, events = ecn(capacity=1), recorded(600, 900, 3)
    roomy = model.asynchronous()
    roomy.push(events)
    slots(1)
    stream, restored = model.asynchronous(), model.asynchronous()
    lengths = [[len(track.t) for track in tracks_of(stream._engine.captured.plan)[1:]]]
    assert lengths == [[16, 64]]
    for part in (events[:200], events[200:]):
        getattr(stream, push)(part)
        check_tracks(tracks_of(stream._engine.captured.plan), model.representation(events[: stream.num_events]), int(events.t[0]))
        lengths.append([len(track.t) for track in tracks_of(stream._engine.captured.plan)[1:]])
        if stream.num_events == 200:
            restored.load_state_dict(stream.state_dict())
    assert all(below < above for below, above in zip(lengths[0], lengths[-1], strict=True))
    restored.push(events[200:])
    for one in (stream, restored):
        np.testing.assert_array_equal(one.head_output(), roomy.head_output())
    assert len(stream) == len(restored) == 600


def test_who_is_looked_at_is_not_nobody(ecn, recorded):
    """The comparison of edges compares some, of every kind."""
    model, events = ecn(), recorded(200, 300)
    stream = model.asynchronous()
    stream.push(events)
    batch = model.representation.collate([model.representation(events)])
    assert check_edges(stream._engine.captured.plan, batch) == sum(
        len(getattr(level, kind).source) for level in batch.levels for kind in KINDS
    )


@pytest.mark.slow
@pytest.mark.parametrize("ties", ["together", "in order"])
def test_five_levels(recorded, tracks_of, slots, ties):
    slots(1 << 14)
    layer = eventzoo.representations.EventStream(5, 300, 0.6, -0.5, capacity=4, ties=ties)
    plan, events = Plan(Window(), (40, 30), 4096), recorded(3000, 40_000, tick=10, size=(40, 30))
    plan.layer = "EventStream"
    converter_of(layer, converters()).convert(plan, layer)
    values = {state.name: state.value for state in plan.states}
    arguments = [eval(name, values) for name in plan.source.call.arguments]  # as the generated source has them
    done, rng = 0, np.random.default_rng(0)
    while done < len(events):
        end = min(done + int(rng.integers(1, 400)), len(events))
        done = plan.source.call.function(*arguments, events.x, events.y, events.t, events.p, done, end, stream_levels.NEVER)
        assert done == end
        check_tracks(tracks_of(plan), layer(events[:done]), int(events.t[0]))
    assert all(track.at[LAST] > 50 for track in tracks_of(plan))
    assert tracks_of(plan)[1].at[FIRST] > 0


@settings(max_examples=60)
@given(st.floats(0.02, 2), st.sampled_from([0.011, 0.1, 0.5, 1.0, 4.5]), st.sampled_from([1, 50, 5000]), st.integers(0, 99))
def test_an_event_causes_no_more_than_is_provided_for(threshold, charge, microseconds, seed):
    rng, size = np.random.default_rng(seed), (9, 12)
    stream = Stream(np.sort(rng.integers(0, microseconds, 300)), *(rng.integers(0, side, 300).astype(np.int16) for side in size))
    origin, most = np.arange(300), 1
    for level in range(4):
        stream, trigger = spatial_lif(stream, size, 200 << level, threshold, threshold - charge)
        size, origin, most = halved(size), origin[trigger], event_stream._most_caused(most, charge)
        assert np.bincount(origin).max(initial=0) <= most
