"""Import of upstream's weights of Event2Vec: random ones of the shapes that its versions have, against their formulas."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import conv1d, layer_norm, linear, logsigmoid, relu

import eventzoo
from eventzoo.errors import EventZooError
from eventzoo.plugins.datasets.dvs_gesture import UPSTREAM_ORDER
from eventzoo.zoo.checkpoints.event2vec import import_event2vec


def random_state(shapes, seed=0):
    """Weights of small numbers, norms' about 1."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(shape, generator=generator) * (0.1 if len(shape) == 1 else shape[-1] ** -0.5) + ("norm" in name)
        for name, shape in shapes.items()
    }


def layer_shapes(prefix, names, dim):
    return {f"{prefix}{name}.{part}": (dim,) for name in names for part in ("weight", "bias")}


def v1_state(classes=24, dim=32, feedforward=24, height=36, width=48, neighbours=2, layers=2):
    """As the first version's default has them, in the keys of its training, compiled or not."""
    rows = height * dim // (height + width)
    shapes = {
        "embed.c_y": (2 * neighbours + 1, 1, 1, 1),
        "embed.c_x": (2 * neighbours + 1, 1, 1, 1),
        "embed.embed.embed_y.weight": (2 * height + 1, rows),
        "embed.embed.embed_x.weight": (2 * width + 1, dim - rows),
        "classifier.class_token": (1, 1, dim),
        "classifier.encoder.norm.weight": (dim,),
        "classifier.encoder.norm.bias": (dim,),
        "classifier.head.weight": (classes, dim),
        "classifier.head.bias": (classes,),
    }
    layer = nn.TransformerEncoderLayer(dim, 4, feedforward)
    for number in range(layers):
        shapes |= {f"classifier.encoder.layers.{number}.{name}": tensor.shape for name, tensor in layer.state_dict().items()}
    state = random_state(shapes)
    for axis in "yx":
        state[f"embed.embed.embed_{axis}.weight"][0] = 0
    return state


def v3_state(classes, dim, feedforward, heads, layers, one_stage):
    shared = max(heads // 2, 1) * dim // heads
    shapes = {
        "embed_net.embed.0.weight": (dim // 4, 3),
        "embed_net.embed.3.weight": (dim // 2, dim // 4),
        "embed_net.embed.6.weight": (dim, dim // 2),
        "tpe.conv.0.weight": (dim // 4, 1, 3),
        "tpe.conv.5.weight": (dim // 2, 1, 3),
        "tpe.conv.10.weight": (dim, 1, 3),
        "heads.weight": (classes, dim),
        "heads.bias": (classes,),
    }
    for index, width in ((1, dim // 4), (4, dim // 2), (7, dim)):
        shapes |= layer_shapes("embed_net.embed.", [str(index)], width)
    for index, width in ((2, dim // 4), (7, dim // 2), (12, dim)):
        shapes |= layer_shapes("tpe.conv.", [str(index)], width)
    for number in range(layers):
        layer = f"backbone_net.layers.{number}." if one_stage else f"backbone_net.{number}.layers.0."
        attention = f"{layer}attention.attention."
        shapes |= {f"{attention}{name}.weight": (dim, dim) for name in ("q_proj",)} | {f"{attention}o_proj.weight": (dim, 2 * dim)}
        shapes |= {f"{attention}{name}_proj.weight": (shared, dim) for name in "kv"}
        shapes |= {f"{attention}f_proj.weight": (heads, dim), f"{attention}f_proj.bias": (heads,)}
        shapes |= {f"{attention}q_norm.weight": (dim,), f"{attention}k_norm.weight": (shared,)}
        shapes |= {f"{layer}ffn.linear1.weight": (feedforward, dim), f"{layer}ffn.linear2.weight": (dim, feedforward)}
        shapes |= layer_shapes(layer, ["norm1", "norm2"], dim)
        shapes |= {} if one_stage else layer_shapes(f"backbone_net.{number}.", ["norm"], dim)
    shapes |= layer_shapes("backbone_net.", ["norm"], dim) if one_stage else {}
    return {f"classifier.{name}": tensor for name, tensor in random_state(shapes).items()}


def v1_logits(state, events, heads, count, time_scale):
    """By torch's own encoder, on tokens that are padded to a length; tables are looked up row by row."""
    dim = state["classifier.class_token"].shape[-1]
    layer = nn.TransformerEncoderLayer(dim, heads, len(state["classifier.encoder.layers.0.linear1.bias"]), dropout=0.0, batch_first=True)
    encoder = nn.TransformerEncoder(layer, 2, nn.LayerNorm(dim), enable_nested_tensor=False).eval()
    encoder.load_state_dict({name[19:]: tensor for name, tensor in state.items() if name.startswith("classifier.encoder.")})
    tokens = torch.zeros(1, 1 + count, dim)
    tokens[0, 0] = state["classifier.class_token"]
    for at in range(len(events)):
        parts = []
        for axis, pixel, size in (("y", events.y[at], events.sensor_size[1]), ("x", events.x[at], events.sensor_size[0])):
            table, weights = state[f"embed.embed.embed_{axis}.weight"], state[f"embed.c_{axis}"].flatten()
            cells = (len(table) - 1) // 2
            own = min(round(int(pixel) * cells / size), cells - 1)
            near = [min(max(own + step, 0), cells - 1) for step in range(-(len(weights) // 2), len(weights) // 2 + 1)]
            parts.append(sum(weight * table[1 + cells * int(events.p[at]) + cell] for weight, cell in zip(weights, near, strict=True)))
        tokens[0, 1 + at] = torch.cat(parts) + (events.t[at] - events.t[0]) / time_scale
    padding = torch.arange(1 + count)[None] > len(events)
    return encoder(tokens, src_key_padding_mask=padding)[0, 0] @ state["classifier.head.weight"].T + state["classifier.head.bias"]


class Upstream:
    """The third version's formulas on one recording, in float64; attention one pair of tokens after the other."""

    def __init__(self, state, one_stage):
        self.state = {name.removeprefix("classifier."): tensor.double() for name, tensor in state.items()}
        self.one_stage = one_stage

    def linear(self, name, x):
        return linear(x, self.state[f"{name}.weight"], self.state.get(f"{name}.bias"))

    def norm(self, name, x):
        return layer_norm(x, x.shape[-1:], self.state[f"{name}.weight"], self.state[f"{name}.bias"], 1e-5)

    def logits(self, events):
        width, height = events.sensor_size
        x = torch.tensor(np.stack([2 * events.x / (width - 1) - 1, 2 * events.y / (height - 1) - 1, 2 * events.p - 1.0], 1))
        for at in (0, 3, 6):
            x = self.norm(f"embed_net.embed.{at + 1}", self.linear(f"embed_net.embed.{at}", x))
            x = relu(x) if at < 6 else x
        time = torch.tensor(events.t - events.t[0]).double()
        gap = (time / time.max()).diff(prepend=time[:1])[None]
        for at in (0, 5, 10):
            gap = conv1d(gap, self.state[f"tpe.conv.{at}.weight"], padding=1, groups=len(gap))
            gap = self.norm(f"tpe.conv.{at + 2}", gap.T).T
            gap = relu(gap) if at < 10 else gap
        x = x + gap.T
        layers = sum(name.endswith("q_proj.weight") for name in self.state)
        for number in range(layers):
            x = self.layer(f"backbone_net.layers.{number}" if self.one_stage else f"backbone_net.{number}.layers.0", x)
            if not self.one_stage:
                x = self.norm(f"backbone_net.{number}.norm", x)
                x = torch.stack([pair.mean(0) for pair in x.split(2)])
        x = self.norm("backbone_net.norm", x) if self.one_stage else x
        return self.linear("heads", x.mean(0))

    def layer(self, name, x):
        x = self.norm(f"{name}.norm1", x + self.attention(f"{name}.attention.attention", x))
        return self.norm(f"{name}.norm2", x + self.linear(f"{name}.ffn.linear2", relu(self.linear(f"{name}.ffn.linear1", x))))

    def attention(self, name, x):
        forget = logsigmoid(self.linear(f"{name}.f_proj", x))
        heads = forget.shape[1]
        q, k, v = (self.linear(f"{name}.{part}_proj", x) for part in "qkv")
        q, k, v = (part.unflatten(1, (-1, x.shape[1] // heads)) for part in (q, k, v))
        q, k = (part / (part.square().mean(-1, keepdim=True) + 1e-5).sqrt() for part in (q, k))
        q, k = (part * self.state[f"{name}.{of}_norm.weight"].view(part.shape[1:]) for part, of in ((q, "q"), (k, "k")))
        directions = []
        for step in (1, -1):
            order = range(len(x))[::step]
            result = torch.zeros_like(q)
            for place, i in enumerate(order):
                for head in range(heads):
                    shared = head * k.shape[1] // heads
                    scores = []
                    for before, j in enumerate(order[: place + 1]):
                        fallen = sum(forget[between, head] for between in order[before + 1 : place + 1])
                        scores.append(q[i, head] @ k[j, shared] / math.sqrt(q.shape[2]) + fallen)
                    weights = torch.stack(scores).softmax(0)
                    result[i, head] = weights @ v[torch.tensor(list(order[: place + 1])), shared]
            directions.append(result.flatten(1))
        return self.linear(f"{name}.o_proj", torch.cat(directions, 1))


@torch.no_grad()
def test_first_version(make_events):
    state = v1_state()
    model, generation, notes = import_event2vec(state, heads=4)
    assert generation == "v1"
    assert notes == ("the tables' first rows, which stood for padding, were left out",)
    assert (model.classes, model.sensor_size) == (eventzoo.datasets.ASLDVS.classes, (240, 180))
    assert model.transforms[0].count == 255
    for count in (1, 40):
        events = make_events(count, (240, 180), seed=count, duration=500_000)
        found = torch.from_numpy(model.output(events))
        torch.testing.assert_close(found, v1_logits(state, events, 4, 60, 521_217), rtol=1e-4, atol=1e-5)


def test_a_compiled_first_version():
    state = {name.replace("classifier.", "classifier._orig_mod."): tensor for name, tensor in v1_state().items()}
    assert import_event2vec(state).model.backbone.stages[0].layers[0].self_attn.num_heads == 16


@torch.no_grad()
def test_third_version(make_events):
    state = v3_state(24, 16, 12, 4, 2, one_stage=True)
    model, generation, notes = import_event2vec(state)
    assert (generation, notes, model.transforms[0].count) == ("v3", (), 1024)
    events = make_events(9, (240, 180))
    np.testing.assert_allclose(model.output(events), Upstream(state, one_stage=True).logits(events), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_gestures_are_put_in_order(make_events):
    """Upstream's output i means our class UPSTREAM_ORDER[i]."""
    state = v3_state(11, 16, 12, 2, 3, one_stage=False)
    model, generation, notes = import_event2vec(state)
    assert (generation, model.classes, model.sensor_size) == ("v3", eventzoo.datasets.DVSGesture.classes, (128, 128))
    assert "order" in notes[0]
    events = make_events(13, (128, 128))
    theirs = Upstream(state, one_stage=False).logits(events).numpy()
    ours = model.output(events)
    np.testing.assert_allclose(ours[list(UPSTREAM_ORDER)], theirs, rtol=1e-4, atol=1e-5)
    named, _, notes = import_event2vec(state, classes=list("abcdefghijk"), sensor_size=(128, 128), count=100)
    assert not notes  # whose classes are said in the network's order
    np.testing.assert_allclose(named.output(events), theirs, rtol=1e-4, atol=1e-5)


def test_pre_trained_layers(tmp_path):
    """Their decoder is left out, and a training can begin with them."""
    from eventzoo.tasks.transfer import take_backbone

    state = v3_state(24, 16, 12, 4, 2, one_stage=True)
    state = {name: tensor for name, tensor in state.items() if "heads" not in name}
    state |= {"classifier.mask_token": torch.zeros(1, 1, 16), "classifier.heads.0.weight": torch.zeros(8, 16)}
    with pytest.raises(EventZooError, match="do not tell which dataset they are for; missing arguments: classes, sensor_size, count"):
        import_event2vec(state)
    model, _, notes = import_event2vec(state, ["a", "b"], (128, 128), 1024)
    assert notes == (
        "the pre-training's own parts were left out: mask_token, heads.0.weight; all answers are zero until the head is trained",
    )
    assert not any(parameter.any() for parameter in model.head.parameters())
    other = eventzoo.backbones.Event2Vec((128, 128), dim=16, feedforward=12, heads=4, attention="forgetting")
    folder = str(model.save(tmp_path / "model"))
    assert (
        take_backbone(other, folder)
        == f"{len(list(other.parameters()))} of {len(list(other.parameters()))} weights of the backbone are those of {folder}"
    )


def test_a_checkpoints_file(tmp_path):
    state = v3_state(24, 16, 12, 4, 2, one_stage=True)
    torch.save({"epoch": 3, "state_dict": state, "optimizer_states": [{}], "lr_schedulers": []}, tmp_path / "asl.ckpt")
    from_file, given = import_event2vec(tmp_path / "asl.ckpt").model, import_event2vec(state).model
    assert all(map(torch.equal, from_file.state_dict().values(), given.state_dict().values()))


def test_names_without_tensors():
    with pytest.raises(EventZooError, match="no tensors, as weights are: a;"):
        import_event2vec({"a": 1})


def without(name):
    return lambda state: {key: tensor for key, tensor in state.items() if key != f"classifier.{name}"}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (without("tpe.conv.7.bias"), "known; missing: tpe.conv.7.bias$"),
        (without("heads.weight"), "known; missing: heads.weight$"),
        (without("embed_net.embed.6.weight"), "missing: embed_net.embed.6.weight$"),
        (lambda state: state | {"classifier.extra": torch.zeros(2), "other": torch.zeros(2)}, "known; unknown: extra, other$"),
        (lambda state: state | {"classifier.tpe.conv.0.weight": torch.zeros(5, 1, 3)}, r"tpe.conv.0.weight is of the shape \(5, 1, 3\)"),
        (lambda _: {"fc.weight": torch.zeros(2, 2)}, "no weights of Event2Vec"),
    ],
)
def test_weights_that_are_others(changed, said):
    with pytest.raises(EventZooError, match=said):
        import_event2vec(changed(v3_state(24, 16, 12, 4, 2, one_stage=True)))


def test_arguments_that_do_not_fit():
    state = v3_state(100, 16, 12, 4, 2, one_stage=True)
    with pytest.raises(EventZooError, match="missing arguments: classes, count"):
        import_event2vec(state, sensor_size=(128, 128))
    with pytest.raises(EventZooError, match="give 100 answers, not the 2 of classes"):
        import_event2vec(state, ["a", "b"], (128, 128), 1024)
    with pytest.raises(EventZooError, match="missing arguments: time_scale"):
        import_event2vec(v1_state(classes=5), list("abcde"), (128, 128), 255)
