"""Every built-in backbone, with a representation that it takes, keeps the promises of backbones."""

import pytest
import torch

from eventzoo import backbones, registry, representations
from eventzoo.testing import check_backbone

BUILT_IN = [name for name, claims in registry.entries("backbones").items() if claims[0].package == "eventzoo"]
SIZE = (16, 12)
SMALL_VGG = {"stages": ((4,), (4,)), "out_channels": 4}
SMALL_ECN = {"levels": 2, "filters": 2, "decays": 2, "first_pooled": 1, "hidden": (8,)}
SMALL_EVENT2VEC = {"dim": 8, "feedforward": 8}
CASES = {
    "AEGNN": [({"channels": (2, 4, 4, 4, 4, 4, 4), "pool_size": (4, 4), "out_size": (2, 2)}, ("EventGraph", {}))],
    "DenseVGG": [(SMALL_VGG, ("Histogram", {}))],
    "ECN": [
        (SMALL_ECN, ("EventStream", {"levels": 2})),
        ({**SMALL_ECN, "memory": "trace"}, ("EventStream", {"levels": 2, "memory": "trace"})),
    ],
    "Event2Vec": [
        (SMALL_EVENT2VEC, ("EventTokens", {})),
        ({**SMALL_EVENT2VEC, "attention": "forgetting"}, ("EventTokens", {})),
        ({**SMALL_EVENT2VEC, "attention": "softmax", "spatial": "tables", "temporal": "time"}, ("EventTokens", {})),
    ],
    "GraphWen": [({"channels": (2, 3, 4, 5), "out_channels": 6, "kernel_size": 2}, ("EventGraph", {"causal": True}))],
    "SparseVGG": [(SMALL_VGG, ("Histogram", {}))],
    "SpikingCNN": [({"channels": 4, "stages": 2, "hidden": 8}, ("FrameSequence", {"step": 10_000}))],
}


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_backbone_keeps_its_promises(name, make_events):
    if name == "SpikingCNN":
        pytest.importorskip("spikingjelly")
    for settings, (representation, of_representation) in CASES[name]:
        torch.manual_seed(0)
        backbone = getattr(backbones, name)(sensor_size=SIZE, **settings)
        check_backbone(backbone, getattr(representations, representation)(**of_representation), make_events(150, SIZE))
