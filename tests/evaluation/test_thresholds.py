"""The search for a head's settings finds what is best by construction."""

import numpy as np
import pytest
import torch

import eventzoo
from eventzoo.errors import EventZooError
from eventzoo.evaluation.measures import counted
from eventzoo.evaluation.thresholds import NMS_IOUS, SCORE_THRESHOLDS, best, search, with_settings
from eventzoo.model import EventModel
from eventzoo.tasks.heads import DetectionHead

CLASSES = ("circle", "square", "triangle")


class Told(DetectionHead):
    """A head whose output are its candidates: edges, then a score for each class, `[B, A, 4 + classes]`."""

    def connect(self, backbone, num_classes):  # it has no layers
        return self

    def forward(self, features):
        return features

    def loss(self, output, boxes):  # it is not trained
        return {}

    def candidates(self, output):
        return output[..., :4], output[..., 4:]


def told(*rows):
    """An output for one sample of rows: left, top, right, bottom, class, score."""
    return torch.tensor([[*row[:4], *(row[5] if i == row[4] else 0.0 for i in range(3))] for row in rows])[None]


def test_the_known_best_is_found(boxes):
    """Two neighbours that overlap by 0.55 are both there, and a double of a box overlaps it by 0.7: only between does NMS do right."""
    right = boxes((0, 0, 31, 40, 0), (9, 0, 40, 40, 0), (60, 0, 90, 40, 1))
    output = told(
        (0, 0, 31, 40, 0, 0.9), (9, 0, 40, 40, 0, 0.8), (60, 0, 90, 40, 1, 0.72), (60, 0, 90, 28, 1, 0.715), (0, 50, 9, 60, 2, 0.42)
    )
    trials = search(Told(), [output], [right], CLASSES)
    assert [trial.nms_iou for trial in trials] == list(NMS_IOUS)
    precisions = {trial.nms_iou: trial.mean_precision for trial in trials}
    assert precisions[0.6] > max(precisions[0.2], precisions[0.5])
    chosen = best(trials)
    assert chosen.nms_iou == 0.6
    counts = chosen.counts[chosen.best]
    assert SCORE_THRESHOLDS[chosen.best] == 0.45  # the first above what is wrong
    assert (counts.hits, counts.found, counts.true) == (3, 3, 3)
    assert counts.f1 == 1


def test_counts_are_those_of_each_threshold_alone(boxes):
    rng = np.random.default_rng(0)
    outputs, right = [], []
    for _ in range(6):
        corners = rng.uniform(0, 60, (4, 2))
        truth = np.column_stack([corners, corners + rng.uniform(8, 30, (4, 2)), rng.integers(0, 3, 4)])
        right.append(boxes(*truth))
        found = np.concatenate([truth, truth[rng.integers(0, 4, 9)]])
        found[:, :4] += rng.normal(0, 3, (13, 4))
        outputs.append(told(*np.column_stack([found, rng.uniform(0, 1, 13)]).tolist()))
    batches = [torch.cat(outputs[:4]), torch.cat(outputs[4:])]
    (trial,) = search(Told(), batches, right, CLASSES, nms_ious=[0.65])
    for least, counts in zip(SCORE_THRESHOLDS, trial.counts, strict=True):
        head = Told(score_threshold=least, nms_iou=0.65)
        alone = [counted(head.detections(output, CLASSES)[0], sample) for output, sample in zip(outputs, right, strict=True)]
        assert [counts.hits, counts.found, counts.true] == [sum(getattr(one, name) for one in alone) for name in ("hits", "found", "true")]


def test_nothing_to_find_is_refused(boxes):
    with pytest.raises(EventZooError, match="not a single box to find"):
        search(Told(), [told((0, 0, 9, 9, 0, 0.5))], [boxes()], CLASSES)


def test_settings_are_saved_with_the_model(tmp_path, make_detector):
    model = make_detector(max_detections=7)
    changed = EventModel.from_folder(with_settings(model, 0.05, 0.8).save(tmp_path / "changed"))
    assert (changed.head.score_threshold, changed.head.nms_iou, changed.head.max_detections) == (0.05, 0.8, 7)
    events = eventzoo.datasets.MovingShapes("val", task="detection")[0].events
    np.testing.assert_array_equal(changed.output(events), model.output(events))
    assert (model.head.score_threshold, model.head.nms_iou) == (0.3, 0.5)


RECIPE = """
data:
  dataset: {class_path: MovingShapes, init_args: {size: 6, task: detection}}
  representation: Histogram # which is not the model's, whose own counts
  batch_size: 4
model: {class_path: Classification} # whatever fit wrote
trainer: {max_epochs: 1}
seed_everything: 0
ckpt_path: null
weights_only: null
"""


def test_command(command_line, make_detector, tmp_path, monkeypatch, capsys):
    make_detector().save(tmp_path / "model")
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    asked = []
    at_split = eventzoo.datasets.MovingShapes.at_split
    monkeypatch.setattr(eventzoo.datasets.MovingShapes, "at_split", lambda self, split: asked.append(split) or at_split(self, split))
    arguments = ("thresholds", "--model", f"local-dir:{tmp_path / 'model'}", "--config", tmp_path / "recipe.yaml", "--device", "cpu")
    command_line(*arguments, "--save", tmp_path / "tuned")
    assert set(asked) == {"val"}, "nothing else is looked at"
    printed = capsys.readouterr().out
    assert "6 recordings of MovingShapes's validation split" in printed
    assert "best F1 on the validation split: nms_iou 0." in printed
    saved = EventModel.from_folder(tmp_path / "tuned").head
    assert f"nms_iou {saved.nms_iou:g} and score_threshold {saved.score_threshold:g}" in printed
    with pytest.raises(SystemExit, match="tuned exists already"):
        command_line(*arguments, "--save", tmp_path / "tuned")


def test_command_refuses(command_line, tmp_path, make_classifier, make_detector):
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    make_classifier().save(tmp_path / "classifier")
    make_detector(classes=("a", "b")).save(tmp_path / "letters")
    arguments = ("--config", tmp_path / "recipe.yaml", "--model")
    with pytest.raises(SystemExit, match="model is one for classification, but the recipe's MovingShapes is set to detection"):
        command_line("thresholds", *arguments, f"local-dir:{tmp_path / 'classifier'}")
    with pytest.raises(SystemExit, match="finds no boxes: there are no thresholds to choose"):
        command_line("thresholds", *arguments, f"local-dir:{tmp_path / 'classifier'}", "--data.dataset.task", "classification")
    with pytest.raises(SystemExit, match=r"knows the classes a, … \(2\), but the recipe's MovingShapes has circle, … \(5\)"):
        command_line("thresholds", *arguments, f"local-dir:{tmp_path / 'letters'}")
    with pytest.raises(SystemExit, match="batchsize"):
        command_line("thresholds", *arguments, f"local-dir:{tmp_path / 'letters'}", "--data.batchsize", "3")
