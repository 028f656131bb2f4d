"""Every built-in representation keeps the promises of representations."""

import pytest

from eventzoo import registry, representations
from eventzoo.testing import check_representation

BUILT_IN = [name for name, claims in registry.entries("representations").items() if claims[0].package == "eventzoo"]
SETTINGS = {
    "EventFrame": [{"bins": 3}, {"bins": 2, "duration": 20_000}],
    "EventGraph": [{"radius": 4.0}, {"radius": 4.0, "causal": True}],
    "EventQueue": [{"size": 3}, {"size": 3, "absolute_time": True}],
    "EventStream": [{"levels": 2}, {"levels": 2, "memory": "trace"}],
    "EventTokens": [{}],
    "FrameSequence": [{"step": 10_000}, {"step": 10_000, "form": "voxels"}],
    "Histogram": [{}],
    "TimeSurface": [{"bins": 2}, {"bins": 2, "duration": 20_000}],
    "VoxelGrid": [{"bins": 3}, {"bins": 2, "duration": 20_000}],
}


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_representation_keeps_its_promises(name, make_events):
    for settings in SETTINGS[name]:
        check_representation(getattr(representations, name)(**settings), make_events(150, (16, 12)))
