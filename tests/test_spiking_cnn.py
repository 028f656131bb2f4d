"""The spiking network against itself written out, and what it must not remember."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import eventzoo
from eventzoo.errors import EventZooError
from eventzoo.model import EventModel
from eventzoo.nn.backbone import Backbone
from eventzoo.nn.stepped import FrameBatch
from eventzoo.specs import build
from eventzoo.tasks.heads import ClassificationHead

SIZE = (18, 13)
LENGTHS = [5, 0, 3, 1]


@pytest.fixture(scope="module")
def batch():
    """Frames of recordings of different lengths; what fills them up is no number."""
    torch.manual_seed(0)
    frames = torch.poisson(torch.full((max(LENGTHS), len(LENGTHS), 2, *reversed(SIZE)), 0.7))
    for i, length in enumerate(LENGTHS):
        frames[length:, i] = torch.nan
    return FrameBatch(frames, torch.tensor(LENGTHS))


def network(firing=True, **settings):
    """A small network; firing as after training, when neurons spike in some frames and not in others."""
    torch.manual_seed(1)
    made = eventzoo.backbones.SpikingCNN(SIZE, **{"channels": 5, "stages": 2, "hidden": 7, "dropout": 0.0, **settings})
    if firing:
        with torch.no_grad():
            for module in made.modules():
                if isinstance(module, nn.BatchNorm2d):
                    nn.init.uniform_(module.weight, 1.5, 3)
                    nn.init.normal_(module.bias, 0.5, 0.5)
                    nn.init.normal_(module.running_mean, 0, 0.2)
                    nn.init.uniform_(module.running_var, 0.3, 0.6)
            made.linear.weight *= 5
            made.linear.bias += 0.5
    return made


def normed_as_in_evaluation(made):
    """In training, but with batch norm's running statistics."""
    made.train()
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    return made


def written_out(made, frames, leak):
    """Rates for the frames of one recording; `leak` gives 1 / τ of each layer."""
    convolutions = [(layers[0].weight, layers[1]) for layers in made.convolutions]
    v, spikes = [torch.zeros(())] * (len(convolutions) + 1), torch.zeros(1, made.out_channels)

    def fire(k, x):
        v[k] = v[k] + x if leak[k] is None else v[k] + (x - v[k]) * leak[k]
        fired = (v[k] >= 1).float()
        v[k] = v[k] * (1 - fired)
        return fired

    for frame in frames:
        x = frame[None]
        for k, (weight, norm) in enumerate(convolutions):
            x = functional.conv2d(x, weight, padding=1)
            x = functional.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
            x = functional.max_pool2d(fire(k, x), 2)
        spikes += fire(-1, functional.linear(x.flatten(1), made.linear.weight, made.linear.bias))
    return spikes[0] / max(len(frames), 1)


@pytest.mark.parametrize("neuron", ["PLIF", "LIF", "IF"])
def test_equals_the_network_written_out(batch, neuron):
    made = network(neuron=neuron, tau=2.5).eval()
    if neuron == "PLIF":
        with torch.no_grad():
            for k, node in enumerate(made.neurons):
                torch.testing.assert_close(node.w.sigmoid(), torch.tensor(1 / 2.5))
                node.w.add_(0.3 * k)
    leak = [{"PLIF": lambda node: node.w.sigmoid(), "LIF": lambda _: 1 / 2.5, "IF": lambda _: None}[neuron](node) for node in made.neurons]
    with torch.inference_mode():
        found = made(batch)
        expected = torch.stack([written_out(made, batch.frames[:length, i], leak) for i, length in enumerate(LENGTHS)])
    torch.testing.assert_close(found, expected)
    assert ((found > 0) & (found < 1)).any()  # spikes in some frames
    assert not found[1].any()


@pytest.mark.parametrize("alone", [False, True], ids=["of different lengths", "of one length"])
def test_training_computes_the_same(batch, alone):
    made = network()
    given = FrameBatch(batch.frames[:3, [0, 2, 0]], torch.tensor([3, 3, 3])) if alone else batch
    with torch.inference_mode():
        torch.testing.assert_close(normed_as_in_evaluation(made)(given), made.eval()(given))


def test_in_evaluation_company_means_nothing_and_nothing_is_remembered(batch):
    made = network().eval()
    with torch.inference_mode():
        found = made(batch)
        assert torch.equal(made(batch), found)
        for i in (3, 0, 2, 1):
            assert torch.equal(made(FrameBatch(batch.frames[:, [i]], batch.lengths[[i]]))[0], found[i])


def test_in_training_nothing_is_remembered_but_statistics(batch):
    one, other = network().train(), network().train()
    one(FrameBatch(batch.frames[:2, [0, 2]], torch.tensor([2, 1])))
    torch.testing.assert_close(one(batch), other(batch), rtol=0, atol=0)


def test_statistics_are_those_of_the_frames_that_there_are(batch):
    made = network().train()
    norm = made.convolutions[0][1]
    norm.momentum = 1.0
    made(batch).sum().backward()
    own = torch.cat([batch.frames[:length, i] for i, length in enumerate(LENGTHS)])
    currents = made.convolutions[0][0](own)
    torch.testing.assert_close(norm.running_mean, currents.mean((0, 2, 3)))
    torch.testing.assert_close(norm.running_var, currents.var((0, 2, 3)))
    assert all(parameter.grad.isfinite().all() for parameter in made.parameters())


def test_every_parameter_learns(batch):
    made = network(firing=False).train()  # even where no neuron fires yet
    made(batch)[:, :3].sum().backward()
    assert all(parameter.grad.any() for parameter in made.parameters())


def test_a_spike_is_differentiated_as_an_arc_tangent():
    x = torch.tensor([[[[1.7]]], [[[2.4]]]], requires_grad=True)
    made = eventzoo.backbones.SpikingCNN((2, 2), 1, 1, 1, 1, neuron="LIF")
    (spikes,), _ = made.neurons[0].functional_forward((x,), (torch.zeros_like(x),))
    spikes.sum().backward()
    z = x.detach() / 2 - 1
    torch.testing.assert_close(x.grad, 0.5 / (1 + (np.pi * z) ** 2))
    assert spikes.flatten().tolist() == [0, 1]


def test_training_drops_the_same_places_in_all_frames_of_a_recording(batch):
    made = normed_as_in_evaluation(network(dropout=0.5))
    with torch.no_grad():
        for layers in made.convolutions:
            layers[1].bias.fill_(100)  # all fire in every frame
    given = []
    made.linear.register_forward_pre_hook(lambda _, args: given.append(args[0]))
    made(batch)
    (x,) = given
    recording = torch.tensor([i for k in range(5) for i, length in enumerate(LENGTHS) if k < length])
    assert x.unique().tolist() == [0, 2]
    for i in (0, 2, 3):
        assert (x[recording == i] == x[recording == i][0]).all()
    assert (x[0] != x[1]).any()
    made.eval()(batch)
    assert all((x == 1).all() for x in given[1:])


def test_recordings_without_events_can_be_trained_with():
    made = network().train()
    nothing = eventzoo.representations.FrameSequence(10)
    none = nothing.collate([nothing(eventzoo.Events.empty(SIZE))] * 3)
    assert made(none).tolist() == [[0] * 7] * 3


@pytest.mark.parametrize(
    ("size", "settings", "published", "voting"),
    [
        ((34, 34), {"stages": 2, "hidden": 2048}, 17_134_440, 10),
        ((128, 128), {}, 4_691_818, 10),
        ((128, 128), {"stages": 5}, 1_698_933, 11),
    ],
    ids=["N-MNIST", "CIFAR10-DVS", "DVS Gesture"],
)
def test_the_published_number_of_parameters(size, settings, published, voting):
    """But for the last layer, of ten neurons a class with a time constant."""
    with torch.device("meta"):
        made = eventzoo.backbones.SpikingCNN(size, **settings)
    last = 10 * voting * (made.out_channels + 1) + 1
    assert sum(parameter.numel() for parameter in made.parameters()) == published - last


def test_what_weight_decay_leaves_alone():
    assert network().no_weight_decay() == {
        *(f"convolutions.{k}.1.{name}" for k in (0, 1) for name in ("weight", "bias")),
        *(f"neurons.{k}.w" for k in (0, 1, 2)),
        "linear.bias",
    }


def test_saved_and_loaded_it_answers_the_same(make_events, tmp_path):
    backbone = network(neuron="LIF", tau=1.5)
    head = ClassificationHead().connect(backbone, 3)
    model = EventModel(eventzoo.representations.FrameSequence(20_000), backbone, head, list("abc"), SIZE)
    model.save(tmp_path / "model")
    loaded, events = EventModel.from_folder(tmp_path / "model"), make_events(400, SIZE)
    np.testing.assert_array_equal(loaded.output(events), model.output(events))
    assert len({model.output(events[:count]).tobytes() for count in (0, 100, 400)}) == 3


def test_a_representation_of_another_kind_is_named():
    with pytest.raises(EventZooError, match="SpikingCNN takes a representation of kind 'frames', but Histogram yields 'image'"):
        EventModel(eventzoo.representations.Histogram(), network(), ClassificationHead(), ["a"], SIZE)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stages": 4}, "4 stages halve the 18×13 pixels to nothing; take fewer"),
        ({"stages": 0}, "at least 1"),
        ({"channels": 0}, "at least 1"),
        ({"tau": 1.0}, r"tau is above 1 .* not 2, 5, 2, 7, 1\.0"),
        ({"dropout": 1.0}, r"dropout in \[0, 1\)"),
    ],
)
def test_nonsense_is_refused(settings, message):
    with pytest.raises(EventZooError, match=f"SpikingCNN: .*{message}"):
        network(**settings)


def test_without_spikingjelly_it_says_what_to_install(monkeypatch):
    for name in ("spikingjelly", "spikingjelly.activation_based"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(EventZooError, match=r"SpikingCNN needs SpikingJelly, which cannot be imported \(.*\): pip install eventzoo\[snn\]"):
        build({"class_path": "SpikingCNN", "init_args": {"sensor_size": [34, 34]}}, Backbone)


@pytest.mark.slow
def test_nothing_imports_spikingjelly_before_it_is_needed():
    """Where SpikingJelly cannot be found, all parts can be, and nothing is the worse for it."""
    code = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "spikingjelly":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
import eventzoo
from eventzoo import registry
registry.load_all()
try:
    eventzoo.backbones.SpikingCNN((34, 34))
except eventzoo.EventZooError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "(No module named 'spikingjelly')" in done.stdout
    assert "PluginWarning" not in done.stderr
