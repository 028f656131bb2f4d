"""What every training does beside its task, and what YAML adds to it."""

import io
import re
from copy import deepcopy
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from eventzoo.datasets import MovingShapes
from eventzoo.errors import EventZooError
from eventzoo.model import EventModel
from eventzoo.plots import prediction_pictures
from eventzoo.plots.prediction_pictures import PredictionPictures
from eventzoo.representations import Histogram
from eventzoo.tasks import callbacks
from eventzoo.tasks.classification import Classification
from eventzoo.tasks.heads import ClassificationHead

AVERAGE = {"class_path": "EMAWeightAveraging", "init_args": {"decay": 0.8}}
PICTURES = {"class_path": "PredictionPictures", "init_args": {"samples": 3}}
CONSTANT = ("--model.schedule", "constant")


def stopping(**settings):
    return {"class_path": "EarlyStopping", "init_args": {"monitor": "val/accuracy", "mode": "max", **settings}}


def test_averaged_weights_are_validated_kept_and_saved(trainings, scalars):
    file = trainings.folder / "own.pt"
    own = {"class_path": "scaling_parts.OwnAverage", "init_args": {"decay": 0.8, "file": str(file)}}
    trainings.command_line("fit", *trainings.recipe("averaged", callbacks=[own, AVERAGE], batch_norm=True))
    average, last = torch.load(file, weights_only=True), trainings.checkpoint("averaged")
    assert {"backbone.layers.2.running_mean", "backbone.layers.2.running_var", "head.linear.weight"} <= average.keys()
    for name, tensor in average.items():
        torch.testing.assert_close(last["state_dict"][name], tensor, msg=name)
        assert not torch.equal(last["current_model_state"][name], tensor)

    trainings.command_line(
        "validate",
        *trainings.recipe("asked", batch_norm=True),
        *("--ckpt_path", trainings.run("averaged") / "checkpoints" / "last.ckpt"),
    )
    logged, asked = scalars(trainings.run("averaged")), scalars(trainings.run("asked"))
    for name in ("val/loss", "val/accuracy"):
        assert list(asked[name].values()) == pytest.approx([logged[name][3]])
    best = trainings.checkpoint("averaged", "best")["state_dict"]
    saved = load_file(trainings.run("averaged") / "model" / "model.safetensors")
    assert all(torch.equal(best[name], tensor) for name, tensor in saved.items())


@pytest.mark.filterwarnings("ignore:Attribute '(backbone|head)' is an instance")
def test_a_copy_of_a_task_has_weights_of_its_own_and_nothing_of_the_program(trainings):
    backbone = import_module("scaling_parts").SmallBackbone()
    task = Classification(backbone, 5)
    task.optimizer = partial(torch.optim.SGD, Lock())  # cannot be copied, as much of a program
    copied = deepcopy(task)
    assert copied.optimizer is task.optimizer
    assert copied.state_dict().keys() == task.state_dict().keys()
    for weight, other in zip(task.parameters(), copied.parameters(), strict=True):
        assert torch.equal(weight, other)
        assert weight.data_ptr() != other.data_ptr()


@pytest.mark.slow
def test_a_resumed_average_equals_an_undisturbed_one(trainings):
    recipe = (*trainings.recipe("resumed", callbacks=[AVERAGE], batch_norm=True), *CONSTANT)
    trainings.command_line("fit", *recipe)
    trainings.command_line("fit", *recipe, "--trainer.max_epochs", 1)
    trainings.command_line("fit", *recipe, "--ckpt_path", trainings.run("resumed", 1) / "checkpoints" / "last.ckpt")
    undisturbed = trainings.checkpoint("resumed")
    resumed = trainings.checkpoint("resumed", version=1)  # a resumed training goes on in its own folder
    assert undisturbed["epoch"] == resumed["epoch"] == 1
    for state in ("state_dict", "current_model_state", "averaging_state"):
        assert undisturbed[state].keys() == resumed[state].keys()
        assert all(torch.equal(tensor, resumed[state][name]) for name, tensor in undisturbed[state].items())


@pytest.mark.slow
def test_early_stopping_says_so_and_is_resumed_where_it_was(trainings, capsys):
    recipe = (*trainings.recipe("stopped", callbacks=[stopping(patience=2)]), *CONSTANT, "--model.optimizer.lr", 0)
    trainings.command_line("fit", *recipe, "--trainer.max_epochs", 9)
    printed = capsys.readouterr().out
    assert len(re.findall("^epoch", printed, re.MULTILINE)) == 3  # one that sets the mark, and two that are no better
    line = "stopped early, after epoch 3: Monitored metric val/accuracy did not improve in the last 2 records"
    assert printed.count(line) == 1
    trainings.command_line("fit", *recipe, "--trainer.max_epochs", 2)
    assert "stopped early" not in capsys.readouterr().out
    last = trainings.run("stopped", 1) / "checkpoints" / "last.ckpt"
    trainings.command_line("fit", *recipe, "--trainer.max_epochs", 9, "--ckpt_path", last)
    resumed = capsys.readouterr().out
    assert re.findall(r"^epoch (\d)", resumed, re.MULTILINE) == ["3"]
    assert resumed.count(line) == 1


@pytest.mark.parametrize("task", ["Classification", pytest.param("Detection", marks=pytest.mark.slow)])
def test_tensorboard_is_given_scalars_and_pictures(trainings, capsys, task):
    every_other = {"class_path": "PredictionPictures", "init_args": {"samples": 3, "every_n_epochs": 2}}
    trainings.command_line("fit", *trainings.recipe("logged", task, [every_other]), "--trainer.max_epochs", 3)
    log = EventAccumulator(str(trainings.run("logged")))
    log.Reload()
    metric = "val/accuracy" if task == "Classification" else "val/AP50"
    assert {"train/loss", "train/samples_per_s", "val/loss", metric, "lr-SGD"} <= set(log.Tags()["scalars"])
    assert log.Tags()["images"] == ["val/predictions"]
    pictures = log.Images("val/predictions")
    assert [picture.step for picture in pictures] == [2, 6]
    pixels = np.asarray(Image.open(io.BytesIO(pictures[0].encoded_image_string)))
    assert pixels.shape[2] == 3
    assert min(pixels.shape[:2]) > 100
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 100

    lines = re.findall(r"^epoch \d/3 +(.+)$", capsys.readouterr().out, re.MULTILINE)
    assert len(lines) == 3
    shown = ["train/loss", "val/loss", *(["val/accuracy"] if task == "Classification" else ["val/mAP", "val/AP50"])]
    assert re.findall(r"([a-z]+/\w+) -?\d", lines[-1]) == shown
    assert re.search(r"  [\d,]+ samples/s  \d+ s$", lines[-1])


def test_pictures_show_what_the_validated_network_says(trainings, monkeypatch):
    drawn, draw = [], prediction_pictures.draw_samples
    monkeypatch.setattr(prediction_pictures, "draw_samples", lambda *args: drawn.append(args) or draw(*args))
    recipe = trainings.recipe("drawn", callbacks=[AVERAGE, PICTURES], batch_norm=True)
    trainings.command_line("fit", *recipe, "--trainer.max_epochs", 1)
    backbone = import_module("scaling_parts").SmallBackbone(batch_norm=True)
    head = ClassificationHead().connect(backbone, 5)
    model = EventModel(Histogram(), backbone, head, MovingShapes.classes, (64, 64))
    model.load_state_dict(trainings.checkpoint("drawn", "best")["state_dict"])
    [(samples, results, classes, title)] = drawn
    assert [sample.key for sample in samples] == ["val/000000", "val/000010", "val/000020"]
    assert tuple(classes) == model.classes
    assert title == "MovingShapes, held-out recordings after epoch 1"
    for sample, result in zip(samples, results, strict=True):
        np.testing.assert_allclose(result.logits, model.predict(sample.events).logits, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_without_a_place_for_pictures_none_is_drawn_and_it_is_said(trainings, capsys, monkeypatch):
    monkeypatch.setattr(prediction_pictures, "draw_samples", None)
    recipe = (*trainings.recipe("plain", callbacks=[PICTURES]), "--trainer.max_epochs", 1)
    trainings.command_line("fit", *recipe, "--trainer.logger", "CSVLogger", "--trainer.logger.save_dir", "runs")
    line = "no pictures of predictions: trainer.logger is neither TensorBoardLogger nor WandbLogger"
    assert capsys.readouterr().out.count(line) == 1
    monkeypatch.setattr(prediction_pictures, "find_spec", lambda name: None)
    trainings.command_line("fit", *recipe)
    assert capsys.readouterr().out.count("no pictures of predictions: matplotlib is not installed: pip install eventzoo[viz]") == 1


@pytest.mark.parametrize("settings", [{"every_n_epochs": 0}, {"samples": 0}])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(EventZooError, match="every_n_epochs >= 1 and samples >= 1 are needed"):
        PredictionPictures(**settings)


def test_throughput_is_that_of_the_training_batches(trainings, scalars, monkeypatch):
    seconds = iter(range(1000))
    monkeypatch.setattr(callbacks, "time", SimpleNamespace(monotonic=lambda: float(next(seconds))))
    trainings.command_line("fit", *trainings.recipe("timed"))
    logged = scalars(trainings.run("timed"))
    # The clock is read when an epoch begins, by the epoch's line a second later, and after each of the two batches.
    assert logged["train/samples_per_s"] == pytest.approx({1: 20 / 3, 3: 20 / 3})
    assert "train/events_per_s" not in logged


def test_events_of_graphs_are_counted(command_line, tmp_path, monkeypatch, scalars):
    monkeypatch.chdir(tmp_path)
    recipe = Path(__file__).parents[2] / "configs" / "aegnn_shapes.yaml"
    small = ("--data.dataset.init_args.size", 4, "--data.batch_size", 2, "--model.backbone.channels", "[4, 4, 4, 4, 4, 4, 4]")
    small += ("--data.train_transforms", '[{"class_path": "RandomSubsample", "init_args": {"count": 200}}]')
    command_line("fit", "--config", recipe, *small, "--trainer.max_epochs", 1, "--trainer.enable_progress_bar", "false")
    logged = scalars(tmp_path / "runs" / "aegnn_shapes" / "version_0")
    rates = [next(iter(logged[f"train/{name}_per_s"].values())) for name in ("events", "samples")]
    assert rates[0] / rates[1] == pytest.approx(200)


@pytest.mark.skipif(find_spec("wandb") is not None, reason="wandb is installed")
def test_wandb_that_is_not_installed_is_one_sentence(trainings):
    with pytest.raises(SystemExit, match=r"error: WandbLogger needs wandb, which is not installed: pip install eventzoo\[wandb\]$"):
        trainings.command_line("fit", *trainings.recipe("none"), "--trainer.logger", "WandbLogger")


def test_wandb_is_given_scalars_and_pictures(trainings, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    logger = ("--trainer.logger", "WandbLogger", "--trainer.logger.offline", "true", "--trainer.logger.save_dir", "runs")
    trainings.command_line("fit", *trainings.recipe("wandb", callbacks=[PICTURES]), *logger)
    assert list((trainings.folder / "runs").rglob("media/images/val/predictions*.png"))
