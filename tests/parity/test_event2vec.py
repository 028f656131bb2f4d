"""Event2Vec against upstream's second version, each recording by itself and with its defect of reversed gates mended."""

import numpy as np
import pytest
import torch

import eventzoo
from eventzoo.events import Events
from eventzoo.zoo.checkpoints.event2vec import import_event2vec

SIZES = {"asl": (240, 180), "gesture": (128, 128)}
PARAMETERS = {"asl": 91_800, "gesture": 843_579}


@pytest.fixture(scope="module", params=SIZES)
def answers(request, fixtures):
    """A network's name, its answers, and our model with its weights."""
    known = np.load(fixtures / f"event2vec_{request.param}_gla.npz")
    state = {key.removeprefix("state."): torch.from_numpy(known[key]) for key in known.files if key.startswith("state.")}
    model, generation, notes = import_event2vec(state)
    assert generation == "v2"
    assert "had the gates of another recording" in notes[0]
    return request.param, known, model


def recording(known, sample, sensor_size):
    x, y, t, p = (known[f"input.{sample}.{column}"] for column in "xytp")
    return Events(x.astype(np.int16), y.astype(np.int16), t.astype(np.int64), p.astype(bool), sensor_size)


def batch_of(known, sensor_size):
    represent = eventzoo.representations.EventTokens()
    return represent.collate([represent(recording(known, sample, sensor_size)) for sample in range(2)])


def upstream_order(name, logits):
    """Ours in the order of upstream's answers: for gestures that of the classes' numbers as text."""
    return logits[..., sorted(range(11), key=str)] if name == "gesture" else logits


def rounded_gaps(model, batch):
    """What our layers make of gaps between times that were rounded to float32 before they were subtracted."""
    bounds = zip(batch.start[:-1], batch.start[1:], strict=True)
    times = [batch.t[first:stop].float() / batch.t[first:stop].max() for first, stop in bounds]
    x = torch.cat([t.diff(prepend=t[:1]) for t in times])[:, None]
    temporal = model.backbone.temporal
    for number, (conv, norm) in enumerate(zip(temporal.convs, temporal.norms, strict=True)):
        x = norm(conv(x.relu() if number else x, batch.start))
    return x


@torch.no_grad()
def test_embeddings(answers):
    """There, times are rounded to float32 and then subtracted, which leaves gaps of 1e-4 with three digits; here, they are exact."""
    name, known, model = answers
    assert sum(parameter.numel() for parameter in model.parameters()) == PARAMETERS[name]
    batch = batch_of(known, SIZES[name])
    first = slice(0, len(known["act.0.embed"]))
    expected = torch.from_numpy(known["act.0.tpe"])
    torch.testing.assert_close(model.backbone.spatial(batch)[first], torch.from_numpy(known["act.0.embed"]), rtol=0, atol=1e-5)
    torch.testing.assert_close(model.backbone.temporal(batch)[first], expected, rtol=0, atol=1e-3)
    torch.testing.assert_close(rounded_gaps(model, batch)[first], expected, rtol=0, atol=1e-5)


@torch.no_grad()
def test_logits(answers):
    """There, a mean is the sum by the count and 1e-5, which gaps and seven halvings in a row make 1e-3 of the gestures' logits."""
    name, known, model = answers
    batch = batch_of(known, SIZES[name])
    expected = torch.from_numpy(known["logits"])
    logits = upstream_order(name, model.head(model.backbone(batch)))
    torch.testing.assert_close(logits, expected, rtol=0, atol={"asl": 1e-5, "gesture": 3e-3}[name])


@torch.no_grad()
def test_logits_with_upstreams_roundings(answers):
    """What is left is float32: of the gestures' logits, ours differ from ours in float64 by 2e-4."""
    name, known, model = answers
    batch = batch_of(known, SIZES[name])
    halvings = [stage.before for stage in model.backbone.stages if stage.before is not None]
    hooks = [halving.register_forward_hook(lambda _, __, output: (output[0] * 2 / (2 + 1e-5), output[1])) for halving in halvings]
    hooks.append(model.backbone.temporal.register_forward_hook(lambda _, inputs, __: rounded_gaps(model, *inputs)))
    try:
        logits = upstream_order(name, model.head(model.backbone(batch)))
    finally:
        for hook in hooks:
            hook.remove()
    torch.testing.assert_close(logits, torch.from_numpy(known["logits"]), rtol=0, atol={"asl": 2e-6, "gesture": 5e-4}[name])


def test_a_literal_loop(make_events):
    """Layer by layer in float64, one recording, one head and one token after the other."""
    torch.manual_seed(0)
    size = (9, 7)
    backbone = eventzoo.backbones.Event2Vec(size, dim=8, feedforward=12, heads=2, inner=6, layers=(2, 1), halving="before")
    for parameter in backbone.parameters():  # norms too
        torch.nn.init.normal_(parameter, 0.2, 0.5)
    represent = eventzoo.representations.EventTokens()
    recordings = [make_events(count, size, seed=count) for count in (12, 5)]
    with torch.no_grad():
        found = backbone(represent.collate([represent(events) for events in recordings]))
    weights = {name: parameter.detach().double().numpy() for name, parameter in backbone.named_parameters()}
    expected = np.stack([features(Weights(weights), events) for events in recordings])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


class Weights(dict):
    """Weights by name, with what layers do to a vector or a sequence `[L, C]`."""

    def linear(self, name, x):
        return x @ self[f"{name}.weight"].T + self.get(f"{name}.bias", 0)

    def norm(self, name, x):
        deviation = x - x.mean(-1, keepdims=True)
        scaled = deviation / np.sqrt((deviation**2).mean(-1, keepdims=True) + 1e-5)
        return scaled * self[f"{name}.weight"] + self[f"{name}.bias"]

    def convolved(self, name, x):
        """Each output channel reads one input channel, and of it a token and its neighbours."""
        weight = self[f"{name}.weight"]
        result = np.zeros((len(x), len(weight)))
        for token in range(len(x)):
            for channel in range(len(weight)):
                for tap in (-1, 0, 1):
                    if 0 <= token + tap < len(x):
                        result[token, channel] += weight[channel, 0, tap + 1] * x[token + tap, channel * x.shape[1] // len(weight)]
        return result

    def attention(self, name, x, heads):
        q, k, v, g = (self.linear(f"{name}.{part}", x) for part in ("query", "key", "value", "gate"))
        decay = (1 / (1 + np.exp(-self.linear(f"{name}.decay.1", self.linear(f"{name}.decay.0", x))))) ** (1 / 16)
        width = q.shape[1] // heads
        directions = []
        for order in (range(len(x)), reversed(range(len(x)))):
            result = np.zeros_like(v)
            states = [np.zeros((width, width)) for _ in range(heads)]
            for token in order:
                for head in range(heads):
                    part = slice(head * width, (head + 1) * width)
                    states[head] = decay[token, part, None] * states[head] + np.outer(k[token, part], v[token, part])
                    seen = q[token, part] @ states[head] / np.sqrt(width)
                    result[token, part] = seen / np.sqrt((seen**2).mean() + 1e-5) * self[f"{name}.norm_weight"]
            directions.append(result * g / (1 + np.exp(-g)))
        return self.linear(f"{name}.output", np.concatenate(directions, 1))


def features(weights, events):
    """The features `[8]` of a recording."""
    width, height = events.sensor_size
    x = np.stack([2 * events.x / (width - 1) - 1, 2 * events.y / (height - 1) - 1, 2 * events.p - 1.0], 1)
    for layer in (0, 3, 6):
        x = weights.norm(f"spatial.layers.{layer + 1}", weights.linear(f"spatial.layers.{layer}", x))
        x = np.maximum(x, 0) if layer < 6 else x
    gap = np.diff(events.t / 1.0, prepend=events.t[0])[:, None] / (events.t[-1] - events.t[0])
    for layer in range(3):
        gap = weights.norm(f"temporal.norms.{layer}", weights.convolved(f"temporal.convs.{layer}", gap))
        gap = np.maximum(gap, 0) if layer < 2 else gap
    x = x + gap
    for stage, layers in enumerate((2, 1)):
        x = np.stack([x[first : first + 2].mean(0) for first in range(0, len(x), 2)])
        for layer in range(layers):
            name = f"stages.{stage}.layers.{layer}"
            x = weights.norm(f"{name}.norm1", x + weights.attention(f"{name}.attention", x, 2))
            inner = np.maximum(weights.linear(f"{name}.widen", x), 0)
            x = weights.norm(f"{name}.norm2", x + weights.linear(f"{name}.narrow", inner))
        x = weights.norm(f"stages.{stage}.norm", x)
    return x.mean(0)
