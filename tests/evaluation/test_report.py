"""The report of a test: numbers known by hand, files that are there."""

import json
import re
import sys

import lightning
import pytest
from lightning.pytorch.loggers import CSVLogger

import eventzoo
from eventzoo.data.datamodule import EventDataModule
from eventzoo.data.transforms import EveryKth
from eventzoo.evaluation.measures import Counts, counted, hits, worst
from eventzoo.evaluation.report import Report, of_classification, of_detection
from eventzoo.plots import draw_samples
from eventzoo.tasks.classification import Classification
from eventzoo.tasks.detection import Detection
from eventzoo.tasks.heads import YOLOXHead
from eventzoo.tasks.results import Scored

CLASSES = ("circle", "square", "triangle")
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers",
    "ignore:.*isinstance.treespec",
    "ignore:It is recommended to use .self.log",
    "ignore:Attribute '.*' is an instance of",
)


def test_classification_by_hand(answer):
    answers = [(0, (0.8, 0.1, 0.1)), (0, (0.2, 0.7, 0.1)), (0, (0.6, 0.3, 0.1)), (1, (0.1, 0.8, 0.1))]
    findings = of_classification([Scored(str(i), target, answer(*shares)) for i, (target, shares) in enumerate(answers)], CLASSES)
    assert findings.numbers["metrics"] == {"accuracy": 0.75}
    assert findings.numbers["classes"] == {
        "circle": {"samples": 3, "precision": 1.0, "recall": pytest.approx(2 / 3), "F1": pytest.approx(0.8)},
        "square": {"samples": 1, "precision": 0.5, "recall": 1.0, "F1": pytest.approx(2 / 3)},
        "triangle": {"samples": 0, "precision": None, "recall": None, "F1": None},
    }


@pytest.fixture
def found_boxes(boxes, detections):
    """Three samples: one wholly found, one with a box missed and another found twice, and one where there is nothing to find."""
    return [
        Scored("a", boxes((0, 0, 40, 40, 0)), detections((0, 0, 40, 40, 0, 0.9))),
        Scored(
            "b",
            boxes((0, 0, 40, 40, 0), (50, 50, 90, 90, 1)),
            detections((50, 50, 90, 90, 1, 0.8), (52, 50, 92, 90, 1, 0.7), (0, 0, 40, 40, 1, 0.4), (0, 0, 40, 40, 0, 0.1)),
        ),
        Scored("c", boxes(), detections()),
    ]


def test_detection_by_hand(found_boxes):
    findings = of_detection(found_boxes, CLASSES, YOLOXHead(score_threshold=0.3, nms_iou=0.6), "pycocotools")
    metrics, classes = findings.numbers["metrics"], findings.numbers["classes"]
    # Above 0.3 two of the three boxes are hit, by four.
    assert (metrics["precision"], metrics["recall"], metrics["F1"]) == (0.5, pytest.approx(2 / 3), pytest.approx(4 / 7))
    # All boxes of both classes are found before anything wrong of theirs, at every overlap.
    assert metrics["mAP"] == metrics["AP50"] == pytest.approx(1)
    assert metrics["AP_large"] is None
    assert classes["circle"] == {"boxes": 2, "AP": pytest.approx(1), "AP50": pytest.approx(1)}
    assert classes["triangle"] == {"boxes": 0, "AP": None, "AP50": None}
    assert "IoU of 0.6" in findings.numbers["protocol"]
    assert "score of at least 0.3" in findings.numbers["protocol"]


def test_half_of_a_class_is_found(boxes, detections):
    scored = [
        Scored("a", boxes((0, 0, 40, 40, 0)), detections((0, 0, 40, 40, 0, 0.9))),
        Scored("b", boxes((0, 0, 40, 40, 0)), detections((60, 60, 90, 90, 0, 0.95))),
    ]
    findings = of_detection(scored, CLASSES, YOLOXHead(), "pycocotools")
    # The first is wrong and the second right, of two boxes: precision ½ at the recalls 0 to 0.5, of which COCO has 51 of 101.
    assert findings.numbers["metrics"]["AP50"] == pytest.approx(0.5 * 51 / 101)


def test_hits_and_counts(boxes, detections, found_boxes):
    sample = found_boxes[1]
    assert hits(sample.result, sample.target).tolist() == [True, False, False, True]
    assert counted(sample.result, sample.target) == Counts(hits=2, found=4, true=2)
    assert counted(detections(), boxes()).f1 == 1
    assert counted(detections((0, 0, 10, 10, 0, 0.5)), boxes()).f1 == 0
    assert hits(detections((0, 0, 10, 10, 0, 0.5)), boxes((0, 0, 10, 20, 0))).tolist() == [True]  # an IoU of just ½
    assert hits(detections((0, 0, 10, 9.9, 0, 0.5)), boxes((0, 0, 10, 20, 0))).tolist() == [False]


def test_worst_of_classification(answer):
    scored = [Scored(str(i), 0, answer(share, 1 - share, 1e-6)) for i, share in enumerate((0.9, 0.2, 0.6, 0.1))]
    assert [(sample.index, sample.note) for sample in worst(scored, 3)] == [(3, "3"), (1, "1"), (2, "2")]


def test_worst_of_detection(boxes, detections, found_boxes):
    sure = Scored("sure", boxes((0, 0, 40, 40, 0)), detections((50, 50, 90, 90, 0, 0.9)))
    unsure = Scored("unsure", boxes((0, 0, 40, 40, 0)), detections((50, 50, 90, 90, 0, 0.6), (0, 0, 40, 40, 0, 0.2)))
    found = worst([unsure, sure, *found_boxes], 4, score_threshold=0.3)
    assert [sample.note for sample in found] == ["sure, F1 0.00", "unsure, F1 0.00", "b, F1 0.40", "a, F1 1.00"]
    assert [sample.index for sample in found] == [1, 0, 3, 2]
    assert len(found[1].scored.result) == 1, "only what is above the threshold is drawn"


def evaluated(folder, task, limit=None, devices=1, batch_size=3):
    """The trainer of a test of a small, untrained network, and the folder of its report."""
    lightning.seed_everything(0, verbose=False)
    backbone = eventzoo.backbones.AEGNN(sensor_size=(64, 64), channels=(4, 4, 4, 4, 4, 4, 4), pool_size=(8, 8))
    network = Classification(backbone, 5) if task == "classification" else Detection(backbone, 5, YOLOXHead(4, 0, score_threshold=0.001))
    data = EventDataModule(
        eventzoo.datasets.MovingShapes("train", size=7, task=task),
        eventzoo.representations.EventGraph(),
        eval_transforms=[EveryKth(10)],
        batch_size=batch_size,
    )
    trainer = lightning.Trainer(
        accelerator="cpu",
        devices=devices,
        strategy="auto" if devices == 1 else "ddp_fork",
        logger=CSVLogger(folder, name="", version=""),
        callbacks=[Report()],
        limit_test_batches=limit,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.test(network, data, verbose=False)
    return trainer


@pytest.mark.parametrize("task", ["classification", "detection"])
@pytest.mark.parametrize("limit", [None, 2])
def test_a_test_writes_its_report(tmp_path, capsys, monkeypatch, task, limit):
    pytest.importorskip("matplotlib")
    drawn = []
    monkeypatch.setattr("eventzoo.evaluation.report.draw_samples", lambda *args: drawn.append(args) or draw_samples(*args))
    trainer = evaluated(tmp_path, task, limit)
    report = json.loads((tmp_path / "metrics.json").read_text())
    assert report["dataset"] == {
        "class_path": "eventzoo.datasets.MovingShapes",
        "init_args": {"split": "test", "size": 7, "task": task},
    }
    assert (report["task"], report["split"], report["samples"]) == (task, "test", 7 if limit is None else 6)
    assert report["eventzoo"] == eventzoo.__version__
    for name, value in trainer.callback_metrics.items():
        told = report["metrics"][name.removeprefix("test/")]
        assert told == pytest.approx(float(value), abs=1e-5) or (told is None and value == -1)
    names = ["confusion_matrix.png" if task == "classification" else "precision_recall.png", "worst_samples.png"]
    assert re.findall("picture:  (.*)", capsys.readouterr().out) == [str(tmp_path / name) for name in names]
    assert all((tmp_path / name).stat().st_size > 10_000 for name in names)
    ((samples, results, _, _, notes),) = drawn
    assert len(samples) == len(results) == report["samples"]
    original = eventzoo.datasets.MovingShapes("test", size=7, task=task)
    for sample, note in zip(samples, notes, strict=True):
        assert note.startswith(sample.key)
        assert len(sample.events) == -(-len(original[int(sample.key[-6:])].events) // 10), "as the network saw it"


@pytest.mark.slow
@pytest.mark.parametrize("task", ["classification", "detection"])
def test_two_processes_write_what_one_writes(tmp_path, task):
    pytest.importorskip("matplotlib")
    for devices in (1, 2):
        evaluated(tmp_path / str(devices), task, devices=devices, batch_size=1)  # how samples are batched rounds their answers differently
    one, two = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in "12")
    for report in (one, two):
        for name in ("loss", "box", "objectness", "class"):  # depend on the size of a step
            report["metrics"].pop(name, None)
    assert one == two
    pictures = [path.name for path in (tmp_path / "1").glob("*.png")]
    assert len(pictures) == 2
    assert all((tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes() for name in pictures)


def test_without_matplotlib_the_numbers_are_written(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    evaluated(tmp_path, "classification")
    assert json.loads((tmp_path / "metrics.json").read_text())["samples"] == 7
    assert not list(tmp_path.glob("*.png"))
    assert "install eventzoo[viz]" in capsys.readouterr().out
