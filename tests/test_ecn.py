from pathlib import Path

import pytest
import torch
import yaml
from torch.nn.functional import cross_entropy, one_hot

import eventzoo
from eventzoo.data.transforms import EventTransform, sensor_size_after
from eventzoo.errors import EventZooError
from eventzoo.model import EventModel
from eventzoo.specs import build
from eventzoo.tasks.heads import ClassificationHead

CONFIGS = Path(__file__).parents[1] / "configs"
MEMORIES = [{"memory": "window"}, {"memory": "window", "positive": "softplus"}, {"memory": "trace"}]
memories = pytest.mark.parametrize("settings", MEMORIES, ids=lambda settings: "-".join(settings.values()))


def streams(**arguments):
    arguments.pop("positive", None)
    return eventzoo.representations.EventStream(**{"levels": 3, "decay_time": 5000, "threshold": 1.0, "reset_potential": -1.0, **arguments})


def small(**arguments):
    """For a sensor of 13×10 pixels; with weights and statistics as a trained network might have."""
    torch.manual_seed(0)
    network = eventzoo.backbones.ECN(
        **{
            "sensor_size": (13, 10),
            "levels": 3,
            "filters": 3,
            "decays": 2,
            "first_pooled": 2,
            "hidden": (6,),
            "horizon": 80_000,
            **arguments,
        }
    )
    for name, tensor in network.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 2)
        elif name.endswith(("running_mean", "bias")):
            tensor.normal_()
    return network.eval()


@pytest.fixture(scope="session")
def recorded(make_events):
    """Recordings of a few hundred events, near enough to make neurons fire."""
    return lambda count, seed=0: make_events(count, (13, 10), seed, duration=60_000)


def recipe(name):
    return yaml.safe_load((CONFIGS / f"ecn_{name}.yaml").read_text())


PUBLISHED = {  # parameters, statistics; classes, of which N-Caltech101's code has one without recordings
    "nmnist": (1_849_490, 2_752, 10),
    "nmnist_paper": (1_849_490, 2_752, 10),
    "mnist_dvs": (1_890_466, 2_848, 10),
    "cifar10_dvs": (1_890_466, 2_848, 10),
    "ncaltech101": (7_432_414, 5_184, 102),
    "asl_dvs": (7_412_368, 5_184, 24),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_number_of_parameters(name):
    specification = recipe(name)["model"]["init_args"]["backbone"]
    parameters, statistics, classes = PUBLISHED[name]
    with torch.device("meta"):
        backbone = eventzoo.backbones.ECN(**specification["init_args"])
        head = ClassificationHead().connect(backbone, classes)
    assert sum(parameter.numel() for network in (backbone, head) for parameter in network.parameters()) == parameters
    assert sum(tensor.numel() for name, tensor in backbone.named_buffers() if "running" in name) == statistics


@pytest.mark.parametrize(
    ("name", "decay_time", "threshold", "reset_potential", "pooled", "batch_size"),
    [
        ("nmnist", 2_000, 1.5, -3, False, 32),
        ("nmnist_paper", 2_000, 1.5, -3, False, 32),
        ("mnist_dvs", 10_000, 1.5, -2, False, 32),
        ("cifar10_dvs", 4_000, 1.6, -3, False, 16),
        ("ncaltech101", 1_000, 1.25, -2, True, 8),
        ("asl_dvs", 1_000, 1.0, -3, True, 8),
    ],
)
def test_the_published_streams(name, decay_time, threshold, reset_potential, pooled, batch_size):
    """What does not show in the number of parameters. Representation, transforms and backbone agree."""
    data, backbone = recipe(name)["data"], recipe(name)["model"]["init_args"]["backbone"]["init_args"]
    specification = data["representation"]["init_args"]
    assert specification.pop("levels") == backbone["levels"]
    assert specification == {"decay_time": decay_time, "threshold": threshold, "reset_potential": reset_potential}
    assert data["batch_size"] == batch_size
    dataset = data["dataset"] if isinstance(data["dataset"], str) else data["dataset"]["class_path"]
    width, height = getattr(eventzoo.datasets, dataset).sensor_size
    for stage in ("train_transforms", "eval_transforms"):
        transforms = [build(transform, EventTransform) for transform in data.get(stage, [])]
        assert sensor_size_after(transforms, (width, height)) == tuple(backbone["sensor_size"])
    assert tuple(backbone["sensor_size"]) == ((width // 2, height // 2) if pooled else (width, height))


def literal_ecn(network, batch, memory):
    """The network of the docstrings for one recording, event by event, edge by edge and voxel by voxel, in float64."""

    def normed(norm, x):
        norm = getattr(norm, "module", norm)
        return (x - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias

    def convolved(conv, x, edges):
        rates, outputs = conv.rates().expand(conv.cells, conv.decays), []
        for first, stop in zip(edges.start.tolist(), edges.start.tolist()[1:], strict=False):
            y = conv.bias
            for edge in range(first, stop):
                cell, source, age = int(edges.cell[edge]), int(edges.source[edge]), edges.age[edge].double()
                while source >= 0:
                    y = y + ((-rates[cell] * age).exp()[:, None, None] * (x[source] @ conv.weight[cell])[:, None]).sum((0, 1))
                    if memory == "window":
                        break
                    source, age = int(edges.previous[source]), age + edges.gap[source].double()
            outputs.append(y)
        return torch.stack(outputs)

    x, volume = one_hot(batch.polarity.long(), 2).double(), None
    width, height = network.sensor_size
    for number, (layers, level) in enumerate(zip(network.levels, batch.levels, strict=True), 1):
        width, height = -(-width // 2), -(-height // 2)
        x = normed(layers.strided_norm, convolved(layers.strided, x, level.strided).relu())
        branches = convolved(layers.inplace, x, level.inplace) + convolved(layers.pointwise, x, level.pointwise)
        x = x + normed(layers.norm, (branches + layers.reduce(layers.expand(x).relu())).relu())
        if number < network.first_pooled:
            continue
        voxels, at = network.voxels[number - network.first_pooled], {}
        frames = 2 ** (len(network.levels) - number)
        for t, column, row, features in zip(level.t.tolist(), level.x.tolist(), level.y.tolist(), x, strict=True):
            at.setdefault((t * frames // voxels.mean.horizon, row, column), []).append(features)
        merged = x.new_zeros(frames, height, width, x.shape[1])
        for voxel in torch.cartesian_prod(*map(torch.arange, merged.shape[:3])).tolist():
            merged[tuple(voxel)] = normed(voxels.norm, torch.stack(at.get(tuple(voxel), [torch.zeros_like(merged[0, 0, 0])])).mean(0))
            if volume is not None:
                merge, corner = network.merges[number - network.first_pooled - 1], [2 * place for place in voxel]
                eight = volume[corner[0] : corner[0] + 2, corner[1] : corner[1] + 2, corner[2] : corner[2] + 2]
                weight = merge.conv.weight[:, :, : eight.shape[0], : eight.shape[1], : eight.shape[2]]
                merged[tuple(voxel)] += normed(merge.norm, (torch.einsum("fyxc,ocfyx->o", eight, weight) + merge.conv.bias).relu())
        volume = merged
    pixels = volume[0].flatten(0, 1) @ network.widen.weight.flatten(1).T + network.widen.bias
    y = normed(network.tail[0], pixels.amax(0))
    for at in range(2, len(network.tail), 4):
        y = normed(network.tail[at + 2], network.tail[at](y).relu())
    return y


@memories
@torch.no_grad()
def test_equals_the_network_written_out(recorded, settings):
    network, representation = small(**settings).double(), streams(**settings)
    batch = representation.collate([representation(recorded(300))])
    assert min(len(level.t) for level in batch.levels) > 3
    torch.testing.assert_close(network(batch)[0], literal_ecn(network, batch, settings["memory"]), rtol=1e-6, atol=1e-9)  # ages are float32


@memories
@torch.no_grad()
def test_a_recording_means_the_same_in_any_company(recorded, settings):
    """With others whose levels are empty, from the first or from a later one on, and without events at all."""
    network, representation = small(**settings), streams(**settings)
    values = [representation(recorded(count, seed=count)) for count in (300, 0, 20, 1, 40)]
    assert [sum(len(level.t) > 0 for level in value.levels) for value in values] == [3, 0, 1, 0, 2]
    together = network(representation.collate(values))
    assert together.shape == (5, network.out_channels)
    for row, value in zip(together, values, strict=True):
        torch.testing.assert_close(row, network(representation.collate([value]))[0], rtol=1e-4, atol=1e-5)
    assert torch.equal(together[1], together[3])  # neither reaches level 1


@memories
@pytest.mark.parametrize("counts", [(300, 200), (300,), (300, 0, 40), (20, 1), (0, 0)])
def test_every_parameter_learns_and_nothing_becomes_nan(recorded, settings, counts):
    network, representation = small(**settings).train(), streams(**settings)
    network(representation.collate([representation(recorded(count, seed=count)) for count in counts])).square().sum().backward()
    gradients = {name: parameter.grad for name, parameter in network.named_parameters() if parameter.grad is not None}
    assert all(gradient.isfinite().all() for gradient in gradients.values())
    assert all(buffer.isfinite().all() for buffer in network.buffers())
    if counts == (300, 200):
        assert len(gradients) == len(list(network.parameters()))


@memories
def test_a_step_lowers_the_loss_by_what_its_gradient_says(recorded, settings):
    """In training, where batch norm takes its statistics from the batch."""
    network, representation = small(dropout=0.0, **settings).double().train(), streams(**settings)
    batch, labels = representation.collate([representation(recorded(150, seed)) for seed in range(4)]), torch.tensor([0, 1, 0, 1])

    def loss():
        return cross_entropy(network(batch), labels)

    before = loss()
    before.backward()
    squares = sum(parameter.grad.square().sum() for parameter in network.parameters())
    torch.optim.SGD(network.parameters(), lr=1e-7).step()
    assert (before - loss()).item() == pytest.approx(1e-7 * squares.item(), rel=0.01)


@memories
def test_saved_and_loaded_it_answers_the_same(recorded, tmp_path, settings):
    backbone = small(**settings)
    model = EventModel(streams(**settings), backbone, ClassificationHead().connect(backbone, 3), ("a", "b", "c"), (13, 10))
    model.save(tmp_path / "model")
    loaded = eventzoo.load(f"local-dir:{tmp_path / 'model'}")
    for events in map(recorded, (0, 1, 20, 300)):
        expected, found = model.predict(events), loaded.predict(events)
        assert (found.logits == expected.logits).all()
        assert found.label == expected.label


def test_what_weight_decay_leaves_alone():
    network = small()
    spared = network.no_weight_decay()
    kernels = {name for name, parameter in network.named_parameters() if parameter.ndim > 1 and not name.endswith("decay")}
    assert spared | kernels == {name for name, _ in network.named_parameters()}
    assert not spared & kernels
    assert {"levels.0.strided.decay", "levels.1.norm.module.weight", "voxels.0.norm.bias", "tail.2.bias"} <= spared


@pytest.mark.parametrize("levels", [2, 4])
def test_a_representation_with_other_levels_is_named(levels):
    network = small()
    with pytest.raises(EventZooError, match=f"levels of ECN is 3, of its EventStream {levels}: set both"):
        EventModel(streams(levels=levels), network, ClassificationHead().connect(network, 2), ["a", "b"], (13, 10))


def test_a_model_is_not_made_of_parts_of_other_kinds():
    network = small()
    with pytest.raises(EventZooError, match="ECN takes a representation of kind 'stream', but Histogram yields 'image'"):
        EventModel(eventzoo.representations.Histogram(), network, ClassificationHead().connect(network, 2), ["a", "b"], (13, 10))


@pytest.mark.parametrize(("of_network", "of_streams"), [("window", "trace"), ("trace", "window")])
def test_a_representation_with_another_memory_is_named(recorded, of_network, of_streams):
    representation = streams(memory=of_streams)
    with pytest.raises(EventZooError, match="memory"):
        small(memory=of_network)(representation.collate([representation(recorded(300))]))


@pytest.mark.parametrize(
    "settings",
    [
        {"in_channels": 1},
        {"levels": 0, "first_pooled": 0},
        {"first_pooled": 0},
        {"first_pooled": 4},
        {"filters": 0},
        {"decays": 0},
        {"hidden": ()},
        {"hidden": (4, 0)},
        {"memory": "ring"},
        {"positive": "square"},
        {"horizon": 1},
    ],
)
def test_nonsense_is_refused(settings):
    with pytest.raises(EventZooError, match=r"^(ECN|EventConv|VoxelMean): "):
        small(**settings)
