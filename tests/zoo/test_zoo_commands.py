"""The commands about models: the table, and measuring what a card says."""

import hashlib

import pytest
import yaml

import eventzoo
from eventzoo import EventZooError, shipped
from eventzoo.model import EventModel
from eventzoo.tasks.heads import ClassificationHead
from eventzoo.zoo.cards import read_card


@pytest.fixture
def zoo(tmp_path, make_events, monkeypatch):
    """A zoo of one installed model, and recordings that its card is about; sets what the card says, returns the accuracy."""
    classes = eventzoo.datasets.NMNIST.classes
    backbone = eventzoo.backbones.SparseVGG((34, 34), stages=[[4, 4], [4]], out_channels=4)
    model = EventModel(
        eventzoo.representations.Histogram(), backbone, ClassificationHead().connect(backbone, len(classes)), classes, (34, 34)
    )
    folder = model.save(tmp_path / "zoo" / "weights" / "tiny")
    recordings = [make_events(80, (34, 34), seed) for seed in range(8)]
    answers = [model.predict(events).class_id for events in recordings]
    for number, (events, answer) in enumerate(zip(recordings, answers, strict=True)):
        digit = answer if number != 3 else (answer + 1) % 10  # one of the eight is answered wrongly
        path = tmp_path / "N-MNIST" / "Train" / str(digit) / f"{5 * number:05}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        eventzoo.write(path, events)
    eventzoo.write(path.with_name("00001.bin"), recordings[0])  # one to train on
    recipe = {"data": {"dataset": "NMNIST", "representation": "Histogram", "batch_size": 3}, "model": {"class_path": "Classification"}}
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "tiny.yaml").write_text(yaml.safe_dump(recipe))
    files = ("config.json", "model.safetensors")
    card = {
        "format": 1,
        "summary": "A small network.",
        "task": "classification",
        "dataset": "NMNIST",
        "config": "configs/tiny.yaml",
        "paper": "none",
        "weights": {
            "seed": 0,
            "command": "eventzoo fit --config configs/tiny.yaml",
            "licence": "MIT",
            "sha256": {file: hashlib.sha256((folder / file).read_bytes()).hexdigest() for file in files},
        },
    }

    def say(accuracy, metric="accuracy", **weights):
        measured = {"dataset": "NMNIST", "split": "val", "name": metric, "value": accuracy, "protocol": "p", "seeds": {0: accuracy}}
        (tmp_path / "zoo" / "tiny.yaml").write_text(
            yaml.safe_dump({**card, "weights": {**card["weights"], **weights}, "measured": [measured]})
        )
        (tmp_path / "zoo" / "bare.yaml").write_text(yaml.safe_dump({**card, "weights": None, "task": "detection"}))
        read_card.cache_clear()

    monkeypatch.setattr(shipped, "folders", lambda kind: {"eventzoo": tmp_path / kind})
    monkeypatch.setenv("EVENTZOO_DATA", str(tmp_path))
    say(7 / 8)
    return say


def test_the_numbers_of_a_card_are_measured_again(zoo, command_line, capsys):
    command_line("test", "--model", "tiny")
    printed = capsys.readouterr().out
    assert "tiny on 8 recordings of NMNIST, split val" in printed
    assert printed.splitlines()[-1].split() == ["accuracy", "0.8750", "0.8750"]


def test_the_data_are_those_that_the_weights_name(zoo, command_line, capsys):
    zoo(1.0, data={"first": 10})  # three recordings are for validation then, before the one that is answered wrongly
    command_line("test", "--model", "tiny")
    assert "tiny on 3 recordings" in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r"is 0\.875, not the 1\.0"):
        command_line("test", "--model", "tiny", "--data.dataset.first", "100")


def test_numbers_that_are_not_the_cards_are_an_error(zoo, command_line, capsys):
    zoo(0.885)
    for recipe in ([], ["--config", "tiny"], ["--config", "configs/tiny.yaml", "--split", "val"]):
        with pytest.raises(SystemExit, match=r"accuracy on split val is 0\.875, not the 0\.885 of the card of tiny"):
            command_line("test", "--model=tiny", *recipe)
        assert "0.8750" in capsys.readouterr().out


def test_numbers_that_nothing_measures_are_an_error(zoo, command_line):
    zoo(0.004, "top-5")
    with pytest.raises(SystemExit, match=r"top-5 on split val, which the card of tiny has, is not measured: there is accuracy$"):
        command_line("test", "--model", "tiny")


def test_a_detector_is_measured(command_line, capsys, tmp_path):
    eventzoo.load("aegnn-shapes-detection", pretrained=False).save(tmp_path / "net")
    command_line("test", "--model", f"local-dir:{tmp_path / 'net'}", "--config", "aegnn_shapes_detection", "--data.dataset.size", "2")
    printed = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert " ".join(printed[0]).endswith("on 2 recordings of MovingShapes, split test")
    assert [row[0] for row in printed[2:]][-3:] == ["precision", "recall", "F1"]
    assert ["AP_large", "—"] in printed


def test_any_saved_model_is_measured(zoo, command_line, capsys, tmp_path):
    model = f"local-dir:{tmp_path / 'zoo' / 'weights' / 'tiny'}"
    command_line("test", "--model", model, "--config", "tiny", "--split", "val")
    assert capsys.readouterr().out.splitlines()[-1].split() == ["accuracy", "0.8750"]
    with pytest.raises(SystemExit, match="does not say what to measure it on: give --config RECIPE"):
        command_line("test", "--model", model)
    with pytest.raises(SystemExit, match="no test recordings under"):
        command_line("test", "--model", model, "--config", "tiny")
    for misspelt in ("tiny-", "tinny"):
        with pytest.raises(SystemExit, match=rf"no model named '{misspelt}'. Did you mean tiny"):
            command_line("test", "--model", misspelt, "--config", "tiny")


@pytest.mark.parametrize("name", ["SparseVGG", "eventzoo.backbones.SparseVGG"])
def test_a_network_has_the_channels_of_its_representation(zoo, tmp_path, name):
    recipe = tmp_path / "configs" / "tiny.yaml"
    backbone = {"class_path": name, "init_args": {"sensor_size": [34, 34], "stages": [[4, 4], [4]], "out_channels": 4}}
    entries = {
        "data": {"representation": {"class_path": "VoxelGrid", "init_args": {"bins": 5}}},
        "model": {"init_args": {"backbone": backbone}},
    }
    recipe.write_text(yaml.safe_dump(entries))
    model = eventzoo.load("tiny", pretrained=False)
    assert model.backbone.init_args["in_channels"] == model.representation.channels == 5


def test_nothing_of_a_malicious_recipe_is_run(zoo, tmp_path):
    bomb = {"class_path": "os.system", "init_args": {"command": f"touch {tmp_path / 'hacked'}"}}
    recipe = {"data": {"representation": "Histogram"}, "model": {"init_args": {"backbone": bomb}}}
    for changed in (
        recipe,
        {**recipe, "data": {"representation": bomb}},
        {**recipe, "data": {"representation": "Histogram", "eval_transforms": [bomb]}},
    ):
        (tmp_path / "configs" / "tiny.yaml").write_text(yaml.safe_dump(changed))
        with pytest.raises(EventZooError, match=r"refusing to import 'os\.system'|no backbone named 'system'"):
            eventzoo.load("tiny", pretrained=False)
    assert not (tmp_path / "hacked").exists()


def test_the_table(zoo, command_line, capsys):
    command_line("models")
    title, header, bare, tiny, hint = capsys.readouterr().out.splitlines()
    assert title == "2 of 2 models"
    assert header.split()[:4] == ["model", "task", "dataset", "weights"]
    assert bare.split()[:4] == ["bare", "detection", "NMNIST", "none"]
    assert tiny.split() == ["tiny", "classification", "NMNIST", "installed", "accuracy", "0.875", "(val)"]
    assert "eventzoo info NAME" in hint
    for filters in (["t*"], ["--task", "classification"], ["--pretrained"], ["--dataset", "nmnist", "*y"]):
        command_line("models", *filters)
        assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[2:-1]] == ["tiny"]
    command_line("models", "--no-pretrained", "--dataset", "NCars")
    assert "no model is like that" in capsys.readouterr().out
