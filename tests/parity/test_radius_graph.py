"""The symmetric, unlimited radius graph against torch-cluster."""

import numpy as np

from eventzoo.kernels.radius_graph import radius_graph


def test_edges(fixtures):
    answers = np.load(fixtures / "radius_graph.npz")
    cases = sorted({key.split(".")[0] for key in answers.files})
    assert cases
    for case in cases:
        pos, expected = answers[f"{case}.pos"], answers[f"{case}.edge_index"]
        in_time = np.argsort(pos[:, 2], kind="stable")  # ours needs events in their order; upstream's does not
        x, y, t = pos[in_time].T
        edges = radius_graph(x.astype(np.int64), y.astype(np.int64), np.ascontiguousarray(t), float(answers[f"{case}.r"]), causal=False)
        renamed = in_time[edges]
        renamed = renamed[:, np.lexsort((renamed[0], renamed[1]))]
        assert np.array_equal(renamed, expected)
