"""prepare, data, inspect and convert, as a user types them."""

import os
import re

import numpy as np
import pytest

from eventzoo.events import Events
from eventzoo.io import read, write
from eventzoo.io.inspection import inspect
from eventzoo.plugins.datasets.moving_shapes import MovingShapes

RECIPE = """
data:
  dataset: {class_path: MovingShapes, init_args: {size: 6}}
  representation: Histogram
  train_transforms: [{class_path: RandomShift, init_args: {pixels: 2}}]
  batch_size: 3
model: {class_path: Classification, init_args: {backbone: AEGNN}}
trainer: {max_epochs: 1}
seed_everything: 3
"""


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EVENTZOO_DATA", raising=False)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return tmp_path / "recipe.yaml"


def stores(recipe):
    return sorted(path.name for path in (recipe.parent / "data" / "prepared").iterdir() if not path.name.startswith("."))


def test_prepare_verify_stats_clean(command_line, recipe, capsys):
    command_line("prepare", "--config", recipe, "--jobs", 1)
    printed = capsys.readouterr().out
    assert re.search(r"train: 6 of 6 samples, 6 built in [\d.]+ s → data/prepared/MovingShapes-train-\w{16}$", printed, re.MULTILINE)
    assert re.search(r"val: 6 of 6 Histogram values, 6 built in", printed)
    assert len(stores(recipe)) == 2
    command_line("prepare", "--config", recipe, "--jobs", 1, "--splits", "[train,test]")
    printed = capsys.readouterr().out
    assert "train: 6 of 6 samples, 0 built" in printed
    assert "test: 6 of 6 Histogram values, 6 built" in printed

    command_line("data", "verify")
    assert re.fullmatch(r"(MovingShapes-(train|val|test)-\w{16}: intact\n){3}", capsys.readouterr().out)
    command_line("data", "stats")
    printed = capsys.readouterr().out
    assert printed.count("complete") == 3
    assert printed.count("Histogram") == 2
    whole = next((recipe.parent / "data" / "prepared").glob("MovingShapes-test-*"))
    unfinished = whole.rename(f"{whole}.finishing")  # as a kill right before the renaming leaves it
    command_line("data", "stats")
    printed = capsys.readouterr().out
    assert (printed.count("complete"), printed.count("interrupted")) == (2, 1)
    unfinished.rename(whole)
    command_line("data", "clean")
    assert capsys.readouterr().out == ""
    assert len(stores(recipe)) == 3
    command_line("data", "clean", "--all")
    assert capsys.readouterr().out.count("freed") == 3
    assert stores(recipe) == []
    command_line("data", "stats")
    assert "no prepared stores in data/prepared" in capsys.readouterr().out


def test_a_damaged_store_is_found_and_repaired(command_line, recipe, capsys):
    command_line("prepare", "--config", recipe, "--jobs", 1, "--splits", "[val]")
    (folder,) = (recipe.parent / "data" / "prepared").glob("MovingShapes-*")
    data = bytearray((folder / "data.mdb").read_bytes())
    at = data.index(b'"value."') + 5000
    data[at] ^= 1
    (folder / "data.mdb").write_bytes(data)
    with pytest.raises(SystemExit, match=r"1 values are damaged; `eventzoo prepare --config RECIPE --repair true`"):
        command_line("data", "verify")
    assert f"{folder.name}: damaged: slots [" in capsys.readouterr().out
    command_line("prepare", "--config", recipe, "--jobs", 1, "--splits", "[val]", "--repair", "true")
    assert "6 of 6 Histogram values, 1 built" in capsys.readouterr().out
    command_line("data", "verify")


def test_recordings_are_verified_through_a_recipe(command_line, recipe, capsys, tmp_path):
    MovingShapes.export(tmp_path / "N-MNIST", "NMNIST", train=5, val=2, test=0)
    text = RECIPE.replace("{class_path: MovingShapes, init_args: {size: 6}}", "{class_path: NMNIST, init_args: {root: N-MNIST}}")
    recipe.write_text(text)
    command_line("data", "verify", "--config", recipe)
    printed = capsys.readouterr().out
    assert "train: 5 samples of NMNIST are intact" in printed
    assert "test: NMNIST: no test recordings under" in printed
    path = next((tmp_path / "N-MNIST").rglob("*.bin"))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(SystemExit, match=rf"N-MNIST/Train/.*{path.name}.*truncated"):
        command_line("data", "verify", "--config", recipe)


def test_stale_stores_are_named_and_cleaned(command_line, recipe, capsys, tmp_path):
    MovingShapes.export(tmp_path / "N-MNIST", "NMNIST", train=5, val=2, test=2)
    text = RECIPE.replace("{class_path: MovingShapes, init_args: {size: 6}}", "{class_path: NMNIST, init_args: {root: N-MNIST}}")
    recipe.write_text(text)
    command_line("prepare", "--config", recipe, "--jobs", 1)
    os.utime(next((tmp_path / "N-MNIST" / "Train").rglob("*.bin")), (0, 0))
    capsys.readouterr()
    command_line("data", "stats")
    assert capsys.readouterr().out.count("stale") == 1
    command_line("data", "clean")
    assert re.fullmatch(r"NMNIST-(train|val)-\w+: stale: the recordings have changed, [\d.]+ kB freed\n", capsys.readouterr().out)
    assert len(stores(recipe)) == 1


def test_what_cannot_be_prepared_is_listed(command_line, recipe, capsys, tmp_path):
    MovingShapes.export(tmp_path / "N-MNIST", "NMNIST", train=5, val=2, test=2)
    text = RECIPE.replace("{class_path: MovingShapes, init_args: {size: 6}}", "{class_path: NMNIST, init_args: {root: N-MNIST}}")
    recipe.write_text(text)
    path = next((tmp_path / "N-MNIST" / "Train").rglob("*.bin"))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(SystemExit, match=rf"1 of \d samples could not be prepared:\n  N-MNIST.*{path.name}.*truncated"):
        command_line("prepare", "--config", recipe, "--jobs", 1)
    assert re.search(r"(4 of 5|1 of 2) ", capsys.readouterr().out)
    command_line("data", "stats")
    assert "built so far" in capsys.readouterr().out


def test_fit_uses_the_store_and_builds_it(command_line, recipe, capsys, scalars):
    small = ("--config", "configs/aegnn_shapes.yaml", "--data.dataset.init_args.size", 4, "--data.batch_size", 4, "--trainer.max_epochs", 1)
    command_line("fit", *small, "--trainer.logger.init_args.name", "without")
    assert "prepared in" not in capsys.readouterr().out
    command_line("fit", *small, "--trainer.logger.init_args.name", "with", "--data.build_store", "true")
    printed = capsys.readouterr().out
    for stage in ("train", "val"):
        assert re.search(rf"^{stage}: prepared in data/prepared/MovingShapes-{stage}-\w+$", printed, re.MULTILINE)
    losses = [scalars(recipe.parent / "runs" / name / "version_0") for name in ("without", "with")]
    assert losses[0].keys() == losses[1].keys()
    assert all(losses[0][name] == losses[1][name] for name in losses[0] if not name.endswith("_per_s"))


def test_an_interrupted_prepare_says_how_to_go_on(command_line, recipe, monkeypatch, capsys):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("eventzoo.commands.prepare.prepare", interrupt)
        with pytest.raises(SystemExit, match="interrupted; what is prepared is kept, and the same command goes on"):
            command_line("prepare", "--config", recipe)
    monkeypatch.setattr("eventzoo.commands.inspect.inspect", interrupt)
    with pytest.raises(SystemExit) as stopped:
        command_line("inspect", recipe)
    assert stopped.value.code == 130
    assert "eventzoo: interrupted" in capsys.readouterr().err


def test_errors_of_prepare(command_line, recipe):
    with pytest.raises(SystemExit, match="there is no config gone"):
        command_line("prepare", "--config", "gone.yaml")
    with pytest.raises(SystemExit, match="pixels must be at least 1"):
        command_line("prepare", "--config", recipe, "--data.train_transforms.init_args.pixels", 0)
    with pytest.raises(SystemExit, match="MovingShap"):
        command_line("prepare", "--config", recipe, "--data.dataset", "MovingShap")


@pytest.fixture
def recording(tmp_path):
    rng = np.random.default_rng(0)
    t = np.sort(rng.integers(0, 200_000, 5000))
    events = Events(rng.integers(0, 30, 5000), rng.integers(0, 20, 5000), t, rng.random(5000) < 0.4, (32, 24))
    write(tmp_path / "a.dat", events)
    return tmp_path / "a.dat", events


def test_inspect(command_line, recording, capsys, tmp_path):
    path, events = recording
    command_line("inspect", path, "--plot", tmp_path / "a.png")
    printed = capsys.readouterr().out
    assert f"file      {path} ({path.stat().st_size:,} bytes)" in printed
    assert "format    dat\nsensor    32×24\nevents    5,000\n" in printed
    assert f"polarity  {events.p.mean():.1%} ON" in printed
    assert "odd       nothing" in printed
    assert (tmp_path / "a.png").stat().st_size > 10_000


def test_inspect_counts(recording):
    path, events = recording
    found = inspect(path)
    assert (found.events, found.on, found.first, found.last) == (5000, events.p.sum(), events.t[0], events.t[-1])
    np.testing.assert_array_equal(found.counts[1], np.histogram2d(events.y[events.p], events.x[events.p], [range(25), range(33)])[0])
    assert found.rates.sum() == 5000
    assert len(found.rates) <= 1000
    assert found.rates[3] == ((events.t - events.t[0]) // found.interval == 3).sum()
    assert found.longest_gap == np.diff(events.t).max()


@pytest.mark.parametrize("block", [1, 7, 1 << 16])
def test_what_is_odd(command_line, tmp_path, capsys, monkeypatch, block):
    monkeypatch.setattr("eventzoo.io.recording.BLOCK_EVENTS", block)
    x = np.concatenate([np.arange(300) % 20, np.full(200, 3)])
    y = np.concatenate([np.arange(300) // 20, np.full(200, 4)])
    t = np.concatenate([np.arange(300) * 10, 900_000 + np.arange(200)])
    t[100], t[50], x[50], y[50] = 0, 490, x[49], y[49]
    np.savez(tmp_path / "a.npz", x=x, y=y, t=t, p=np.ones(500, bool))
    command_line("inspect", tmp_path / "a.npz", "--sensor-size", 20, 14)
    odd = [line.removeprefix("odd       ") for line in capsys.readouterr().out.splitlines() if line.startswith("odd")]
    assert odd == [
        "events outside the 20×14 sensor: 20",
        "time runs backwards, 1×, by up to 990 µs; read(path, sort=True) sorts it",
        "events equal to the one before them: 1",
        "hot pixels, with over ten times the events of 99 % of the others: 1, at (3, 4)",
        "all events are ON",
        "nothing happens for 0.897 s",
    ]
    command_line("inspect", tmp_path / "a.npz")
    assert "sensor    20×15 at least (the file does not tell; give --sensor-size)" in capsys.readouterr().out


def test_inspect_a_recording_without_events(command_line, tmp_path, capsys):
    write(tmp_path / "a.dat", Events.empty((9, 9)))
    command_line("inspect", tmp_path / "a.dat", "--plot", tmp_path / "a.png")
    assert "odd       there are no events" in capsys.readouterr().out


def test_inspecting_needs_memory_for_one_block(tmp_path, monkeypatch):
    import tracemalloc

    monkeypatch.setattr("eventzoo.io.recording.BLOCK_EVENTS", 4096)
    zeros = np.zeros(400_000, np.int16)
    write(tmp_path / "a.dat", Events(zeros, zeros, np.arange(400_000) * 100, zeros, (9, 9)))
    inspect(tmp_path / "a.dat")
    tracemalloc.start()
    inspect(tmp_path / "a.dat")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_inspect_what_is_no_recording(command_line, tmp_path):
    (tmp_path / "a.dat").write_bytes(b"garbage")
    for name, reason in {"a.dat": "event type", "gone.dat": "there is no such file", "a.xyz": "no such file|unknown suffix"}.items():
        with pytest.raises(SystemExit, match=reason):
            command_line("inspect", tmp_path / name)


def test_convert(command_line, recording, capsys, tmp_path):
    path, events = recording
    command_line("convert", path, tmp_path / "b.npz")
    assert re.match(rf"{tmp_path}/b.npz: Events\(5,000 at 32×24, .*\) \([\d,]+ bytes\)", capsys.readouterr().out)
    assert read(tmp_path / "b.npz") == events
    with pytest.raises(SystemExit, match="exists; give --overwrite to replace it"):
        command_line("convert", path, tmp_path / "b.npz")
    command_line("convert", path, tmp_path / "b.npz", "--overwrite", "--zero-time")
    assert read(tmp_path / "b.npz").t[0] == 0
    command_line("convert", path, tmp_path / "c.recording", "--to", "bin")
    command_line("convert", tmp_path / "c.recording", tmp_path / "d.dat", "--from", "bin", "--sensor-size", 32, 24)
    assert read(tmp_path / "d.dat") == events


def test_convert_what_runs_backwards(command_line, tmp_path):
    np.savez(tmp_path / "a.npz", x=[1, 2], y=[1, 2], t=[5, 3], p=[0, 1], sensor_size=[9, 9])
    with pytest.raises(SystemExit, match="time runs backwards"):
        command_line("convert", tmp_path / "a.npz", tmp_path / "b.dat")
    assert not (tmp_path / "b.dat").exists()
    command_line("convert", tmp_path / "a.npz", tmp_path / "b.dat", "--sort")
    assert read(tmp_path / "b.dat").t.tolist() == [3, 5]
