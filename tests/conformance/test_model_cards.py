"""Every card of our zoo says what is there."""

import pytest

from eventzoo import shipped
from eventzoo.testing import check_model_card

CARDS = sorted(shipped.folders("zoo")["eventzoo"].glob("*.yaml"))


@pytest.mark.parametrize("path", CARDS, ids=lambda path: path.stem)
def test_a_card_is_true(path):
    check_model_card(path.stem)
