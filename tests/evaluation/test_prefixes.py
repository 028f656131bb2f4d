"""What a model says of the first events is what it says when it is asked about them one by one."""

import csv

import numpy as np
import pytest
import torch

import eventzoo
from eventzoo.data.dataset import Sample
from eventzoo.data.transforms import EveryKth, WindowByTime
from eventzoo.evaluation.prefixes import Prefixes, evaluate, loader_of
from eventzoo.tasks.detection import SCORE_THRESHOLD
from eventzoo.tasks.metrics import COCOAveragePrecision

STEPS = (50, 400, 1600, 2500)


@pytest.fixture
def classification():
    return eventzoo.datasets.MovingShapes("test", size=6)


def curve_of(model, dataset, batch_size=20):
    return evaluate(model, loader_of(Prefixes(dataset, model, STEPS), batch_size, 0), STEPS)


@pytest.mark.parametrize("transforms", [[], [EveryKth(4)]])
def test_accuracy_is_that_of_prefixes_one_by_one(make_classifier, classification, transforms):
    model, samples = make_classifier(transforms), [classification[i] for i in range(len(classification))]
    lengths = [len(sample.events) for sample in samples]
    assert min(lengths) < 2500 < max(lengths)
    with torch.no_grad():  # else an untrained network would always say the same
        model.head.linear.bias -= torch.tensor(np.mean([model.output(sample.events[:400]) for sample in samples], 0))
    curve = curve_of(model, classification)
    assert curve.events == [*STEPS, max(lengths)]
    for at, count in enumerate(curve.events):
        right = [model.predict(sample.events[:count]).class_id == sample.label for sample in samples]
        assert curve.scores["accuracy"][at] == pytest.approx(np.mean(right))
        assert curve.whole[at] == pytest.approx(np.mean([length <= count for length in lengths]))
        k = 4 if transforms else 1
        assert curve.seen[at] == pytest.approx(np.mean([-(-min(count, length) // k) for length in lengths]))
    assert len(set(curve.scores["accuracy"])) > 1, "else it proves little"


def test_precision_is_that_of_prefixes_one_by_one(make_detector):
    """A window that ends with the last event so far, whatever the boxes' time, which is that of the recording's end."""
    dataset = eventzoo.datasets.MovingShapes("test", size=4, task="detection")
    model, samples = make_detector(transforms=[WindowByTime(40_000)]), [dataset[i] for i in range(len(dataset))]
    curve = curve_of(model, dataset, batch_size=1)
    for at, count in enumerate(curve.events):
        precision = COCOAveragePrecision(model.classes)
        for sample in samples:
            seen = WindowByTime(40_000)(Sample(sample.events[:count], 0, "alone"), np.random.default_rng(0)).events
            found = model.head.detections(torch.tensor(model.output(seen))[None], model.classes, SCORE_THRESHOLD)
            precision.update(found, [sample.boxes])
        numbers = precision.compute()
        assert curve.scores["mAP"][at] == pytest.approx(float(numbers["mAP"]), abs=1e-3)
        assert curve.scores["AP50"][at] == pytest.approx(float(numbers["AP50"]), abs=1e-3)
    assert curve.scores.keys() == {"AP50", "mAP"}


RECIPE = "data: {dataset: {class_path: MovingShapes, init_args: {size: 4}}, representation: Histogram, batch_size: 8}"


def test_command(command_line, make_classifier, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    model = make_classifier()
    model.save(tmp_path / "model")
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    arguments = ("anytime", "--model", f"local-dir:{tmp_path / 'model'}", "--config", tmp_path / "recipe.yaml", "--device", "cpu")
    outputs = ("--csv", tmp_path / "table.csv", "--plot", tmp_path / "accuracy_by_events.png")
    command_line(*arguments, "--split", "val", "--events", "1600", "50", "400", "2500", "--data.dataset.init_args.size", "3", *outputs)
    printed = capsys.readouterr().out
    assert "3 recordings of MovingShapes, val split" in printed
    curve = curve_of(model, eventzoo.datasets.MovingShapes("val", size=3))
    with (tmp_path / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["events"]) for row in rows] == curve.events
    assert [float(row["accuracy"]) for row in rows] == pytest.approx(curve.scores["accuracy"])
    assert (tmp_path / "accuracy_by_events.png").stat().st_size > 10_000


def test_command_refuses_another_sensor(command_line, make_classifier, tmp_path):
    model = make_classifier()
    model.sensor_size = (128, 128)
    model.save(tmp_path / "model")
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    with pytest.raises(SystemExit, match=r"made for a sensor of \(128, 128\), but the recipe's MovingShapes has \(64, 64\)"):
        command_line("anytime", "--model", f"local-dir:{tmp_path / 'model'}", "--config", tmp_path / "recipe.yaml")
