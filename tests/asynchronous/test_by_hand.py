"""The engine against a plain loop in numpy, in float64, which shares no code with it or with the synchronous network."""

import itertools

import numpy as np
import pytest

from eventzoo.asynchronous import Window

RADIUS, MOST, SCALE = 3.0, 8, 0.5e-5


def edges_of(events, causal):
    """Sources of the edges into every event."""
    sources = [[] for _ in range(len(events))]
    place = np.stack([events.x, events.y], 1).astype(np.float64)
    for i in range(len(events)):
        near = []
        for j in reversed(range(i)):
            dt = (events.t[j] - events.t[i]) * SCALE
            if ((place[j] - place[i]) ** 2).sum() + dt * dt < RADIUS**2 and len(near) < MOST:
                near.append(j)
        sources[i] += near
        if not causal:
            for j in near:
                sources[j].append(i)
    return sources


def convolved(weights, name, x, pos, sources, scale):
    """A spline convolution of kernel size 2: weights of the corners of a cube."""
    kernel = weights[f"{name}.weight"]
    out = x @ weights[f"{name}.root.weight"].T + weights[f"{name}.bias"]
    dim = int(np.log2(len(kernel)))
    for i, neighbours in enumerate(sources):
        for j in neighbours:
            u = np.clip((pos[j, :dim] - pos[i, :dim]) / (2 * scale) + 0.5, 0, 1)
            for corner in range(2**dim):
                share = np.prod([u[d] if corner >> d & 1 else 1 - u[d] for d in range(dim)])
                out[i] += share * x[j] @ kernel[corner] / len(neighbours)
    return out


def logits_of(model, events):
    """AEGNN and its head, layer by layer."""
    weights = {name: tensor.numpy().astype(np.float64) for name, tensor in model.backbone.state_dict().items()}
    causal, pool, size = model.representation.causal, model.backbone.pool5.voxel_size, model.sensor_size
    pos = np.stack([events.x, events.y, (events.t - events.t[0]) * SCALE], 1).astype(np.float64)
    sources = edges_of(events, causal)

    def layer(number, x, pos, sources, scale):
        x = convolved(weights, f"conv{number}", x, pos, sources, scale)
        x = np.where(x > 0, x, np.expm1(x))
        norm = {name: weights[f"norm{number}.module.{name}"] for name in ("running_mean", "running_var", "weight", "bias")}
        return (x - norm["running_mean"]) / np.sqrt(norm["running_var"] + 1e-5) * norm["weight"] + norm["bias"]

    x = layer(1, np.where(events.p, 1.0, -1.0)[:, None], pos, sources, RADIUS)
    skip = x = layer(2, x, pos, sources, RADIUS)
    x = layer(3, x, pos, sources, RADIUS)
    x = layer(4, x, pos, sources, RADIUS) + skip
    x = layer(5, x, pos, sources, RADIUS)

    voxel = [(event_y // pool[1], event_x // pool[0]) for event_x, event_y in zip(events.x.tolist(), events.y.tolist(), strict=True)]
    names = sorted(set(voxel))
    members = [[i for i in range(len(events)) if voxel[i] == name] for name in names]
    joined = {(voxel[j], voxel[i]) for i in range(len(events)) for j in sources[i] if voxel[j] != voxel[i]}
    coarse_sources = [[names.index(a) for a, b in sorted(joined) if b == name] for name in names]
    coarse_pos = np.stack([pos[inside].mean(0) for inside in members])
    if model.backbone.pool5.positions == "centre":
        coarse_pos = np.array([[min((c + 0.5) * pool[0], size[0] - 1), min((r + 0.5) * pool[1], size[1] - 1), 0] for r, c in names])
    skip = np.stack([x[inside].max(0) for inside in members])
    x = layer(6, skip, coarse_pos, coarse_sources, 2.0 * max(pool))
    x = layer(7, x, coarse_pos, coarse_sources, 2.0 * max(pool)) + skip

    columns, rows = model.backbone.out_size
    cells = np.zeros((x.shape[1], rows, columns))
    for row, column in itertools.product(range(rows), range(columns)):
        inside = (coarse_pos[:, 0] * columns // size[0] == column) & (coarse_pos[:, 1] * rows // size[1] == row)
        if inside.any():
            cells[:, row, column] = x[inside].max(0)
    return model.head.linear.weight.detach().numpy() @ cells.ravel() + model.head.linear.bias.detach().numpy()


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("positions", ["mean", "centre"])
@pytest.mark.parametrize("dim", [2, 3])
def test_after_every_event(aegnn, rough, causal, positions, dim):
    size = (12, 10)
    model = aegnn(causal, MOST, sensor_size=size, pool_size=(3, 4), coarse_positions=positions, dim=dim, channels=(2, 3, 3, 3, 3, 3, 3))
    events = rough(70, 1, size)
    outputs = model.asynchronous(Window(events=30)).push_each(events)
    for end in range(1, 71, 3):
        expected = logits_of(model, events[max(0, end - 30) : end])
        np.testing.assert_allclose(outputs[end - 1], expected, rtol=0, atol=1e-5 * np.abs(expected).max())
