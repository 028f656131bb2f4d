"""EventConv against ECN's strided event convolution, on streams of real recordings."""

import numpy as np
import torch

from eventzoo.nn.event_conv import EventConv
from eventzoo.nn.event_stream import StreamEdges

DECAY_TIME = 2000  # microseconds at level 0


def test_outputs(fixtures):
    answers = np.load(fixtures / "ecn_streams_nmnist.npz")
    cases = [name.removesuffix(".conv.x") for name in answers.files if name.endswith(".conv.x")]
    assert cases
    for case in cases:
        sample, level = case.split(".level")
        below = f"{sample}.level{int(level) - 1}" if level != "1" else sample
        start, source, cell = (answers[f"{case}.strided.{name}"] for name in ("row_splits", "source", "partition"))
        past = np.repeat(answers[f"{case}.t"], np.diff(start)) - answers[f"{below}.t"][source]
        age = past / (DECAY_TIME * 2 ** (int(level) - 1))
        edges = StreamEdges(*map(torch.from_numpy, (start, source, cell.astype(np.uint8), age)))
        x, kernel, decay, y = (torch.from_numpy(answers[f"{case}.conv.{name}"]) for name in ("x", "kernel", "decay", "y"))
        conv = EventConv(kernel.shape[2], kernel.shape[3], kernel.shape[0], kernel.shape[1]).double()
        conv.load_state_dict({"weight": kernel, "decay": decay, "bias": torch.zeros_like(conv.bias)})
        torch.testing.assert_close(conv.eval()(x, edges), y, rtol=1e-9, atol=1e-9)
