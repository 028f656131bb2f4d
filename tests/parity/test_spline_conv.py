"""SplineConv against torch-spline-conv through PyG 2.5."""

import numpy as np
import torch

from eventzoo.nn.spline_conv import SplineConv, SplineEdges


def test_outputs(fixtures):
    answers = np.load(fixtures / "spline_conv.npz")
    cases = sorted({key.split(".")[0] for key in answers.files})
    assert cases
    for case in cases:
        given = {key.split(".")[1]: torch.from_numpy(answers[key]) for key in answers.files if key.startswith(f"{case}.")}
        dim, kernel_size, in_channels, out_channels = given["meta"].tolist()
        conv = SplineConv(in_channels, out_channels, dim, kernel_size, bias="bias" in given, root_weight="root" in given)
        renamed = {"weight": "weight", "root": "root.weight", "bias": "bias"}
        conv.load_state_dict({renamed[name]: given[name] for name in renamed if name in given})
        out = conv(given["x"], SplineEdges(given["edge_index"].long(), given["edge_attr"], len(given["x"]), kernel_size))
        torch.testing.assert_close(out, given["y"], rtol=1e-4, atol=1e-5)
