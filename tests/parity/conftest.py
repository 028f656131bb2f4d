from types import SimpleNamespace

import numpy as np
import pytest
import torch

import eventzoo
from eventzoo.model import EventModel
from eventzoo.tasks.heads import ClassificationHead


def network(answers, state):
    """Our network and head with upstream's weights."""
    width, height, _, coarse_scale, pool_width, pool_height = answers["meta"].tolist()
    backbone = eventzoo.backbones.AEGNN(
        sensor_size=(int(width), int(height)), pool_size=(int(pool_width), int(pool_height)), coarse_scale=coarse_scale
    )
    head = ClassificationHead().connect(backbone, len(state["fc.bias"]))
    columns, rows = backbone.out_size
    # upstream flattens a cell's channels first, cells in rows; ours flattens the map, channels outermost
    by_cell = state["fc.weight"].view(-1, rows * columns, backbone.out_channels)
    head.load_state_dict({"linear.weight": by_cell.transpose(1, 2).flatten(1), "linear.bias": state["fc.bias"]})
    ours = {name.replace("lin.weight", "root.weight"): tensor for name, tensor in state.items() if not name.startswith("fc.")}
    ours = {name: tensor for name, tensor in ours.items() if not name.endswith(("kernel_size", "is_open_spline"))}
    backbone.load_state_dict(ours)
    return backbone.eval(), head.eval()


def trained_state(checkpoint):
    """The network's weights. Classes that the pickle names are replaced by empty ones, so that none of their code is run."""
    named = torch.serialization.get_unsafe_globals_in_checkpoint(checkpoint)
    with torch.serialization.safe_globals([(type(name.rsplit(".")[-1], (), {}), name) for name in named]):
        state = torch.load(checkpoint, weights_only=True, map_location="cpu")["state_dict"]
    state = {name.removeprefix("model."): tensor for name, tensor in state.items()}
    return {name.replace(".root", ".lin.weight"): tensor.T if name.endswith(".root") else tensor for name, tensor in state.items()}


@pytest.fixture(scope="session")
def with_upstream_weights():
    """Makes our backbone and head with upstream's weights."""
    return network


@pytest.fixture(scope="session")
def trained(fixtures, realdata):
    """The network that upstream trained on N-Cars, the recording of which its answers are known, and those answers."""
    answers = np.load(fixtures / "aegnn_ncars_checkpoint.npz")
    checkpoint = realdata / "checkpoints" / "aegnn_ncars_recognition.ckpt"
    if not checkpoint.is_file():
        pytest.skip("no trained checkpoint here")
    backbone, head = network(answers, trained_state(checkpoint))
    representation = eventzoo.representations.EventGraph(radius=float(answers["meta"][2]), max_neighbors=None, time_scale=0.5e-5)
    events = eventzoo.read(realdata / "N-Cars" / "obj_004397_td.dat", sensor_size=(120, 100))
    model = EventModel(representation, backbone, head, ["background", "car"], (120, 100))
    return SimpleNamespace(model=model, events=events, answers=answers)
