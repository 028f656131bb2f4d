"""eventzoo streams, as a user types it."""

import re
import sys

import numpy as np
import pytest
import torch

import eventzoo
from eventzoo import shipped
from eventzoo.data.transforms import CentreCrop, EveryKth
from eventzoo.events import Events
from eventzoo.model import EventModel
from eventzoo.tasks.heads import ClassificationHead

SIZE = (34, 24)
KINDS = ("strided", "inplace", "pointwise")


@pytest.fixture(scope="session")
def recording(tmp_path_factory, make_events):
    """A recording, and its file."""
    path, events = tmp_path_factory.mktemp("recordings") / "a.dat", make_events(1500, SIZE, duration=50_000)
    eventzoo.write(path, events)
    return path, events


def saved(folder, transform, size):
    """A small ECN of sensors of 40×30 pixels, as --model takes it, which a transform is to make `size`."""
    stream = eventzoo.representations.EventStream(levels=2, decay_time=3000)
    backbone = eventzoo.backbones.ECN(sensor_size=size, levels=2, filters=2, decays=1, first_pooled=1, hidden=(4,))
    head = ClassificationHead().connect(backbone, 3)
    return f"local-dir:{EventModel(stream, backbone, head, ['cat', 'dog', 'car'], (40, 30), [transform]).save(folder)}"


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """One that looks at every second event."""
    return saved(tmp_path_factory.mktemp("models") / "small", EveryKth(2), (40, 30))


def printed(capsys):
    """The rows of both tables."""
    first, second = capsys.readouterr().out.split("\n\n")
    return [
        [re.split(r"  +", line.strip()) for line in table.splitlines()[2:] if not line.startswith("picture")] for table in (first, second)
    ]


def tables_of(events, **settings):
    """What the tables must say."""
    represent = eventzoo.representations.EventStream(**settings)
    batch = represent.collate([represent(events)])
    (width, height), counts = events.sensor_size, [len(events), *(len(level.t) for level in batch.levels)]
    times = [events.t, *(level.t.numpy() for level in batch.levels)]
    streams = []
    for number, (count, t) in enumerate(zip(counts, times, strict=True)):
        share = f"{count / counts[number - 1]:.1%}" if number and counts[number - 1] else "–"
        mean = f"{np.diff(t).mean() / 1e3:,.3f} ms" if count > 1 else "–"
        streams.append([str(number or "recording"), f"{width}×{height}", f"{count:,}", share, mean])
        width, height = -(-width // 2), -(-height // 2)
    edges = []
    for number, level in enumerate(batch.levels, 1):
        for kind in KINDS:
            found, inputs, outputs = len(getattr(level, kind).source), counts[number - (kind == "strided")], counts[number]
            ratios = [f"{found / outputs:,.1f}", f"{found / outputs / inputs:.3%}"] if outputs else ["–", "–"]
            edges.append([str(number), kind, f"{inputs:,}", f"{outputs:,}", f"{found:,}", *ratios])
    return [streams, edges]


@pytest.mark.parametrize("settings", [{}, {"levels": 2, "decay_time": 5000, "threshold": 1.0}, {"memory": "trace", "ties": "in order"}])
def test_the_tables_say_what_the_streams_are(command_line, recording, capsys, settings):
    path, events = recording
    command_line("streams", path, *(word for name, value in settings.items() for word in (f"--{name}", value)))
    tables = printed(capsys)
    assert tables == tables_of(events, **settings)
    assert int(tables[1][0][4].replace(",", "")) > 100


def test_a_model_s_streams_are_those_that_it_looks_at(command_line, recording, model, capsys):
    path, events = recording
    kept = events[::2]
    seen = Events(kept.x, kept.y, kept.t, kept.p, (40, 30))
    command_line("streams", path, "--model", model)
    assert printed(capsys) == tables_of(seen, levels=2, decay_time=3000)
    command_line("streams", path, "--model", model, "--levels", 1)
    assert printed(capsys) == tables_of(seen, levels=1, decay_time=3000)


@pytest.mark.slow  # importing the training takes seconds
def test_a_recipe_s_streams(command_line, recording, tmp_path, capsys):
    path, events = recording
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "data:\n  dataset: {class_path: NMNIST}\n"
        "  representation: {class_path: EventStream, init_args: {levels: 2}}\n"
        "  eval_transforms: [{class_path: EveryKth, init_args: {k: 2}}]\n"
    )
    kept = events[::2]
    command_line("streams", path, "--config", recipe, "--threshold", 1.25)
    assert printed(capsys) == tables_of(Events(kept.x, kept.y, kept.t, kept.p, (34, 34)), levels=2, threshold=1.25)
    with pytest.raises(SystemExit, match="has EventGraph for a representation; only an EventStream"):
        command_line("streams", path, "--config", "aegnn_nmnist")
    for text in ("trainer: {}", "data:", "[data]", "", "data: {dataset: NMNIST}"):
        recipe.write_text(text)
        with pytest.raises(SystemExit, match="it is no recipe"):
            command_line("streams", path, "--config", recipe)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in shipped.files("configs") if name.startswith("ecn")])
def test_recipes_that_ship(command_line, tmp_path, make_events, capsys, name):
    eventzoo.write(tmp_path / "a.dat", make_events(3000, (34, 34)))
    command_line("streams", tmp_path / "a.dat", "--config", name)
    assert len(printed(capsys)[0]) > 3


def test_pictures_are_written(command_line, recording, tmp_path, capsys):
    image = pytest.importorskip("PIL.Image")
    pytest.importorskip("matplotlib")
    moving, still = tmp_path / "streams.GIF", tmp_path / "n.png"
    command_line("streams", recording[0], "--levels", 1, "--output", moving, "--frames", 3, "--neighbourhoods", still, "--edges", "strided")
    assert capsys.readouterr().out.endswith(f"picture: {moving}\npicture: {still}\n")
    with image.open(moving) as gif:
        assert (gif.format, gif.n_frames) == ("GIF", 3)
    with image.open(still) as png:
        assert png.format == "PNG"
        png.load()
    command_line("streams", recording[0], "--levels", 1, "--output", tmp_path / "streams.svg", "--frames", 2)
    assert "<svg" in (tmp_path / "streams.svg").read_text(encoding="utf-8")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["n.png", "streams.GIF", "streams.svg"]


def test_levels_without_events(command_line, tmp_path, make_events, capsys):
    pytest.importorskip("matplotlib")
    events = make_events(3, SIZE)
    eventzoo.write(tmp_path / "few.dat", events)
    command_line("streams", tmp_path / "few.dat", "--levels", 2, "--output", tmp_path / "s.png", "--frames", 1)
    tables = printed(capsys)
    assert tables == tables_of(events, levels=2)
    assert tables[0][2][2:] == ["0", "–", "–"]
    command_line("streams", tmp_path / "few.dat", "--neighbourhoods", tmp_path / "n.png", "--edges", "inplace")
    assert (tmp_path / "n.png").read_bytes().startswith(b"\x89PNG")


def test_refusals_are_in_words_and_leave_no_file(command_line, recording, model, tmp_path, monkeypatch, make_events):
    path, _ = recording
    eventzoo.write(tmp_path / "empty.dat", Events.empty(SIZE))
    eventzoo.write(tmp_path / "large.dat", make_events(9, (99, 24)))
    before = sorted(tmp_path.iterdir())
    gif, png = tmp_path / "s.gif", tmp_path / "n.png"
    mistakes = {
        (tmp_path / "empty.dat", "--output", gif): "empty.dat has no events; `eventzoo inspect",
        (tmp_path / "empty.dat", "--model", model, "--output", gif): "empty.dat has no events; `eventzoo inspect",
        (tmp_path / "large.dat", "--model", model, "--output", gif): "is of a 99×24 sensor, the model is made for 40×30; crop or scale",
        (path, "--stop", 0, "--output", gif): "no events between --start and --stop",
        (path, "--model", model, "--stop", 0, "--output", gif): "no events between --start and --stop",
        (path, "--output", tmp_path / "s.jpg"): r"s.jpg must end in \.gif, \.png, \.svg or \.pdf",
        (path, "--output", gif, "--neighbourhoods", tmp_path / "n.gif"): r"n.gif must end in \.png, \.svg or \.pdf",
        (path, "--output", tmp_path / "gone" / "s.gif"): "there is no folder .*gone",
        (path, "--levels", 0, "--output", gif): "EventStream: levels from 1 to",
        (
            path,
            "--at-levels",
            3,
            "--levels",
            2,
            "--output",
            gif,
            "--neighbourhoods",
            png,
        ): "there is no level 3, the streams have levels 1 to 2",
        (tmp_path / "none.dat", "--output", gif): "none.dat: there is no such file",
    }
    for given, message in mistakes.items():
        with pytest.raises(SystemExit, match=message):
            command_line("streams", *given)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(SystemExit, match=r"folder.png cannot be written: Is a directory"):
        command_line("streams", path, "--levels", 1, "--output", tmp_path / "folder.png", "--frames", 1)
    (tmp_path / "folder.png").rmdir()
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(SystemExit, match=r"pip install eventzoo\[viz\]"):
        command_line("streams", path, "--output", gif)
    assert sorted(tmp_path.iterdir()) == before


def test_what_the_transforms_leave_may_be_nothing(command_line, tmp_path):
    eventzoo.write(tmp_path / "one.dat", Events([3], [2], [0], [True], SIZE))
    model = saved(tmp_path / "m", CentreCrop((8, 8)), (8, 8))
    with pytest.raises(SystemExit, match=r"CentreCrop leaves no event of .*one.dat"):
        command_line("streams", tmp_path / "one.dat", "--model", model)


def test_another_kind_of_model_is_refused(command_line, recording, tmp_path):
    torch.manual_seed(0)
    backbone = eventzoo.backbones.AEGNN(sensor_size=SIZE, channels=(2,) * 7, pool_size=(8, 8))
    head = ClassificationHead().connect(backbone, 2)
    EventModel(eventzoo.representations.EventGraph(), backbone, head, ["a", "b"], SIZE).save(tmp_path / "m")
    with pytest.raises(SystemExit, match="has EventGraph for a representation; only an EventStream has streams to show"):
        command_line("streams", recording[0], "--model", f"local-dir:{tmp_path / 'm'}")
