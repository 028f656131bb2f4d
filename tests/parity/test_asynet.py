"""SparseVGG against upstream's sparse VGG12 on SparseConvNet."""

import numpy as np
import torch

import eventzoo
from eventzoo.nn.sparse import SparseBatchNorm, SparseConv2d, SubmanifoldConv2d
from eventzoo.tasks.heads import ClassificationHead


def close(found, expected):
    expected = torch.as_tensor(expected)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def with_upstream_weights(backbone, head, state):
    """Give ours upstream's weights, whose layers are numbered, pools included; `[taps, 1, in, out]` of a convolution, taps in rows."""
    layers = [layer for layer in backbone.modules() if isinstance(layer, SubmanifoldConv2d | SparseConv2d | SparseBatchNorm)]
    numbers = sorted({int(name.split(".")[1]) for name in state if name.startswith("sparseModel.")})
    for layer, number in zip(layers, numbers, strict=True):
        theirs = {name.split(".")[-1]: tensor for name, tensor in state.items() if name.startswith(f"sparseModel.{number}.")}
        if isinstance(layer, SparseBatchNorm):
            layer.module.load_state_dict(theirs | {"num_batches_tracked": torch.tensor(0)})
        else:
            layer.load_state_dict({"weight": theirs["weight"][:, 0].permute(2, 1, 0).unflatten(2, (3, 3))})
    head.load_state_dict({name: tensor for name, tensor in state.items() if name.startswith("linear.")})


def test_features_and_logits(fixtures):
    answers = np.load(fixtures / "asynet_vgg12_ncars.npz")
    state = {key[6:]: torch.from_numpy(answers[key]) for key in answers.files if key.startswith("state.")}
    samples = sum(key.startswith("input.") for key in answers.files)
    images = torch.stack([torch.from_numpy(answers[f"input.{sample}.histogram"]).float() for sample in range(samples)])
    height, width = images.shape[1:3]
    backbone = eventzoo.backbones.SparseVGG((width, height))
    head = ClassificationHead().connect(backbone, len(answers["logits"][0]))
    with_upstream_weights(backbone, head, state)
    backbone.eval()
    with torch.no_grad():
        features = backbone(images.permute(0, 3, 1, 2))
        close(features, answers["sparse_features"])
        close(head(features), answers["logits"])
