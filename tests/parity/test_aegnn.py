"""AEGNN against upstream's GraphRes, with random weights layer by layer and with trained weights on a real recording."""

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch, Data

import eventzoo
from eventzoo.events import Events
from eventzoo.tasks.heads import ClassificationHead


def network(answers, state):
    """Our network and head with upstream's weights."""
    width, height, _, coarse_scale, pool_width, pool_height = answers["meta"].tolist()
    backbone = eventzoo.backbones.AEGNN(
        sensor_size=(int(width), int(height)), pool_size=(int(pool_width), int(pool_height)), coarse_scale=coarse_scale
    )
    head = ClassificationHead(backbone, len(state["fc.bias"]))
    columns, rows = backbone.out_size
    # upstream flattens a cell's channels first, cells in rows; ours flattens the map, channels outermost
    by_cell = state["fc.weight"].view(-1, rows * columns, backbone.out_channels)
    head.load_state_dict({"linear.weight": by_cell.transpose(1, 2).flatten(1), "linear.bias": state["fc.bias"]})
    ours = {name.replace("lin.weight", "root.weight"): tensor for name, tensor in state.items() if not name.startswith("fc.")}
    ours = {name: tensor for name, tensor in ours.items() if not name.endswith(("kernel_size", "is_open_spline"))}
    backbone.load_state_dict(ours)
    return backbone.eval(), head.eval()


def close(found, expected):
    expected = torch.as_tensor(expected)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_layers_and_logits(fixtures):
    """Activations are those of one of the samples, which upstream ran alone."""
    answers = np.load(fixtures / "aegnn_graph_res_ncars.npz")
    state = {key[6:]: torch.from_numpy(answers[key]) for key in answers.files if key.startswith("state.")}
    backbone, head = network(answers, state)
    x, pos, edge_index, edge_attr, batch = (
        torch.from_numpy(answers[f"input.{name}"]) for name in ("x", "pos", "edge_index", "edge_attr", "batch")
    )
    graphs = []
    for sample in range(int(batch.max()) + 1):
        nodes, first = batch == sample, int((batch < sample).sum())
        edges = batch[edge_index[1]] == sample
        graphs.append(Data(x=x[nodes], pos=pos[nodes], edge_index=edge_index[:, edges] - first, edge_attr=edge_attr[edges]))
    with torch.no_grad():
        close(head(backbone(Batch.from_data_list(graphs))), answers["logits"])

    found = {}
    for name in ("conv1", "norm5", "pool5", "pool7"):
        getattr(backbone, name).register_forward_hook(lambda module, args, output, name=name: found.update({name: output}))
    for batch in ([graph] for graph in graphs):
        with torch.no_grad():
            backbone(Batch.from_data_list(batch))
        if len(found["conv1"]) == len(answers["act.conv1"]) and np.allclose(found["conv1"], answers["act.conv1"], 1e-4, 1e-4):
            break
    close(found["conv1"], answers["act.conv1"])
    close(found["norm5"], answers["act.norm5"])
    pooled = found["pool5"]
    close(pooled.x, answers["act.pool5_x"])
    close(pooled.pos, answers["act.pool5_pos"])
    assert np.array_equal(pooled.batch, answers["act.pool5_batch"])
    theirs = answers["act.pool5_edge_index"]
    order = np.lexsort((theirs[0], theirs[1]))
    assert np.array_equal(pooled.edge_index, theirs[:, order])
    close(pooled.edge_attr, answers["act.pool5_edge_attr"][order])
    close(found["pool7"][0].permute(1, 2, 0).flatten(0, 1), answers["act.pool7"])


def test_trained_weights_on_a_real_recording(fixtures, realdata):
    answers = np.load(fixtures / "aegnn_ncars_checkpoint.npz")
    checkpoint = realdata / "checkpoints" / "aegnn_ncars_recognition.ckpt"
    if not checkpoint.is_file():
        pytest.skip("no trained checkpoint here")
    backbone, head = network(answers, trained_state(checkpoint))
    recording = realdata / "N-Cars" / "obj_004397_td.dat"
    events = eventzoo.read(recording, sensor_size=(120, 100))
    expected = Events(*(answers[name] for name in ("x", "y", "t", "p")), (120, 100))
    assert events == expected
    representation = eventzoo.representations.EventGraph(radius=float(answers["meta"][2]), max_neighbors=None, time_scale=0.5e-5)
    graph = representation(events)
    assert graph.num_edges == int(answers["num_edges"].item())
    np.testing.assert_array_equal(graph.pos, answers["pos"])
    with torch.no_grad():
        close(head(backbone(representation.collate([graph]))), answers["logits"])


def trained_state(checkpoint):
    """The network's weights. Classes that the pickle names are replaced by empty ones, so that none of their code is run."""
    named = torch.serialization.get_unsafe_globals_in_checkpoint(checkpoint)
    with torch.serialization.safe_globals([(type(name.rsplit(".")[-1], (), {}), name) for name in named]):
        state = torch.load(checkpoint, weights_only=True, map_location="cpu")["state_dict"]
    state = {name.removeprefix("model."): tensor for name, tensor in state.items()}
    return {name.replace(".root", ".lin.weight"): tensor.T if name.endswith(".root") else tensor for name, tensor in state.items()}
