"""The recipes in configs/, each run from the command line on generated data in its dataset's real layout."""

import csv
import json
import re
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import eventzoo
from eventzoo.asynchronous.window import Window, with_own_window
from eventzoo.data.dataset import EventDataset
from eventzoo.data.transforms import EventTransform
from eventzoo.specs import build
from eventzoo.tasks.results import ClassificationResult

RECIPES = sorted((Path(__file__).parents[1] / "configs").glob("*.yaml"))
LAYOUTS = {
    "NCars": {"duration": 100_000},
    "NCaltech101": {},
    "Gen1": {"duration": 600_000},
    "NMNIST": {},
    "MNISTDVS": {},
    "CIFAR10DVS": {"duration": 100_000},
    "ASLDVS": {},
    "DVSGesture": {},
}
PARAMETERS = {  # of the original networks; N-Caltech101's detectors have no class for the background, which has no boxes
    "aegnn_ncars": 30_354,
    "aegnn_ncaltech101": 20_441_157,
    "aegnn_ncaltech101_detection": 30_659_520 - 48 * (2048 + 1),
    "aegnn_gen1": 20_922_672,
    "asynet_ncars": 885_986,
    "asynet_ncaltech101": 3_695_685,
    "asynet_ncaltech101_detection": 14_928_141 + 35 * (1024 + 1) * (2 * (5 + 100) - (2 * 5 + 101)),  # each of a cell's boxes has classes
    "asynet_gen1": 14_944_288 + 48 * (1024 + 1) * (2 * (5 + 2) - (2 * 5 + 2)),  # of its own
    "ecn_nmnist": 1_849_490,
    "ecn_nmnist_paper": 1_849_490,
    "ecn_mnist_dvs": 1_890_466,
    "ecn_cifar10_dvs": 1_890_466,
    "ecn_ncaltech101": 7_432_414 - (256 + 1),  # there is no 102nd class
    "ecn_asl_dvs": 7_412_368,
    "asl_dvs": 91_800,
    "dvs_gesture": 843_579,
    "snn_cifar10_dvs": 4_691_818 - (10 * 10 * (512 + 1) + 1) + 10 * (512 + 1),  # the head, for ten neurons a class
    "snn_dvs_gesture": 1_698_933 - (11 * 10 * (512 + 1) + 1) + 11 * (512 + 1),
}


def recipe_id(path):
    return path.stem


@pytest.fixture(scope="module")
def real_layouts(tmp_path_factory):
    """A few simulated recordings in the layout of every dataset that a recipe reads."""
    folder = tmp_path_factory.mktemp("data")
    for layout, settings in LAYOUTS.items():
        dataset = getattr(eventzoo.datasets, layout)
        eventzoo.datasets.MovingShapes.export(folder / dataset.folder, layout, train=4, val=2, test=3, **settings)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES, ids=recipe_id)
def test_from_training_to_the_loaded_model(command_line, real_layouts, tmp_path, monkeypatch, capsys, recipe):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EVENTZOO_DATA", str(real_layouts))
    specification = yaml.safe_load(recipe.read_text())
    detection = specification["model"]["class_path"] == "Detection"
    backbone = specification["model"]["init_args"]["backbone"]["class_path"]
    simulated = "MovingShapes" in str(specification["data"]["dataset"])
    settings = ["--config", recipe, "--data.batch_size", 2, *(["--data.dataset.init_args.size", 4] if simulated else [])]
    if "last-fifth" in str(specification["data"]["dataset"]):
        settings += ["--data.dataset.init_args.protocol", "random"]  # of so few recordings there is no fifth
    quiet = ["--trainer.enable_progress_bar", "false"]
    unsure = ["--model.head.init_args.score_threshold", 1e-6, "--model.head.init_args.max_detections", 5]  # as it is after one epoch

    command_line("prepare", *settings, "--jobs", 1, "--splits", '["train", "val", "test"]')
    command_line("fit", *settings, *quiet, *(unsure if detection else []), "--trainer.max_epochs", 1)
    run = tmp_path / "runs" / recipe.stem / "version_0"
    best = run / "checkpoints" / "best.ckpt"
    printed = capsys.readouterr().out
    assert "train: prepared in" in printed
    assert "val: prepared in" in printed
    if recipe.stem in PARAMETERS:
        assert f"{backbone}, {PARAMETERS[recipe.stem]:,} parameters" in printed
    assert list(run.glob("events.out.tfevents.*"))
    if specification["model"]["class_path"] == "MaskedEvents":
        assert (run / "model" / "model.safetensors").is_file()
        return

    command_line("test", *settings, *quiet, "--ckpt_path", best)
    (report,) = (tmp_path / "runs").rglob("metrics.json")
    assert 0 <= json.loads(report.read_text())["metrics"]["AP50" if detection else "accuracy"] <= 1
    command_line("predict", *settings, *quiet, "--ckpt_path", best, "--data.dataset.init_args.split", "test")
    assert not re.search(r"^warning|Warning:", capsys.readouterr().err, re.MULTILINE)

    (written,) = (tmp_path / "runs").rglob("predictions.csv")
    predictions = defaultdict(list)
    with written.open() as file:
        for row in csv.DictReader(file):
            predictions[row["key"]].append(row)
    model = eventzoo.load(f"local-dir:{run / 'model'}")
    if "EvenSubsample" not in str(eval_transforms(recipe)):  # which is for networks that look at whole recordings
        assert all(transform.streams for transform in with_own_window(model.transforms, Window())[0])
    dataset = build(yaml.safe_load(written.with_name("predict.yaml").read_text())["data"]["dataset"], EventDataset)
    assert len(dataset) >= 3
    for sample in dataset:
        compare(predictions.pop(sample.key, []), model.predict(sample.events))
    assert not predictions


def compare(rows, result):
    """What the checkpoint predicted in a batch, and the loaded model by itself."""
    if isinstance(result, ClassificationResult):
        (row,) = rows
        assert row["label"] == result.label
        assert float(row[result.label]) == pytest.approx(result.probabilities.max(), rel=1e-3)
    else:
        assert rows
        assert [row["label"] for row in rows] == list(result.labels)
        numbers = np.array([[float(row[name]) for name in ("score", "x1", "y1", "x2", "y2")] for row in rows])
        np.testing.assert_allclose(numbers, np.column_stack([result.scores, result.boxes]), rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("recipe", RECIPES, ids=recipe_id)
def test_short_and_seeded(recipe):
    assert len(recipe.read_text().splitlines()) <= 40
    specification = yaml.safe_load(recipe.read_text())
    assert "seed_everything" in specification
    assert specification["trainer"]["logger"]["init_args"] == {"save_dir": "runs", "name": recipe.stem}


def eval_transforms(recipe):
    return yaml.safe_load(recipe.read_text())["data"].get("eval_transforms", [])


@pytest.mark.parametrize("recipe", [recipe for recipe in RECIPES if "WindowByCount" in str(eval_transforms(recipe))], ids=recipe_id)
def test_a_stream_can_have_the_window(recipe):
    """The one that the evaluation's transforms end with."""
    transforms = [build(spec, EventTransform) for spec in eval_transforms(recipe)]
    left, window = with_own_window(transforms, Window())
    assert all(transform.streams for transform in left)
    assert window.events == transforms[-1].count


@pytest.mark.parametrize("name", ["aegnn_ncars", "aegnn_ncaltech101"])
def test_the_rate_is_what_was_meant(name):
    """5e-3, and from epoch 20 on 5e-4; the original multiplied the rate by these."""
    model = yaml.safe_load(next(path for path in RECIPES if path.stem == name).read_text())["model"]["init_args"]
    optimizer = torch.optim.Adam([torch.zeros(1, requires_grad=True)], **model["optimizer"]["init_args"])
    schedule = getattr(torch.optim.lr_scheduler, model["schedule"]["class_path"])(optimizer, **model["schedule"]["init_args"])
    rates = []
    for _ in range(150):
        rates += schedule.get_last_lr()
        optimizer.step()
        schedule.step()
    assert rates == pytest.approx([5e-3] * 20 + [5e-4] * 130)
