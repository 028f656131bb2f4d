"""What holds for all transforms. One that is missing in `EXAMPLES` fails the first test."""

import copy
import functools
import itertools
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import eventzoo.data.transforms as transforms
from eventzoo.data.boxes import Boxes
from eventzoo.data.dataset import Sample
from eventzoo.data.transforms import EventMix, EventTransform, apply
from eventzoo.errors import EventZooError
from eventzoo.events import Events
from eventzoo.specs import Part, build, spec_of

FLIP = {"class_path": "RandomHorizontalFlip", "init_args": {"probability": 1.0}}
SHIFT = {"class_path": "RandomShift", "init_args": {"pixels": 2}}
EXAMPLES = [  # name, arguments, whether it is random
    ("WindowByCount", {"count": 5}, False),
    ("WindowByCount", {"count": 5, "position": "start"}, False),
    ("WindowByCount", {"count": 5, "position": "middle"}, False),
    ("WindowByCount", {"count": 5, "position": "random"}, True),
    ("WindowByTime", {"duration": 40}, False),
    ("WindowByTime", {"duration": 40, "position": "start"}, False),
    ("WindowByTime", {"duration": 40, "position": "middle"}, False),
    ("WindowByTime", {"duration": 40, "position": "random"}, True),
    ("RandomSubsample", {"count": 5}, True),
    ("EvenSubsample", {"count": 5}, False),
    ("EveryKth", {"k": 3}, False),
    ("TemporalSubsample", {"count": 5}, True),
    ("LIFSubsample", {"count": 5, "h_x": 0.5, "h_y": 0.5, "h_t": 0.1}, False),
    ("RandomHorizontalFlip", {}, True),
    ("RandomHorizontalFlip", {"probability": 1.0}, False),
    ("RandomVerticalFlip", {}, True),
    ("RandomVerticalFlip", {"probability": 0.0}, False),
    ("RandomShift", {"pixels": 3}, True),
    ("RandomRotation", {"degrees": 30.0}, True),
    ("RandomScale", {"low": 0.5, "high": 2.0}, True),
    ("RandomScale", {"low": 0.5, "high": 2.0, "each_axis": True}, True),
    ("RandomShear", {"horizontal": 0.2, "vertical": 0.1}, True),
    ("CentreCrop", {"size": [6, 4]}, False),
    ("RandomCrop", {"size": [6, 4]}, True),
    ("Resize", {"sensor_size": [5, 20]}, False),
    ("RandomTimeReversal", {}, True),
    ("RandomTimeReversal", {"probability": 1.0}, False),
    ("RandomTimeScale", {"low": 0.5, "high": 2.0}, True),
    ("TimeJitter", {"std": 10.0}, True),
    ("TimeWarp", {"low": 0.5, "high": 2.0}, True),
    ("ChunkWarp", {"chunks": 2, "longest": 4, "low": 0.5, "high": 2.0}, True),
    ("EventDrop", {"probability": 0.3}, True),
    ("TimeDrop", {"fraction": 0.3}, True),
    ("ChunkDrop", {"chunks": 2, "longest": 4}, True),
    ("RandomErasing", {"width": 6.0, "height": 4.0}, True),
    ("RandomPolarityFlip", {}, True),
    ("RandomPolarityFlip", {"probability": 1.0}, False),
    ("PolarityNoise", {"probability": 0.3}, True),
    ("ReplaceByNoise", {"probability": 0.3}, True),
    ("BackgroundNoise", {"rate": 100.0}, True),
    ("HotPixels", {"count": 2, "rate": 1e5}, True),
    ("RandomApply", {"transforms": [SHIFT, FLIP], "probability": 0.5}, True),
    ("RandomApply", {"transforms": [SHIFT], "probability": 1.0}, True),
    ("RandomApply", {"transforms": [FLIP], "probability": 1.0}, False),
    ("RandomChoice", {"transforms": [SHIFT, {"class_path": "RandomApply", "init_args": {"transforms": [FLIP]}}]}, True),
    ("TonicTransform", {"name": "SpatialJitter", "arguments": {"reach": [2, 1]}}, True),
    ("TonicTransform", {"name": "RefractoryPeriod", "arguments": {"delta": 20}, "random": False}, False),
]
NOT_WITH_BOXES = ("RandomTimeReversal", "TonicTransform")
IDS = [f"{name}-{number}" for number, (name, _, _) in enumerate(EXAMPLES)]
every_transform = pytest.mark.parametrize(("name", "args", "random"), EXAMPLES, ids=IDS)
settled = settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])

pytestmark = pytest.mark.usefixtures("tonic")


class NoGenerator:
    """Stands for a generator that must not be touched."""

    def __getattr__(self, name):
        raise AssertionError(f"the generator's {name} was used")


def made(name, args):
    return _built(yaml.safe_dump({"class_path": name, "init_args": args}))


@functools.cache
def _built(text):
    return build(yaml.safe_load(text), EventTransform)


@st.composite
def samples(draw, boxes=False):
    width, height = draw(st.integers(6, 12)), draw(st.integers(4, 9))
    count = draw(st.one_of(st.just(0), st.just(1), st.integers(2, 40)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    begin = draw(st.sampled_from([0, 10**12]))
    t = begin + np.sort(rng.integers(0, draw(st.sampled_from([1, 30, 1000])), count))
    events = Events(rng.integers(0, width, count), rng.integers(0, height, count), t, rng.random(count) < 0.5, (width, height))
    if not boxes:
        return Sample(events, 1, "a")
    number = draw(st.integers(0, 3))
    corners = rng.uniform(0, 1, (2, number, 2)) * (width, height)
    at = np.full(number, t[-1] if count else 0)
    return Sample(events, None, "a", Boxes(np.hstack([corners.min(0), corners.max(0)]), rng.integers(0, 3, number), at))


def test_none_is_forgotten():
    public = {name for name in transforms.__all__ if isinstance(getattr(transforms, name), type)}
    assert {name for name, _, _ in EXAMPLES} == public - {"EventTransform", "EventMix"}


def test_the_documentation_names_all():
    page = (Path(__file__).parents[2] / "docs" / "transforms.md").read_text(encoding="utf-8")
    assert [name for name, _, _ in EXAMPLES if f"`{name}`" not in page] == []


def contents(sample):
    arrays = [getattr(sample.events, name) for name in "xytp"]
    if sample.boxes is not None:
        arrays += [sample.boxes.xyxy, sample.boxes.class_ids, sample.boxes.t]
    return [(array.dtype, array.tobytes()) for array in arrays], sample.label, sample.key, sample.events.sensor_size


@every_transform
@settled
@given(data=st.data())
def test_valid_reproducible_and_leaves_its_input_alone(name, args, random, data):
    transform = made(name, args)
    with_boxes = data.draw(st.booleans()) and name not in NOT_WITH_BOXES and args.get("position", "end") == "end"
    sample, seed = data.draw(samples(boxes=with_boxes)), data.draw(st.integers(0, 2**16))
    before = contents(sample)
    result = transform(sample, np.random.default_rng(seed))
    assert contents(sample) == before
    assert contents(transform(sample, np.random.default_rng(seed))) == contents(result)
    events = result.events
    Events(events.x, events.y, events.t, events.p, events.sensor_size)  # which checks lengths, bounds and time order
    assert (result.label, result.key) == (sample.label, "a")
    assert (result.boxes is not None) == with_boxes
    if with_boxes:
        Boxes(result.boxes.xyxy, result.boxes.class_ids, result.boxes.t)
        assert (result.boxes.clipped(events.sensor_size).xyxy == result.boxes.xyxy).all()


@every_transform
def test_random_says_whether_it_draws(name, args, random, make_events):
    transform = made(name, args)
    assert transform.random is random
    sample = Sample(make_events(200), 1, "a")
    if not random:
        transform(sample, NoGenerator())
        return
    results = {str(contents(transform(sample, np.random.default_rng(seed)))) for seed in range(20)}
    assert len(results) > 1


@every_transform
def test_written_down_and_made_again(name, args, random, make_events):
    transform = made(name, args)
    spec = yaml.safe_load(yaml.safe_dump(spec_of(transform)))
    assert spec["class_path"] == f"eventzoo.data.transforms.{name}"
    sample = Sample(make_events(100), 1, "a")
    for again in (build(spec, EventTransform), copy.deepcopy(transform), pickle.loads(pickle.dumps(transform))):
        assert type(again) is type(transform)
        assert spec_of(again) == spec_of(transform)
        assert again.random == transform.random
        results = [contents(either(sample, np.random.default_rng(3))) for either in (transform, again)]
        assert results[0] == results[1]


@pytest.mark.parametrize(
    ("name", "args", "message"),
    [
        ("WindowByCount", {"count": 0}, "count must be at least 1, not 0"),
        ("WindowByCount", {"count": 3, "position": "centre"}, "a position is start, middle, end, random, not 'centre'"),
        ("WindowByTime", {"duration": -1}, "duration must be at least 1, not -1"),
        ("RandomSubsample", {"count": 0}, "count must be at least 1"),
        ("EvenSubsample", {"count": 0}, "count must be at least 1"),
        ("TemporalSubsample", {"count": 0}, "count must be at least 1"),
        ("EveryKth", {"k": 0}, "k must be at least 1"),
        ("LIFSubsample", {"count": 3, "h_x": 0.0, "h_y": 1.0, "h_t": 1.0}, "h_x must be above 0 and at most 1, not 0.0"),
        ("LIFSubsample", {"count": 3, "h_x": 1.0, "h_y": 1.0, "h_t": 1.5}, "h_t must be above 0 and at most 1, not 1.5"),
        ("RandomHorizontalFlip", {"probability": 1.5}, "probability must be between 0 and 1, not 1.5"),
        ("RandomVerticalFlip", {"probability": float("nan")}, "probability must be between 0 and 1, not nan"),
        ("RandomShift", {"pixels": 0}, "pixels must be at least 1"),
        ("RandomRotation", {"degrees": 0.0}, "degrees must be above 0"),
        ("RandomScale", {"low": 2.0, "high": 1.0}, "the lower first, not 2.0 and 1.0"),
        ("RandomScale", {"low": 1.0, "high": float("inf")}, "must be positive"),
        ("RandomShear", {"horizontal": 0.0}, "one of them positive, not 0.0 and 0.0"),
        ("CentreCrop", {"size": [0, 3]}, "sensor_size is"),
        ("RandomCrop", {"size": [3, 40000]}, "sensor_size is"),
        ("Resize", {"sensor_size": [-3, 3]}, "sensor_size is"),
        ("RandomTimeScale", {"low": 0.0, "high": 1.0}, "factors must be positive"),
        ("TimeJitter", {"std": 0.0}, "std must be a positive number of microseconds"),
        ("TimeWarp", {"low": -1.0, "high": 1.0}, "factors must be positive"),
        ("ChunkWarp", {"chunks": 0, "longest": 3, "low": 1.0, "high": 1.0}, "chunks must be at least 1"),
        ("ChunkDrop", {"chunks": 1, "longest": 0}, "longest must be at least 1"),
        ("EventDrop", {"probability": -0.1}, "probability must be between 0 and 1"),
        ("TimeDrop", {"fraction": 1.1}, "fraction must be between 0 and 1"),
        ("RandomErasing", {"width": 0.0, "height": 3.0}, "largest sides must be positive, not 0.0 and 3.0"),
        ("BackgroundNoise", {"rate": -1.0}, "a rate is a number of events a second"),
        ("HotPixels", {"count": 0, "rate": 1.0}, "count must be at least 1"),
        ("RandomApply", {"transforms": []}, "at least one transform"),
        ("RandomChoice", {"transforms": []}, "at least one transform"),
    ],
)
def test_nonsense_is_refused_in_words(name, args, message):
    with pytest.raises(EventZooError, match=f"^{name}: .*{re.escape(message)}"):
        getattr(transforms, name)(**args)


@pytest.mark.parametrize(
    ("name", "args"), [example[:2] for example in EXAMPLES if example[0] in NOT_WITH_BOXES or example[1].get("position", "end") != "end"]
)
def test_what_would_tear_boxes_from_their_evidence_is_refused(name, args, make_events):
    sample = Sample(make_events(20), None, "a", Boxes.empty())
    with pytest.raises(EventZooError, match="sample a has boxes"):
        made(name, args)(sample, np.random.default_rng(0))


def test_transforms_follow_each_other(make_events):
    sample = Sample(make_events(200), 3, "a")
    first, second = made("EvenSubsample", {"count": 100}), made("RandomShift", {"pixels": 3})
    rng = np.random.default_rng(5)
    assert apply([first, second], sample, np.random.default_rng(5)).events == second(first(sample, rng), rng).events
    assert apply([], sample, rng) is sample


STREAMING = [
    ("EveryKth", {"k": 1}),
    ("EveryKth", {"k": 3}),
    ("EveryKth", {"k": 50}),
    ("CentreCrop", {"size": [5, 4]}),
    ("Resize", {"sensor_size": [5, 20]}),
    *((f"Random{which}Flip", {"probability": share}) for which in ("Horizontal", "Vertical", "Polarity") for share in (0.0, 1.0)),
]


def test_which_transforms_stream():
    found = {name for name, args, _ in EXAMPLES if made(name, args).streams}
    assert found == {name for name, _ in STREAMING}
    assert not any(made(name, args).random for name, args, _ in EXAMPLES if made(name, args).streams)


@pytest.mark.parametrize(("name", "args"), STREAMING)
@settled
@given(samples(), st.lists(st.integers(0, 40), max_size=6))
def test_pieces_of_a_stream_give_what_the_whole_gives(name, args, sample, cuts):
    transform = made(name, args)
    whole = transform(sample, NoGenerator()).events
    ends = sorted([0, *(min(cut, len(sample.events)) for cut in cuts), len(sample.events)])
    pieces = [transform.on_stream(sample.events[start:stop], start) for start, stop in itertools.pairwise(ends)]
    assert Events(*(np.concatenate([getattr(piece, name) for piece in pieces]) for name in "xytp"), whole.sensor_size) == whole
    assert {piece.sensor_size for piece in pieces} == {whole.sensor_size}


@every_transform
def test_what_needs_the_whole_recording_refuses_a_stream(name, args, random, make_events):
    if not made(name, args).streams:
        with pytest.raises(EventZooError, match=f"^{name} cannot be done on a stream.*EveryKth thins out a stream"):
            made(name, args).on_stream(make_events(20), 0)


@pytest.mark.parametrize("mode", ["cut", "time", "random"])
def test_mixing_is_written_down_too(mode):
    spec = yaml.safe_load(yaml.safe_dump(spec_of(EventMix(mode, alpha=2.0))))
    assert spec == {"class_path": "eventzoo.data.transforms.EventMix", "init_args": {"mode": mode, "alpha": 2.0}}
    assert build(spec, Part).init_args == {"mode": mode, "probability": 0.5, "alpha": 2.0}
