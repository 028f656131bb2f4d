import numpy as np
import pytest
import torch

import eventzoo
from eventzoo.data.boxes import Boxes
from eventzoo.model import EventModel
from eventzoo.tasks.heads import ClassificationHead, YOLOXHead
from eventzoo.tasks.results import ClassificationResult, Detections

CLASSES = ("circle", "square", "triangle")


@pytest.fixture(scope="session")
def boxes():
    """Makes right boxes of rows: left, top, right, bottom, class."""

    def made(*rows):
        table = np.array(rows, np.float32).reshape(-1, 5)
        return Boxes(table[:, :4], table[:, 4].astype(np.int64), np.zeros(len(table), np.int64))

    return made


@pytest.fixture(scope="session")
def detections():
    """Makes found boxes of rows: left, top, right, bottom, class, score; the best first."""

    def made(*rows):
        table = np.array(rows, np.float32).reshape(-1, 6)
        class_ids = table[:, 4].astype(np.int64)
        return Detections(table[:, :4], table[:, 5], class_ids, tuple(CLASSES[i] for i in class_ids.tolist()))

    return made


@pytest.fixture(scope="session")
def answer():
    """Makes a classifier's answer of probabilities."""

    def made(*probabilities):
        logits = np.log(np.array(probabilities, np.float32))
        return ClassificationResult(int(logits.argmax()), CLASSES[int(logits.argmax())], logits)

    return made


@pytest.fixture
def make_classifier():
    """Makes a small, untrained model of MovingShapes."""

    def made(transforms=()):
        torch.manual_seed(0)
        backbone = eventzoo.backbones.AEGNN(sensor_size=(64, 64), channels=(4, 4, 4, 4, 4, 4, 4), pool_size=(8, 8))
        head = ClassificationHead().connect(backbone, 5)
        classes = eventzoo.datasets.MovingShapes.classes
        return EventModel(eventzoo.representations.EventGraph(), backbone, head, classes, (64, 64), transforms)

    return made


@pytest.fixture
def make_detector():
    """Makes a small, untrained detector of MovingShapes."""

    def made(classes=eventzoo.datasets.MovingShapes.classes, transforms=(), **settings):
        torch.manual_seed(0)
        backbone = eventzoo.backbones.AEGNN(sensor_size=(64, 64), channels=(4, 4, 4, 4, 4, 4, 4), pool_size=(8, 8))
        head = YOLOXHead(4, 0, **settings).connect(backbone, len(classes))
        return EventModel(eventzoo.representations.EventGraph(), backbone, head, classes, (64, 64), transforms)

    return made
