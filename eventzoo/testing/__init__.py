"""Conformance checks, which our tests run over the built-in parts and a third party runs over theirs.

from eventzoo.testing import check_backbone

def test_my_net():
    check_backbone(MyNet(width=4), Histogram(), events)

Each raises an `AssertionError` whose sentence says what was found and what is promised.
"""

from eventzoo.testing.async_converter import check_async_converter, synchronous_output
from eventzoo.testing.backbone import check_backbone
from eventzoo.testing.dataset import check_dataset
from eventzoo.testing.model_card import check_model_card
from eventzoo.testing.representation import check_representation

__all__ = [
    "check_async_converter",
    "check_backbone",
    "check_dataset",
    "check_model_card",
    "check_representation",
    "synchronous_output",
]
