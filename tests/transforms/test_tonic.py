# ruff: noqa: NPY002  # Tonic draws from numpy's global generator
import sys

import numpy as np
import pytest

from eventzoo.data.dataset import Sample
from eventzoo.data.transforms import EventTransform, TonicTransform
from eventzoo.errors import EventZooError
from eventzoo.specs import build, spec_of


@pytest.fixture(scope="module")
def sample(make_events):
    return Sample(make_events(200, (12, 9)), 1, "a")


def test_a_transform_of_tonic_is_applied_as_it_is(tonic, sample):
    events = TonicTransform("RefractoryPeriod", {"delta": 3000}, random=False)(sample, None).events
    expected = tonic.RefractoryPeriod(3000)(sample.events.to_structured())
    assert 0 < len(events) < 200
    assert np.array_equal(events.to_structured(), expected)


def test_what_comes_back_is_on_the_sensor_and_in_order(tonic, sample):
    events = TonicTransform("SpatialJitter", {"reach": [3, 1]})(sample, np.random.default_rng(0)).events
    state = np.random.get_state()
    np.random.seed(int(np.random.default_rng(0).integers(2**32)))
    moved = tonic.SpatialJitter((12, 9, 2), (3, 1))(sample.events.to_structured([(name, int) for name in "xytp"]))
    np.random.set_state(state)
    inside = [row for row in moved.tolist() if 0 <= row[0] < 12 and 0 <= row[1] < 9]
    assert len(inside) < 200
    assert events.to_structured().tolist() == sorted(inside, key=lambda row: row[2])


@pytest.mark.usefixtures("tonic")
def test_numpys_global_generator_is_left_alone(sample):
    transform = TonicTransform("SpatialJitter")
    np.random.seed(1)
    expected = np.random.random(3)
    np.random.seed(1)
    first = transform(sample, np.random.default_rng(5)).events
    assert np.array_equal(np.random.random(3), expected)
    assert transform(sample, np.random.default_rng(5)).events == first
    assert transform(sample, np.random.default_rng(6)).events != first
    with pytest.raises(EventZooError, match="Fails fails on sample a: RuntimeError"):
        TonicTransform("Fails")(sample, np.random.default_rng(0))


@pytest.mark.usefixtures("tonic")
def test_told_to_be_deterministic_it_is_even_where_tonic_draws(sample):
    transform = TonicTransform("SpatialJitter", random=False)
    assert transform(sample, None).events == transform(sample, None).events


@pytest.mark.usefixtures("tonic")
@pytest.mark.parametrize("name", ["ToFrames", "np", "Path", "__name__", "__loader__"])
def test_what_is_no_transform_of_tonic_is_refused(name):
    with pytest.raises(EventZooError, match=f"tonic.transforms has no transform '{name}'"):
        TonicTransform(name)


@pytest.mark.usefixtures("tonic")
@pytest.mark.parametrize("arguments", [{}, {"delta": 0.5}, {"delta": 3, "other": 4}])
def test_wrong_arguments_are_refused_at_once(arguments):
    with pytest.raises(EventZooError, match="Tonic's RefractoryPeriod refuses its arguments: "):
        TonicTransform("RefractoryPeriod", arguments)


@pytest.mark.usefixtures("tonic")
def test_frames_are_refused(sample):
    with pytest.raises(EventZooError, match="ToFrame does not yield events; frames and voxels are made by a representation"):
        TonicTransform("ToFrame")(sample, np.random.default_rng(0))


def test_without_tonic_the_error_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "tonic", None)
    monkeypatch.setitem(sys.modules, "tonic.transforms", None)
    with pytest.raises(EventZooError, match="pip install tonic"):
        TonicTransform("RefractoryPeriod", {"delta": 3})


@pytest.mark.usefixtures("tonic")
@pytest.mark.parametrize(
    "arguments", [{"delta": 3}, {"delta": True}, {"delta": 0.5}, {"delta": "x"}, {"delta": None}, {"delta": [1, 2.5]}, {"delta": [[1, 2]]}]
)
def test_arguments_keep_their_types_in_a_specification(arguments, monkeypatch):
    monkeypatch.setattr("eventzoo.data.transforms.tonic.TonicTransform._transform", lambda self, size: None)
    spec = {"class_path": "eventzoo.data.transforms.TonicTransform", "init_args": {"name": "RefractoryPeriod", "arguments": arguments}}
    written = spec_of(build(spec, EventTransform))["init_args"]["arguments"]
    assert written == arguments
    assert type(written["delta"]) is type(arguments["delta"])


@pytest.mark.parametrize(
    ("name", "arguments", "random"),
    [
        ("RefractoryPeriod", {"delta": 3000}, False),
        ("Denoise", {"filter_time": 3000.0}, False),
        ("SpatialJitter", {"var_x": 2.0}, True),
        ("TimeJitter", {"std": 50.0}, True),
        ("DropEvent", {"p": [0.1, 0.5]}, True),
        ("DropPixel", {"coordinates": [[1, 2], [3, 4]]}, True),
        ("RandomFlipPolarity", {}, True),
        ("UniformNoise", {"n": 30}, True),
        ("RandomTimeReversal", {"p": 1.0}, True),
    ],
)
def test_the_real_tonic(sample, name, arguments, random):
    pytest.importorskip("tonic")
    spec = {"class_path": "TonicTransform", "init_args": {"name": name, "arguments": arguments, "random": random}}
    transform = build(spec, EventTransform)
    before = sample.events.to_structured()
    first, again = (transform(sample, np.random.default_rng(3)).events for _ in range(2))
    assert first == again
    assert np.array_equal(sample.events.to_structured(), before)
    assert (first != transform(sample, np.random.default_rng(4)).events) == (
        random and name not in ("DropPixel", "RandomTimeReversal", "RandomFlipPolarity")
    )
    if name == "RefractoryPeriod":
        assert 0 < len(first) < 200
