from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventzoo.data.boxes import Boxes
from eventzoo.data.dataset import Sample
from eventzoo.data.transforms import EventMix
from eventzoo.errors import EventZooError
from eventzoo.events import Events

MODES = ["cut", "time", "random"]


@pytest.fixture(scope="module")
def pair(make_events):
    """Two recordings of which only the first has ON events, and that begin at different times."""
    first, second = make_events(200, seed=1), make_events(150, seed=2)
    return (
        Sample(Events(first.x, first.y, first.t, [1] * 200, (34, 34)), 3, "a"),
        Sample(Events(second.x, second.y, second.t + 10**9, [0] * 150, (34, 34)), 5, "b"),
    )


def rows(events):
    return list(zip(events.x.tolist(), events.y.tolist(), events.t.tolist(), events.p.tolist(), strict=True))


def masked(mode, sample, other, seed, alpha=1.0):
    """Which events lie inside the mask, one by one; the other's times are the sample's already."""
    rng = np.random.default_rng(seed)
    share = rng.beta(alpha, alpha)
    if mode == "random":
        return [(rng.random(len(events)) < share).tolist() for events in (sample, other)]
    if mode == "time":
        start = sample.t[0] + rng.uniform(0, (1 - share) * sample.duration)
        return [[start <= t < start + share * sample.duration for t in events.t.tolist()] for events in (sample, other)]
    width, height = round(34 * share**0.5), round(34 * share**0.5)
    left, top = rng.integers(0, (34 - width + 1, 34 - height + 1))
    return [[left <= x < left + width and top <= y < top + height for x, y, _, _ in rows(events)] for events in (sample, other)]


@pytest.mark.parametrize("mode", MODES)
@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 9999), alpha=st.sampled_from([1.0, 5.0]))
def test_inside_the_mask_is_the_other_and_outside_the_sample(pair, mode, seed, alpha):
    sample, other = pair
    mixed = EventMix(mode, alpha=alpha)(sample, other, np.random.default_rng(seed))
    begin = int(sample.events.t[0]) - int(other.events.t[0])
    moved = Events(other.events.x, other.events.y, other.events.t + begin, other.events.p, (34, 34))
    out, within = masked(mode, sample.events, moved, seed, alpha)
    expected = [row for row, hidden in zip(rows(sample.events), out, strict=True) if not hidden]
    added = [row for row, shown in zip(rows(moved), within, strict=True) if shown]
    assert rows(mixed.events) == sorted(expected + added, key=lambda row: row[2])
    assert mixed.mixed_with == (5, len(added) / max(len(mixed.events), 1))
    assert (mixed.label, mixed.key, mixed.boxes) == (3, "a", None)
    Events(mixed.events.x, mixed.events.y, mixed.events.t, mixed.events.p, (34, 34))


def test_the_share_is_the_masks_on_average(pair):
    for mode in MODES:
        shares = [EventMix(mode)(*pair, np.random.default_rng(seed)).mixed_with[1] for seed in range(300)]
        assert 0.33 < np.mean(shares) < 0.57
        assert min(shares) < 0.1
        assert max(shares) > 0.9


def test_samples_are_mixed_with_the_probability():
    mixes = [EventMix(probability=0.3).applies(np.random.default_rng(seed)) for seed in range(1000)]
    assert abs(sum(mixes) - 300) < 5 * np.sqrt(1000 * 0.3 * 0.7)
    assert not EventMix(probability=0).applies(np.random.default_rng(0))
    assert EventMix(probability=1).applies(np.random.default_rng(0))


def boxed(sample, *times):
    boxes = Boxes(np.tile([[1.0, 2, 3, 4]], (len(times), 1)), np.full(len(times), sample.label), times)
    return Sample(sample.events, None, sample.key, boxes)


def test_in_detection_the_boxes_of_both_stay_and_hold_at_the_same_time(pair):
    first, second = boxed(pair[0], 90_000), boxed(pair[1], 10**9 + 80_000, 10**9 + 80_000)
    mixed = EventMix("random")(first, second, np.random.default_rng(0))
    assert mixed.boxes.t.tolist() == [90_000] * 3
    assert mixed.boxes.class_ids.tolist() == [3, 5, 5]
    assert mixed.mixed_with is None
    others = mixed.events.t[~mixed.events.p]
    assert np.isin(others, pair[1].events.t - 10**9 + 10_000).all()
    assert len(others) > 0


def test_without_boxes_the_last_events_meet(pair):
    empty = Sample(pair[1].events, None, "b", Boxes.empty())
    mixed = EventMix("random", alpha=50)(boxed(pair[0], 90_000), empty, np.random.default_rng(0))
    assert np.isin(mixed.events.t[~mixed.events.p], pair[1].events.t - pair[1].events.t[-1] + 90_000).all()
    assert len(mixed.boxes) == 1


@pytest.mark.parametrize("mode", MODES)
def test_nothing_to_mix(pair, mode):
    empty = Sample(Events.empty((34, 34)), 2, "c")
    assert EventMix(mode)(pair[0], empty, np.random.default_rng(0)) is pair[0]
    assert EventMix(mode)(empty, pair[0], np.random.default_rng(0)) is empty


def test_what_does_not_go_together_is_refused(pair, make_events):
    sample, other = pair
    rng = np.random.default_rng(0)
    with pytest.raises(EventZooError, match=r"samples a and c cannot be mixed: their sensors are \(34, 34\) and \(9, 9\)"):
        EventMix()(sample, Sample(make_events(3, (9, 9)), 1, "c"), rng)
    with pytest.raises(EventZooError, match="one has boxes, the other has none"):
        EventMix()(sample, boxed(other, 3), rng)
    with pytest.raises(EventZooError, match="both need a label"):
        EventMix()(sample, Sample(other.events, None, "b"), rng)
    with pytest.raises(EventZooError, match="a mixture already"):
        EventMix()(replace(sample, mixed_with=(1, 0.5)), other, rng)
    with pytest.raises(EventZooError, match="of which mode 'cut' would leave parts"):
        EventMix("cut")(boxed(sample, 3), boxed(other, 3), rng)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"mode": "blend"}, "EventMix: modes are cut, time, random, not 'blend'"),
        ({"alpha": 0.0}, "EventMix: alpha must"),
        ({"probability": 2.0}, "EventMix: probab"),
    ],
)
def test_nonsense_is_refused(args, message):
    with pytest.raises(EventZooError, match=message):
        EventMix(**args)
