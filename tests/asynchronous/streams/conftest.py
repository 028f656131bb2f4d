import numpy as np
import pytest
import torch

import eventzoo
from eventzoo.events import Events
from eventzoo.kernels.asynchronous.streams.levels import Track
from eventzoo.model import EventModel
from eventzoo.tasks.heads import ClassificationHead

SIZE = (13, 10)


def _with_statistics(network):
    """Biases and batch normalisation that do something, as after training."""
    for name, tensor in network.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 2)
        elif name.endswith(("running_mean", "bias")):
            tensor.normal_()
    return network


@pytest.fixture(scope="session")
def ecn():
    """Makes a small ECN model, of whatever settings of its stream; all of the same memory have one structure, which is compiled once."""

    def made(memory="window", kind=eventzoo.backbones.ECN, horizon=600, transforms=(), **stream):
        torch.manual_seed(0)
        settings = {"levels": 2, "decay_time": 20, "threshold": 0.5, "reset_potential": -0.5, "capacity": 5, "memory": memory, **stream}
        network = kind(SIZE, levels=2, filters=4, decays=2, first_pooled=1, horizon=horizon, hidden=(6,), memory=memory)
        head = ClassificationHead().connect(_with_statistics(network), 3)
        return EventModel(eventzoo.representations.EventStream(**settings), network, head, ["a", "b", "c"], SIZE, transforms)

    return made


@pytest.fixture(scope="session")
def published():
    """Makes the model of a recipe, with weights and statistics that are none of a training, but for `settings` of the backbone."""

    def made(recipe, classes, transforms=(), sensor_size=None, memory="window"):
        torch.manual_seed(0)
        stream, network = recipe["data"]["representation"]["init_args"], recipe["model"]["init_args"]["backbone"]["init_args"]
        network = _with_statistics(eventzoo.backbones.ECN(**{**network, "memory": memory}))
        head = ClassificationHead().connect(network, classes)
        representation = eventzoo.representations.EventStream(**stream, memory=memory)
        return EventModel(representation, network, head, list(map(str, range(classes))), sensor_size or network.sensor_size, transforms)

    return made


@pytest.fixture(scope="session")
def recorded():
    """Makes random recordings of so many events in so many microseconds from `start` on, on a clock that ticks every `tick`."""

    def made(count, duration, seed=0, start=0, tick=1, size=SIZE):
        rng = np.random.default_rng(seed)
        t = start + np.sort(rng.integers(0, duration, count)) // tick * tick
        return Events(rng.integers(0, size[0], count), rng.integers(0, size[1], count), t, rng.random(count) < 0.5, size)

    return made


@pytest.fixture(scope="session")
def joined():
    """Joins recordings, one after the other."""

    def made(*parts):
        return Events(*(np.concatenate([getattr(part, name) for part in parts]) for name in "xytp"), parts[0].sensor_size)

    return made


@pytest.fixture(scope="session")
def tracks_of():
    """The tracks of a plan, the recording's first."""
    return lambda plan: [state.value for state in plan.states if isinstance(state.value, Track)]
