"""What eventzoo promises of its own parts, ours keep too."""

import pytest
import torch

import eventzoo
from eventzoo.model import EventModel
from eventzoo.tasks.heads import ClassificationHead
from eventzoo.testing import check_async_converter, check_backbone, check_dataset, check_model_card, check_representation
from eventzoo_template.bar_net import BarNet
from eventzoo_template.decaying_counts import DecayingCounts
from eventzoo_template.moving_bars import MovingBars


@pytest.fixture
def events():
    return MovingBars("test")[0].events


def test_dataset():
    check_dataset(MovingBars())


def test_representation(events):
    check_representation(DecayingCounts(tick=5_000), events)


def test_counts_of_a_worked_example():
    """Two ON events at a pixel, three ticks apart."""
    events = eventzoo.Events([2, 2], [1, 1], [100, 400], [True, True], (4, 3))
    assert DecayingCounts(tick=100)(events)[:, 1, 2].tolist() == [0, 1 + 1 / 8]


def test_backbone(events):
    check_backbone(BarNet((16, 16)), DecayingCounts(), events)


def test_async_converters(events):
    torch.manual_seed(0)
    backbone = BarNet((16, 16), channels=4)
    torch.nn.init.normal_(backbone.saturate.log_gain)  # not zero, by which a missing gain would go unnoticed
    head = ClassificationHead().connect(backbone, 4)
    check_async_converter(EventModel(DecayingCounts(), backbone, head, MovingBars.classes, (16, 16)), events)


def test_model_card():
    check_model_card("template-bars")
