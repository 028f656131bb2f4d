"""Weights of AEGNN's and asynet's own code, random and small, as models of ours; the command that imports them."""

from itertools import pairwise

import numpy as np
import pytest
import torch

import eventzoo
from eventzoo.errors import EventZooError
from eventzoo.zoo.checkpoints.aegnn import import_aegnn
from eventzoo.zoo.checkpoints.asynet import import_asynet

CHANNELS = (1, 2, 3, 2, 3, 4, 3, 4)
OWN = {"classes": ["a", "b", "c"], "sensor_size": (40, 30), "radius": 2.0}


def aegnn_state(outputs=3, kernel_size=3, dim=2, bias=True, root="lin.weight", prefix="model."):
    """As upstream has them, in the keys of its training: `root` is the node's own weights, of either version of torch-geometric."""
    torch.manual_seed(0)
    state = {"fc.weight": torch.randn(outputs, 16 * CHANNELS[7])} | ({"fc.bias": torch.randn(outputs)} if bias else {})
    for number, (before, channels) in enumerate(pairwise(CHANNELS), 1):
        state[f"conv{number}.weight"] = torch.randn(kernel_size**dim, before, channels)
        state[f"conv{number}.kernel_size"] = torch.full((dim,), kernel_size)
        state[f"conv{number}.is_open_spline"] = torch.ones(dim, dtype=torch.uint8)
        own = torch.randn(channels, before)
        state |= {f"conv{number}.bias": torch.randn(channels)} if bias else {}
        state |= {f"conv{number}.{root}": own if root == "lin.weight" else own.T} if root else {}
        norm = torch.nn.BatchNorm1d(channels).state_dict()
        state |= {f"norm{number}.module.{name}": tensor for name, tensor in norm.items()}
    return {prefix + name: tensor for name, tensor in state.items()}


def asynet_state(kind, stages, out_channels, outputs, in_channels=2, map_cells=6):
    """As upstream numbers its layers: sparse ones with norms and pools, dense ones of two convolutions a stage in a block."""
    torch.manual_seed(0)
    state, before, number = {}, in_channels, 0
    for index, stage in enumerate([*stages, (out_channels,)]):
        for place, channels in enumerate(stage):
            if kind == "sparse":
                conv, norm = f"sparseModel.{number}", f"sparseModel.{number + 1}"
                state[f"{conv}.weight"] = torch.randn(9, 1, before, channels)
                number += 2
            else:
                in_block = len(stage) > 1
                conv, norm = (f"conv_layers.{number}{f'.{at + 3 * place}' if in_block else ''}" for at in (0, 1))
                if not in_block:
                    norm = f"conv_layers.{number + 1}"
                    number += 3
                state[f"{conv}.weight"] = torch.randn(channels, before, 3, 3)
            state |= {f"{norm}.{name}": torch.rand(channels) for name in ("weight", "bias", "running_mean", "running_var")}
            state |= {f"{norm}.num_batches_tracked": torch.tensor(5)} if kind == "dense" else {}
            before = channels
        number += index < len(stages) - 1 if kind == "sparse" else len(stage) > 1
    return state | {"linear.weight": torch.randn(outputs, out_channels * map_cells), "linear.bias": torch.randn(outputs)}


def test_all_that_aegnns_weights_tell(make_events):
    model, network, notes = import_aegnn(aegnn_state(), **OWN)
    settings = model.backbone.init_args
    assert (network, model.classes, model.sensor_size) == ("GraphRes", ("a", "b", "c"), (40, 30))
    assert (settings["channels"], settings["kernel_size"], settings["dim"]) == (CHANNELS[1:], 3, 2)
    assert model.representation.max_neighbors is None
    assert not any("taken for" in note for note in notes)
    assert np.isfinite(model.output(make_events(50, (40, 30)))).all()
    bare = import_aegnn(aegnn_state(bias=False, root=None), **OWN).model
    assert (bare.backbone.init_args["bias"], bare.backbone.init_args["root_weight"], bare.head.linear.bias.any().item()) == (False,) * 3


def test_both_forms_of_aegnns_own_weights():
    forms = [import_aegnn(aegnn_state(root=root, prefix=prefix), **OWN).model for root, prefix in [("lin.weight", "model."), ("root", "")]]
    assert all(map(torch.equal, *(model.state_dict().values() for model in forms)))


def test_a_cell_of_aegnns_map_keeps_its_weights():
    """Upstream flattens [rows, columns, channels], ours [channels, rows, columns]."""
    state = aegnn_state()
    model = import_aegnn(state, **OWN).model
    features = torch.randn(1, CHANNELS[7], 4, 4)
    expected = features.permute(0, 2, 3, 1).flatten(1) @ state["model.fc.weight"].T + state["model.fc.bias"]
    torch.testing.assert_close(model.head(features), expected)


@pytest.mark.parametrize(
    ("outputs", "dataset", "classes"), [(336, None, ("car", "pedestrian")), (5088, "NCaltech101", 100), (48 * 8, None, ("a", "b", "c"))]
)
def test_of_aegnns_detectors_the_backbone(outputs, dataset, classes, make_events):
    own = OWN if outputs == 48 * 8 else {}
    model, _, notes = import_aegnn(aegnn_state(outputs, kernel_size=8, dim=2), dataset, **own)
    assert model.head.task == "detection"
    assert classes in (model.classes, len(model.classes))
    assert any("fc, was left out" in note for note in notes)
    assert len(model.predict(make_events(40, (40, 30)))) == 0


@pytest.mark.parametrize(
    ("state", "settings", "said"),
    [
        (aegnn_state(), {}, r"missing arguments: classes, sensor_size, radius \(on the command line --classes, --sensor-size, --radius\)"),
        (aegnn_state(), OWN | {"classes": ["a", "b"]}, "give 3 answers, not the 2 of classes"),
        (aegnn_state(101, kernel_size=8), {}, "which weights do not tell; give that order as classes"),
        (aegnn_state(), {"dataset": "NCar"}, "dataset is one of NCars, NCaltech101, Gen1, not NCar"),
        (aegnn_state() | {"model.conv9.bias": torch.zeros(1)}, OWN, "known; unknown: conv9.bias"),
        ({k: v for k, v in aegnn_state().items() if k != "model.norm3.module.bias"}, OWN, "known; missing: norm3.module.bias"),
        (aegnn_state() | {"model.conv4.lin.weight": torch.zeros(9, 9)}, OWN, r"conv4.lin.weight is of the shape \(9, 9\)"),
        (aegnn_state() | {"model.fc.weight": torch.zeros(3, 7)}, OWN, r"fc.weight is of the shape \(3, 7\)"),
        (aegnn_state(root="root") | {"model.conv4.root": torch.zeros(2, 2, 2)}, OWN, "missing: conv4.lin.weight; unknown: conv4.root"),
        (aegnn_state() | {"model.conv1.kernel_size": torch.tensor(3)}, OWN, r"conv1.kernel_size is of the shape \(\)"),
        (aegnn_state() | {"model.conv1.kernel_size": torch.tensor([4, 4])}, OWN, "does not go with the 9 points"),
        (asynet_state("sparse", ((2,),), 2, 3), OWN, "known; missing: fc.weight"),
    ],
)
def test_weights_that_are_not_aegnns(state, settings, said):
    with pytest.raises(EventZooError, match=said):
        import_aegnn(state, **settings)


STAGES = ((2, 3), (4, 4), (5,))


@pytest.mark.parametrize("kind", ["sparse", "dense"])
def test_all_that_asynets_weights_tell(kind, make_events):
    state = asynet_state(kind, STAGES, 6, 3, map_cells=2 * 3)
    model, network, notes = import_asynet(state, classes=["a", "b", "c"], sensor_size=(31, 23))
    settings = model.backbone.init_args
    assert (network, notes) == (f"{kind} VGG of 6 convolutions", ())
    assert (settings["in_channels"], settings["stages"], settings["out_channels"]) == (2, STAGES, 6)
    assert (type(model.representation).__name__, model.transforms) == ("Histogram", [])
    assert np.isfinite(model.output(make_events(50, (31, 23)))).all()
    first, last = (layer.weight for layer in (model.backbone.stages[0][0], model.backbone.reduce[0]))
    theirs = [tensor for name, tensor in state.items() if tensor.dim() == 4]
    if kind == "sparse":  # rows of taps, then inputs, then outputs
        assert torch.equal(first[1, 0, 2, 1], theirs[0][3 * 2 + 1, 0, 0, 1])
    else:
        assert torch.equal(first, theirs[0])
        assert torch.equal(last, theirs[-1])


def test_asynets_cars_are_put_in_order(make_events):
    state = asynet_state("sparse", ((2, 2), (3, 3), (3, 3), (4, 4), (5,)), 4, 2)
    ours, named = import_asynet(state), import_asynet(state, classes=["no car", "car"], count=100)
    assert (ours.model.classes, ours.model.sensor_size) == (("car", "background"), (120, 100))
    assert "no car and car" in ours.notes[-1]
    assert [model.transforms[0].count for model in (ours.model, named.model)] == [25_000, 100]
    events = make_events(200, (120, 100))
    np.testing.assert_array_equal(ours.model.output(events), named.model.output(events)[::-1])


@pytest.mark.parametrize(("outputs", "classes", "cells"), [(576, 2, (8, 6)), (3885, 100, (7, 5))])
def test_of_asynets_detectors_the_backbone(outputs, classes, cells):
    classifier = asynet_state("sparse", ((2, 2), (3, 3), (3, 3), (4, 4), (5, 5)), 5, 2)
    state = {name: tensor for name, tensor in classifier.items() if not name.startswith("linear")}
    state |= {f"linear_{n}.{part}": torch.randn(size) for n in (1, 2) for part, size in (("weight", (outputs, 2)), ("bias", (outputs,)))}
    model, _, notes = import_asynet(state)
    assert (len(model.classes), model.head.grid, model.transforms[0].count) == (classes, cells, 25_000)
    assert "linear_1 and linear_2 were left out" in notes[-1]


def test_asynets_queues_of_events():
    represent = import_asynet(asynet_state("sparse", STAGES, 6, 3, 30), classes=["a", "b", "c"], sensor_size=(31, 23)).model.representation
    assert (type(represent).__name__, represent.size, represent.absolute_time) == ("EventQueue", 15, True)


@pytest.mark.parametrize(
    ("state", "settings", "said"),
    [
        (asynet_state("sparse", STAGES, 6, 3), {}, "missing arguments: classes, sensor_size "),
        (asynet_state("sparse", STAGES, 6, 101), {}, "which weights do not tell; give that order as classes"),
        (asynet_state("sparse", STAGES, 6, 3), {"classes": ["a"], "sensor_size": (31, 23)}, "give 3 answers, not the 1 of classes"),
        (asynet_state("sparse", STAGES, 6, 3, 7), {"classes": list("abc"), "sensor_size": (31, 23)}, "for images of 7 channels"),
        (asynet_state("sparse", STAGES, 6, 3), {"classes": list("abc"), "sensor_size": (90, 90)}, "linear.weight is of the shape"),
        (aegnn_state() | {"linear.weight": torch.zeros(3, 1)}, OWN, "convolutions among them: 0"),
    ],
)
def test_weights_that_are_not_asynets(state, settings, said):
    settings = {name: value for name, value in settings.items() if name != "radius"}
    with pytest.raises(EventZooError, match=said):
        import_asynet(state, **settings)


def test_the_command(command_line, tmp_path, capsys, make_events):
    torch.save({"state_dict": aegnn_state(), "epoch": 3}, tmp_path / "it.ckpt")
    settings = ("--classes", "a", "b", "c", "--sensor-size", 40, 30, "--radius", 2.5, "--time-scale", "1e-5", "--max-neighbors", 16)
    command_line("import-checkpoint", tmp_path / "it.ckpt", "--from", "aegnn", "--output", tmp_path / "model", *settings)
    printed = capsys.readouterr().out
    for line in ("EventGraph(radius=2.5, max_neighbors=16, time_scale=1e-05)", "3: a, b, c", "- left out of the file: epoch"):
        assert line in printed
    assert f"eventzoo test --model local-dir:{tmp_path / 'model'} --config RECIPE" in printed
    assert eventzoo.load(f"local-dir:{tmp_path / 'model'}").predict(make_events(30, (40, 30))).label in "abc"
    for arguments, said in [((), "exists already"), (("--count", 3, "--heads", 2), "--count, --heads: no setting of aegnn's")]:
        with pytest.raises(SystemExit, match=said):
            command_line(
                "import-checkpoint", tmp_path / "it.ckpt", "--from", "aegnn", "--output", tmp_path / "model", *settings, *arguments
            )


def test_the_command_refuses_a_malicious_file(command_line, tmp_path):
    class Evil:
        def __reduce__(self):
            import os

            return os.system, (f"touch {tmp_path / 'mark'}",)

    torch.save({"state_dict": aegnn_state(), "callbacks": Evil()}, tmp_path / "evil.ckpt")
    for upstream in ("aegnn", "asynet", "event2vec"):
        with pytest.raises(
            SystemExit, match=r"error: .*evil.ckpt names (posix|nt).system, which no checkpoint needs; refused, nothing was run"
        ):
            command_line("import-checkpoint", tmp_path / "evil.ckpt", "--from", upstream, "--output", tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["evil.ckpt"]
