import copy
import pickle

import pytest

import eventzoo
from eventzoo.data.dataset import EventDataset
from eventzoo.data.representation import Representation
from eventzoo.data.transforms import EventTransform, RandomShift, RandomSubsample
from eventzoo.errors import EventZooError, PluginError, UnknownPartError
from eventzoo.nn.backbone import Backbone
from eventzoo.specs import Part, build, spec_of


class Outer(Part):
    def __init__(self, inner: Part, sizes: tuple[int, ...] = (), name: str = "x", **options: int) -> None:
        self.inner = inner


def test_parts_remember_what_they_were_made_with():
    outer = Outer(RandomShift(3), sizes=(1, 2), depth=4)
    assert outer.init_args == {"inner": outer.inner, "sizes": (1, 2), "depth": 4}
    assert spec_of(outer)["init_args"] == {
        "inner": {"class_path": "eventzoo.data.transforms.RandomShift", "init_args": {"pixels": 3}},
        "sizes": [1, 2],
        "depth": 4,
    }


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda part: pickle.loads(pickle.dumps(part))])
def test_copies_remember_too(copied):
    backbone = eventzoo.backbones.AEGNN(sensor_size=(20, 20), kernel_size=3)
    assert spec_of(copied(backbone)) == spec_of(backbone)


@pytest.mark.parametrize(
    ("part", "base"),
    [
        (lambda: RandomSubsample(5), EventTransform),
        (lambda: eventzoo.representations.EventGraph(radius=2.5, causal=True), Representation),
        (lambda: eventzoo.backbones.AEGNN((34, 34), channels=(4, 8, 8, 8, 8, 8, 8)), Backbone),
        (lambda: eventzoo.datasets.MovingShapes("val", size=3), EventDataset),
    ],
)
def test_round_trip(part, base):
    spec = spec_of(part())
    rebuilt = build(spec, base)
    assert type(rebuilt) is type(part())
    assert set(spec["init_args"].items() if base is not Backbone else []) <= set(
        spec_of(rebuilt)["init_args"].items() if base is not Backbone else []
    )
    assert build(spec_of(rebuilt), base).init_args == rebuilt.init_args


def test_registered_parts_have_stable_names():
    assert spec_of(eventzoo.representations.Histogram())["class_path"] == "eventzoo.representations.Histogram"


def test_bare_names_are_looked_up():
    assert type(build({"class_path": "Histogram"}, Representation)).__name__ == "Histogram"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"class_path": "os.system", "init_args": {"command": "touch hacked"}}, "refusing to import 'os.system'"),
        ({"class_path": "subprocess.Popen"}, "refusing to import 'subprocess.Popen'"),
        ({"class_path": "EventGraph", "init_args": {"radius": {"class_path": "os.system"}}}, "refusing to import 'os.system'"),
        ({"class_path": "EventGraph", "init_args": {"radius": ["os.system"]}}, "refusing to import 'os.system'"),
        ({"class_path": "EventGraph", "init_args": {"radius": "wide"}}, "where: .*radius"),
        ({"class_path": "EventGraph", "init_args": {"raduis": 3.0}}, "where: .*raduis"),
        ({"class_path": "EventGraph", "init_args": {"radius": -1.0}}, "where: EventGraph: radius > 0"),
        ({"class_path": "AEGNN", "init_args": {"sensor_size": [3, 3]}}, "where: "),
        ({"init_args": {}}, "where: "),
        ({"class_path": 3}, "where: "),
        ({}, "where: "),
    ],
)
def test_bad_specifications_are_refused_in_words(spec, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EventZooError, match=message):
        build(spec, Representation, "where")
    assert not list(tmp_path.iterdir())


@pytest.fixture
def strangers_module(tmp_path, monkeypatch):
    """A module that leaves a trace when it is imported, and files that name it."""
    (tmp_path / "stranger.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'w')\nclass Part: pass\n")
    (tmp_path / "part.yaml").write_text("class_path: stranger.Part\n")
    (tmp_path / "name").write_text("stranger.Part")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "imported"


@pytest.mark.parametrize(
    "hidden",
    [
        "stranger.Part",
        "{class_path: stranger.Part}",
        "part.yaml",
        "name",
        {"class_path": "part.yaml"},
        {"class_path": ["stranger.Part"]},
        {"class_path": " stranger.Part"},
        {"stranger.Part": {}},
        {"class_path": "eventzoo.data.transforms.RandomShift", "init_args": "part.yaml"},
        {"class_path": "eventzoo.data.transforms.RandomShift", "init_args": {"pixels": 3}, "dict_kwargs": {"a": "stranger.Part"}},
    ],
    ids=str,
)
def test_nothing_of_a_stranger_is_imported_however_it_is_named(hidden, strangers_module):
    nested = ({"class_path": "eventzoo.data.transforms.RandomApply", "init_args": {"transforms": value}} for value in ([hidden], hidden))
    for spec in (hidden, *nested):
        with pytest.raises(EventZooError):
            build(spec, EventTransform)
    assert not strangers_module.exists()


def test_what_is_nested_without_end_is_refused():
    spec = {"class_path": "eventzoo.data.transforms.RandomShift"}
    for _ in range(5_000):
        spec = {"class_path": "eventzoo.data.transforms.RandomApply", "init_args": {"transforms": [spec]}}
    with pytest.raises(EventZooError, match="where: it is nested too deeply"):
        build(spec, EventTransform, "where")


def test_unknown_and_ambiguous_parts_say_so(monkeypatch):
    with pytest.raises(UnknownPartError, match="Did you mean EventGraph"):
        build({"class_path": "eventzoo.representations.EventGrap"}, Representation)
    with pytest.raises(EventZooError, match="EventGrap"):
        build({"class_path": "EventGrap"}, Representation)
    from eventzoo import registry

    entries = dict(registry.entries("representations"))
    entries["Histogram"] = entries["Histogram"] * 2
    monkeypatch.setattr(registry, "entries", lambda group: entries if group == "representations" else {})
    with pytest.raises(PluginError, match="is claimed by"):
        build({"class_path": "Histogram"}, Representation)


def test_arguments_that_cannot_be_written_down_are_named():
    with pytest.raises(EventZooError, match="Outer cannot be saved: its argument 'inner' is a set"):
        spec_of(Outer({1, 2}))
