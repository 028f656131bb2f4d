"""AEGNN against upstream's GraphRes, with random weights layer by layer and with trained weights on a real recording."""

import numpy as np
import torch
from torch_geometric.data import Batch, Data

import eventzoo
from eventzoo.events import Events
from eventzoo.zoo.checkpoints.aegnn import import_aegnn


def close(found, expected):
    expected = torch.as_tensor(expected)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_layers_and_logits(fixtures):
    """Activations are those of one of the samples, which upstream ran alone."""
    answers = np.load(fixtures / "aegnn_graph_res_ncars.npz")
    state = {key[6:]: torch.from_numpy(answers[key]) for key in answers.files if key.startswith("state.")}
    width, height, radius, coarse_scale, pool_width, pool_height = answers["meta"].tolist()
    model = import_aegnn(
        state,
        classes=[str(answer) for answer in range(answers["logits"].shape[1])],
        sensor_size=(int(width), int(height)),
        radius=radius,
        pool_size=(int(pool_width), int(pool_height)),
        coarse_scale=coarse_scale,
    ).model
    backbone, head = model.backbone, model.head
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


def test_trained_weights_on_a_real_recording(trained):
    answers, model = trained.answers, trained.model
    expected = Events(*(answers[name] for name in ("x", "y", "t", "p")), (120, 100))
    assert trained.events == expected
    graph = model.representation(trained.events)
    assert graph.num_edges == int(answers["num_edges"].item())
    np.testing.assert_array_equal(graph.pos, answers["pos"])
    close(torch.from_numpy(model.output(trained.events))[None], answers["logits"])


def test_the_command_makes_the_trained_model(trained, checkpoint, command_line, tmp_path, capsys):
    """Without any setting; saved and loaded once."""
    command_line("import-checkpoint", checkpoint, "--from", "aegnn", "--output", tmp_path / "model")
    printed = capsys.readouterr().out
    assert "aegnn: GraphRes" in printed
    assert "2: car, background" in printed
    assert "left out of the file: epoch, global_step" in printed
    assert "neither imported nor run: pytorch_lightning.callbacks.early_stopping.EarlyStopping" in printed
    assert f"saved: {tmp_path / 'model'}" in printed
    model = eventzoo.load(f"local-dir:{tmp_path / 'model'}")
    close(torch.from_numpy(model.output(trained.events))[None], trained.answers["logits"])
    assert model.predict(trained.events).label == "car"
