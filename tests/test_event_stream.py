"""Event streams as a representation: what their edges are, and what changes nothing."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import eventzoo
from eventzoo.data.pipeline import Pipeline
from eventzoo.data.preparing import find_store, prepare
from eventzoo.errors import EventZooError
from eventzoo.events import Events
from eventzoo.kernels.event_streams import Stream, spatial_lif
from eventzoo.nn.event_stream import StreamBatch, StreamEdges, StreamLevel, TraceEdges
from eventzoo.plugins.datasets.moving_shapes import MovingShapes
from eventzoo.representations import EventStream

KINDS = ("strided", "inplace", "pointwise")
OFFSETS = {
    "strided": [(dx, dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1)],
    "inplace": [(-2, 0), (-1, 0), (0, -2), (0, -1), (0, 0), (0, 1), (0, 2), (1, 0), (2, 0)],
    "pointwise": [(0, 0)],
}
ALL_WAYS = [{"ties": ties, "memory": memory} for ties in ("together", "in order") for memory in ("window", "trace")]
each_way = pytest.mark.parametrize("way", ALL_WAYS, ids=lambda way: f"{way['ties']}, {way['memory']}")


def small(**settings):
    """Streams that are thinned out little."""
    return EventStream(**{"levels": 3, "decay_time": 30, "threshold": 0.45, "reset_potential": -0.2} | settings)


def tied(make_events, count, seed, duration=400):
    """Events of which many are simultaneous."""
    return make_events(count, (9, 7), seed, duration)


def tensors(value):
    """All tensors in a sample or a batch."""
    return [value] if isinstance(value, torch.Tensor) else [tensor for part in value for tensor in tensors(part)]


def assert_same(one, other):
    assert len(tensors(one)) == len(tensors(other))
    for first, second in zip(tensors(one), tensors(other), strict=True):
        assert first.dtype == second.dtype
        assert torch.equal(first, second)


def literal_edges(inputs, outputs, visible, stride, offsets, window, capacity):
    edges = []
    for o, (t, x, y, seen) in enumerate(zip(*outputs, visible, strict=True)):
        for cell, (dx, dy) in enumerate(offsets):
            there = np.flatnonzero((inputs.x[:seen] == stride * x + dx) & (inputs.y[:seen] == stride * y + dy))[-capacity:]
            edges += [(o, j, cell) for j in there if int(inputs.t[j]) >= int(t) - window]
    return np.reshape(edges, (-1, 3))


@each_way
@settings(deadline=None, max_examples=15)
@given(st.data())
def test_streams_and_edges_equal_literal_loops(make_events, way, data):
    events = tied(make_events, data.draw(st.integers(0, 120)), data.draw(st.integers(0, 99)))
    capacity, max_decays = data.draw(st.sampled_from([1, 2, 31])), data.draw(st.sampled_from([1, 2, 4, 2**70]))
    representation = small(capacity=capacity, max_decays=max_decays, **way)
    value = representation(events)
    assert torch.equal(value.polarity, torch.from_numpy(events.p.copy()))
    below, size = Stream(events.t - events.t[:1], events.x.copy(), events.y.copy()), events.sensor_size
    assert np.array_equal(value.t, below.t)
    assert len(value.levels) == 3
    for number, level in enumerate(value.levels):
        stream, trigger = spatial_lif(below, size, 30 * 2**number, 0.45, -0.2)
        size = (size[0] + 1) // 2, (size[1] + 1) // 2
        for name in ("t", "x", "y"):
            assert np.array_equal(getattr(level, name), getattr(stream, name))
        own = [int(np.sum(stream.t <= t)) if way["ties"] == "together" else o + 1 for o, t in enumerate(stream.t)]
        of_below = [int(np.sum(below.t <= t)) for t in stream.t] if way["ties"] == "together" else trigger + 1
        for kind, inputs, visible, decay in (
            ("strided", below, of_below, 30 * 2**number),
            ("inplace", stream, own, 60 * 2**number),
            ("pointwise", stream, own, 240 * 2**number),
        ):
            window, kept = (max_decays * decay, capacity) if way["memory"] == "window" else (10**9, 1)
            expected = literal_edges(inputs, stream, visible, 2 if kind == "strided" else 1, OFFSETS[kind], window, kept)
            found = getattr(level, kind)
            assert np.array_equal(found.start, np.searchsorted(expected[:, 0], np.arange(len(stream.t) + 1)))
            assert np.array_equal(found.source, expected[:, 1])
            assert np.array_equal(found.cell, expected[:, 2])
        below = stream


@each_way
def test_batches_hold_ages_in_decay_times(make_events, way):
    samples = [tied(make_events, count, count) for count in (150, 0, 90)]
    representation = small(**way)
    batch = representation.collate([representation(events) for events in samples])
    assert isinstance(batch, StreamBatch)
    assert batch.duration.tolist() == [events.duration for events in samples]
    below = torch.from_numpy(np.concatenate([events.t - events.t[:1] for events in samples]))
    for number, level in enumerate(batch.levels):
        assert isinstance(level, StreamLevel)
        assert len(level.t) > 0
        for kind, inputs, decay in (("strided", below, 30), ("inplace", level.t, 60), ("pointwise", level.t, 240)):
            edges, decay_time = getattr(level, kind), decay * 2.0**number
            row = torch.repeat_interleave(torch.arange(len(level.t)), edges.start.diff())
            assert isinstance(edges, StreamEdges if way["memory"] == "window" else TraceEdges)
            assert edges.age.min() >= 0
            assert torch.equal(edges.age, ((level.t[row] - inputs[edges.source.long()]).double() / decay_time).float())
            if way["memory"] == "trace":
                known = edges.previous >= 0
                gap = (inputs[known] - inputs[edges.previous[known].long()]).double() / decay_time
                assert torch.equal(edges.gap[known], gap.float())
                assert not edges.gap[~known].any()
        below = level.t


@each_way
def test_previous_events_are_those_at_the_same_pixel(make_events, way):
    if way["memory"] == "window":
        way = way | {"memory": "trace"}
    events = tied(make_events, 120, 5)
    batch = small(**way).collate([small(**way)(events)] * 2)
    places = list(zip(events.x, events.y, strict=True))
    previous = [max((i for i in range(j) if places[i] == places[j]), default=-1) for j in range(len(places))]
    assert batch.levels[0].strided.previous.tolist() == previous + [i + 120 if i >= 0 else -1 for i in previous]
    for level, above in zip(batch.levels, batch.levels[1:], strict=False):
        places = list(zip(level.sample.tolist(), level.x.tolist(), level.y.tolist(), strict=True))
        previous = [max((i for i in range(j) if places[i] == places[j]), default=-1) for j in range(len(places))]
        for edges in (level.inplace, level.pointwise, above.strided):
            assert edges.previous.tolist() == previous


def test_simultaneous_events_in_a_worked_example():
    """Three events at one pixel make three; 10 ms later a fourth makes one that sees no other."""
    events = Events([0] * 4, [0] * 4, [7, 7, 7, 10_007], [1, 0, 1, 1], (3, 3))
    together, in_order = (EventStream(1, 1000, 0.5, 0.0, ties=ties)(events).levels[0] for ties in ("together", "in order"))
    assert together.t.tolist() == in_order.t.tolist() == [0, 0, 0, 10_000]
    for kind, cell in (("strided", 4), ("inplace", 4), ("pointwise", 0)):
        alone = 3 if kind != "pointwise" else 0  # 8 ms are one decay time of the events of one pixel
        assert getattr(together, kind).source.tolist() == [0, 1, 2, 0, 1, 2, 0, 1, 2, *range(alone, 4)]
        assert getattr(in_order, kind).source.tolist() == [0, 0, 1, 0, 1, 2, *range(alone, 4)]
        assert set(getattr(together, kind).cell.tolist()) == {cell}


@each_way
def test_recordings_without_events_and_levels_without_events(make_events, way):
    representation = EventStream(levels=4, **way)
    samples = [representation(Events.empty((9, 7))), representation(tied(make_events, 1, 0)), representation(tied(make_events, 150, 0))]
    assert [[len(level.t) > 0 for level in sample.levels] for sample in samples[:2]] == [[False] * 4] * 2
    batch = representation.collate(samples)
    assert batch.polarity.shape == (151,)
    assert_same(batch.levels[0].t, samples[2].levels[0].t.long())
    nothing = representation.collate(samples[:1])
    assert nothing.duration.tolist() == [0]
    for level in nothing.levels:
        assert level.sample.dtype == torch.int64
        assert all(getattr(level, kind).start.tolist() == [0] for kind in KINDS)


@each_way
@settings(deadline=None, max_examples=15)
@given(st.integers(0, 99), st.integers(-(10**15), 10**15))
def test_streams_do_not_depend_on_when_the_recording_begins(make_events, way, seed, later):
    events = tied(make_events, 100, seed)
    moved = Events(events.x, events.y, events.t + later, events.p, events.sensor_size)
    assert_same(small(**way)(events), small(**way)(moved))


@each_way
@settings(deadline=None, max_examples=15)
@given(st.integers(0, 99), st.integers(1, 119))
def test_later_events_change_nothing_before_them(make_events, way, seed, known):
    """With ties together, what is before them begins a microsecond earlier."""
    events = tied(make_events, 120, seed)
    whole, part = small(**way)(events), small(**way)(events[:known])
    now = int(events.t[known] - events.t[0])
    for level, before in zip(whole.levels, part.levels, strict=True):
        same = int((before.t < now).sum()) if way["ties"] == "together" else len(before.t)
        assert all(torch.equal(level[column][:same], before[column][:same]) for column in range(3))
        for kind in KINDS:
            edges, edges_before = getattr(level, kind), getattr(before, kind)
            count = int(edges.start[same])
            assert torch.equal(edges.start[: same + 1], edges_before.start[: same + 1])
            assert torch.equal(edges.source[:count], edges_before.source[:count])
            assert torch.equal(edges.cell[:count], edges_before.cell[:count])


@each_way
def test_a_batch_is_its_samples_one_after_the_other(make_events, way):
    representation = small(**way)
    values = [representation(tied(make_events, count, count)) for count in (150, 90)]
    both, *alone = (representation.collate(part) for part in (values, values[:1], values[1:]))
    assert torch.equal(both.polarity, torch.cat([one.polarity for one in alone]))
    inputs = len(alone[0].polarity)
    for level, first, second in zip(both.levels, *(one.levels for one in alone), strict=True):
        assert torch.equal(level.sample, torch.cat([first.sample, second.sample + 1]))
        assert all(torch.equal(level[column], torch.cat([first[column], second[column]])) for column in range(3))
        for kind in KINDS:
            of, before = (inputs, len(first.t))[kind != "strided"], getattr(first, kind)
            edges, after = getattr(level, kind), getattr(second, kind)
            assert torch.equal(edges.start, torch.cat([before.start, after.start[1:] + len(before.source)]))
            assert torch.equal(edges.source, torch.cat([before.source, after.source + of]))
            for name in {"cell", "age", "gap"} & set(edges._fields):
                assert torch.equal(getattr(edges, name), torch.cat([getattr(before, name), getattr(after, name)]))
        inputs = len(first.t)


@each_way
def test_batches_are_copies(make_events, way):
    representation = small(**way)
    value = representation(tied(make_events, 150, 0))
    batch, again = representation.collate([value]), representation.collate([value])
    for tensor in tensors(value):
        tensor.fill_(1)
    assert_same(batch, again)


@each_way
def test_prepared_streams_equal_those_built_anew(tmp_path, way):
    pipeline = Pipeline(MovingShapes(size=2), [], EventStream(levels=2, **way))
    fresh = [pipeline[0, index] for index in range(2)]
    assert prepare(tmp_path, pipeline, jobs=1).failures == {}
    pipeline.store = find_store(tmp_path, pipeline)
    stored = [pipeline[0, index] for index in range(2)]
    for one, other in zip(fresh, stored, strict=True):
        assert type(one.value) is type(other.value)
        assert len(one.value.levels[0].t) > 0
        assert_same(one.value, other.value)
    assert_same(pipeline.collate(fresh).inputs, pipeline.collate(stored).inputs)


def test_streams_of_hours_are_exact():
    """Times beyond 32 bits, in a batch with a short recording."""
    later = 2**33
    events = Events([0, 0, 0, 0], [0, 0, 0, 0], [0, 0, later, later + 7], [1, 1, 1, 1], (3, 3))
    representation = EventStream(1, 1000, 0.5, 0.0)
    batch = representation.collate([representation(events), representation(events[:2])])
    assert batch.duration.tolist() == [later + 7, 0]
    assert batch.levels[0].t.tolist() == [0, 0, later, later + 7, 0, 0]
    ages = batch.levels[0].strided.age
    assert torch.equal(ages, torch.tensor([0, 0, 0, 0, 0, 0.007, 0, 0, 0, 0, 0]))


@each_way
def test_networks_answer_alone_as_in_a_batch(make_events, way):
    torch.manual_seed(0)
    representation = EventStream(levels=2, threshold=0.45, reset_potential=-0.2, **way)
    network = eventzoo.backbones.ECN((9, 7), levels=2, first_pooled=1, horizon=50_000, hidden=(16,), memory=way["memory"]).eval()
    values = [representation(make_events(count, (9, 7), count)) for count in (300, 0, 3, 200)]
    assert len(values[0].levels[1].t) > 10
    with torch.no_grad():
        together = network(representation.collate(values))
        alone = torch.cat([network(representation.collate([value])) for value in values])
    assert together.std(0).max() > 0.1
    torch.testing.assert_close(together, alone)


@pytest.mark.parametrize(
    "wrong",
    [
        {"levels": 0},
        {"levels": 17},
        {"decay_time": 0},
        {"capacity": 0},
        {"max_decays": 0},
        {"threshold": 0.0},
        {"threshold": 1.0, "reset_potential": 1.0},
        {"threshold": float("nan")},
        {"ties": "apart"},
        {"memory": "none"},
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(EventZooError, match=list(wrong)[-1]):
        EventStream(**wrong)
