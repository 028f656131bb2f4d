import hashlib
import json
import os

import numpy as np
import pytest
import torch

import eventzoo
from eventzoo.data.transforms import EvenSubsample
from eventzoo.errors import EventZooError
from eventzoo.events import Events
from eventzoo.model import EventModel
from eventzoo.tasks.heads import ClassificationHead


@pytest.fixture
def model():
    torch.manual_seed(0)
    backbone = eventzoo.backbones.AEGNN(sensor_size=(34, 34), channels=(4, 8, 8, 8, 8, 8, 8), pool_size=(5, 5))
    for norm in (module for module in backbone.modules() if isinstance(module, torch.nn.BatchNorm1d)):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    representation = eventzoo.representations.EventGraph(radius=4.0, time_scale=5e-5, causal=True)
    head = ClassificationHead(dropout=0.5).connect(backbone, 3)
    return EventModel(representation, backbone, head, ("a", "b", "c"), (34, 34), [EvenSubsample(150)])


def test_saved_and_loaded_it_answers_the_same(model, make_events, tmp_path):
    model.save(tmp_path / "new" / "model")
    assert sorted(os.listdir(tmp_path / "new")) == ["model"]
    assert sorted(os.listdir(tmp_path / "new" / "model")) == ["config.json", "model.safetensors"]
    loaded = eventzoo.load(f"local-dir:{tmp_path / 'new' / 'model'}")
    for count in (0, 1, 40, 400):
        events = make_events(count, seed=count)
        expected, found = model.predict(events), loaded.predict(events)
        assert np.array_equal(found.logits, expected.logits)
        assert (found.class_id, found.label) == (expected.class_id, expected.label)
    assert loaded.classes == ("a", "b", "c")
    assert not loaded.training


def test_results_hang_together(model, make_events):
    result = model.predict(make_events(200))
    assert result.class_id == result.logits.argmax()
    assert result.label == model.classes[result.class_id]
    np.testing.assert_allclose(result.probabilities, np.exp(result.logits) / np.exp(result.logits).sum(), rtol=1e-5)
    assert str(result) == f"{result.label} ({result.probabilities.max():.1%})"


@pytest.mark.parametrize("logits", [[0.0, 0.0, 0.0], [1e4, -1e4, 9999.0], [-300.0, -301.0, -400.0]])
def test_probabilities_of_any_logits(model, logits):
    logits = np.array(logits, np.float32)
    result = model.result(logits)
    assert (result.class_id, result.label, result.logits) == (0, "a", logits)
    assert result.probabilities.dtype == np.float32
    exact = np.exp(logits.astype(np.float64) - logits.max())
    np.testing.assert_allclose(result.probabilities, exact / exact.sum(), rtol=1e-5, atol=1e-30)


def test_asking_applies_the_transforms_and_leaves_the_mode_alone(model, make_events):
    events = make_events(400)
    kept = np.linspace(0, 399, 150).astype(int)
    assert np.array_equal(model.predict(events).logits, model.predict(events[kept]).logits)
    model.train()
    assert np.array_equal(model.predict(events).logits, model.predict(events).logits)  # no dropout
    assert model.training


def test_recordings_of_another_sensor(model, make_events):
    smaller = make_events(100, (20, 10))
    as_if = Events(smaller.x, smaller.y, smaller.t, smaller.p, (34, 34))
    assert np.array_equal(model.predict(smaller).logits, model.predict(as_if).logits)
    with pytest.raises(EventZooError, match="made for a 34×34 sensor, the recording has 35×34"):
        model.predict(make_events(10, (35, 34)))
    with pytest.raises(EventZooError, match=r"takes Events, not str; a file is read with eventzoo.read"):
        model.predict("recording.bin")


def test_nothing_is_overwritten_or_left_half_written(model, tmp_path, monkeypatch):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.txt").write_text("years of work")
    with pytest.raises(EventZooError, match="exists already"):
        model.save(tmp_path / "taken")
    (tmp_path / "empty").mkdir()
    model.save(tmp_path / "empty")

    def full_disk(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full_disk)
    with pytest.raises(OSError, match="No space left"):
        model.save(tmp_path / "full")
    assert sorted(os.listdir(tmp_path)) == ["empty", "taken"]


@pytest.fixture
def folder(model, tmp_path):
    return model.save(tmp_path / "model")


def change(folder, **entries):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **entries}))


def replace_weights(folder, weights):
    (folder / "model.safetensors").write_bytes(weights)
    change(folder, sha256=hashlib.sha256(weights).hexdigest())


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), "is not a saved model: it has no config.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json cannot be read"),
        (lambda folder: (folder / "config.json").write_bytes(b"\xff\xfe"), "config.json cannot be read"),
        (lambda folder: (folder / "config.json").write_text("[]"), "names no format"),
        (lambda folder: change(folder, format=1), "is of format 1, of a development version"),
        (lambda folder: change(folder, task="detection"), "task is detection, but ClassificationHead is a head for classification"),
        (lambda folder: change(folder, format=4, eventzoo="9.1"), "is of format 4, written by eventzoo 9.1; upgrade eventzoo"),
        (lambda folder: change(folder, extra=1), "is damaged; look at: extra"),
        (lambda folder: change(folder, classes="abc"), "is damaged; look at: classes"),
        (lambda folder: change(folder, classes=[]), "is damaged"),
        (lambda folder: change(folder, sensor_size=[1]), "is damaged"),
        (lambda folder: change(folder, sensor_size=["a", "b"]), "is damaged"),
        (lambda folder: change(folder, sensor_size=[34, 0]), "is damaged; look at: sensor_size"),
        (lambda folder: (folder / "config.json").write_text("[" * 200_000), "config.json cannot be read"),
        (lambda folder: change(folder, task="dance"), "is damaged"),
        (lambda folder: change(folder, backbone={"class_path": "os.system"}), "backbone: refusing to import 'os.system'"),
        (lambda folder: change(folder, transforms=[{"class_path": "EventGraph"}]), "config.json: transforms: "),
        (lambda folder: (folder / "model.safetensors").unlink(), "does not hold the weights"),
        (lambda folder: change(folder, sha256=3), "is damaged; look at: sha256"),
        (lambda folder: change(folder, packages=["tiny"]), "is damaged; look at: packages"),
        (lambda folder: change(folder, packages={"tiny": 1}), "is damaged; look at: packages"),
        (lambda folder: change(folder, packages={"--index-url": "1"}), "is damaged; look at: packages"),
        (lambda folder: replace_weights(folder, b"\0" * 100), "does not hold the weights"),
        (
            lambda folder: (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-7]),
            r"is truncated, damaged or another model's: [\d,]+ bytes with SHA-256",
        ),
        (lambda folder: change(folder, classes=["a", "b"]), r"(?s)does not hold the weights.*size mismatch"),
    ],
)
def test_damage_is_one_clear_error(folder, damage, message):
    damage(folder)
    with pytest.raises(EventZooError, match=message):
        eventzoo.load(f"local-dir:{folder}")


def test_a_pickle_in_place_of_the_weights_is_not_run(folder, tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'hacked'}",)

    torch.save(Bomb(), tmp_path / "bomb")
    replace_weights(folder, (tmp_path / "bomb").read_bytes())
    with pytest.raises(EventZooError, match="does not hold the weights"):
        eventzoo.load(f"local-dir:{folder}")
    assert not (tmp_path / "hacked").exists()


def test_swapped_weights_are_refused(folder, model, tmp_path):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    other = model.save(tmp_path / "other")
    (folder / "model.safetensors").write_bytes((other / "model.safetensors").read_bytes())
    with pytest.raises(EventZooError, match="another model's"):
        eventzoo.load(f"local-dir:{folder}")


def test_names_that_are_no_models(tmp_path):
    with pytest.raises(EventZooError, match="is not a saved model"):
        eventzoo.load(f"local-dir:{tmp_path}")
    with pytest.raises(EventZooError, match="write 'local-dir:runs/model'"):
        eventzoo.load("runs/model")
    with pytest.raises(EventZooError, match=r"no model named 'aegnn-nmist'. Did you mean aegnn-nmnist"):
        eventzoo.load("aegnn-nmist")
    with pytest.raises(EventZooError, match="has its own weights"):
        eventzoo.load(f"local-dir:{tmp_path}", pretrained=False)
