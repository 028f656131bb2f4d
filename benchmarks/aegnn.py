"""AEGNN of N-Cars size on one core: building its graphs, and running and training it, beside the plain formula edge by edge.

    python benchmarks/aegnn.py

The recordings are made here: the contour of an ellipse that moves over the sensor within 100 ms. The peers are a k-d tree
(scipy, where it is installed) for the graph, and for the network the convolution as its paper writes it, in torch: a message for
every edge, made from the weight matrices of the kernel points that it touches.
"""

from race import race  # isort: skip  # pins the threads
from moving_edge import SENSOR, moving_edge  # isort: skip
from training_step import use_plain_formula  # isort: skip

import copy

import numpy as np
import torch
from torch import Tensor

import eventzoo
from eventzoo.kernels.radius_graph import radius_graph
from eventzoo.tasks.heads import ClassificationHead


def graphs() -> None:
    events = moving_edge(10_000)
    x, y, t, scale = events.x, events.y, events.t, 0.5e-5
    contenders = {
        "causal, the 32 most recent": lambda: radius_graph(x, y, t, 3.0, 32, causal=True, time_scale=scale),
        "symmetric, the 32 most recent": lambda: radius_graph(x, y, t, 3.0, 32, causal=False, time_scale=scale),
        "symmetric, unlimited": lambda: radius_graph(x, y, t, 3.0, causal=False, time_scale=scale),
    }
    try:
        from scipy.spatial import cKDTree
    except ImportError:
        pass
    else:
        pos = np.stack([x, y, (t * scale).astype(np.float32)], 1)
        contenders["symmetric, unlimited, scipy's k-d tree"] = lambda: cKDTree(pos).query_pairs(3.0, output_type="ndarray")
    for name in ("causal, the 32 most recent", "symmetric, the 32 most recent"):
        print(f"{name}: {contenders[name]().shape[1] / len(t):.1f} edges a node")
    race("radius graph of 10,000 events, r = 3", contenders)


def network() -> None:
    representation = eventzoo.representations.EventGraph(radius=3.0, max_neighbors=20)
    batch = representation.collate([representation(moving_edge(2_500, seed)) for seed in range(4)])
    print(f"\n4 graphs of 2,500 nodes, {batch.num_edges / batch.num_nodes:.1f} edges a node")
    torch.manual_seed(0)
    ours = eventzoo.backbones.AEGNN(sensor_size=SENSOR)
    plain = copy.deepcopy(ours)
    use_plain_formula(plain)
    head, labels = ClassificationHead().connect(ours, 2), torch.arange(4) % 2

    def evaluate(backbone: torch.nn.Module) -> Tensor:
        backbone.eval()
        with torch.no_grad():
            return head(backbone(batch))

    def train(backbone: torch.nn.Module) -> None:
        backbone.train().zero_grad()
        torch.nn.functional.cross_entropy(head(backbone(batch)), labels).backward()

    print(f"largest difference of the logits: {(evaluate(ours) - evaluate(plain)).abs().max():.2g}")
    for title, run in (("AEGNN forward", evaluate), ("AEGNN forward and backward", train)):
        race(title, {"aggregated first": lambda run=run: run(ours), "edge by edge": lambda run=run: run(plain)})


if __name__ == "__main__":
    torch.set_num_threads(1)
    graphs()
    network()
