import math
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

import eventzoo
from eventzoo.asynchronous import Plan, Window
from eventzoo.asynchronous.converter import converter_of, converters
from eventzoo.asynchronous.materialise import materialise
from eventzoo.asynchronous.plan import Plain
from eventzoo.events import Events
from eventzoo.kernels.asynchronous import sites
from eventzoo.model import EventModel
from eventzoo.nn.backbone import Backbone
from eventzoo.nn.pool import GridMaxPool
from eventzoo.nn.spline_conv import SplineBasis, SplineConv
from eventzoo.tasks.heads import ClassificationHead

SIZE = (20, 16)


class OneConvolution(Backbone):
    """The least backbone: a spline convolution, then a map of cells. Subclasses do something between the two."""

    accepts = "graph"

    def __init__(self):
        super().__init__()
        self.sensor_size, self.out_channels, self.out_size = SIZE, 4, (3, 2)
        self.basis, self.conv, self.pool = SplineBasis(3, 2), SplineConv(1, 4, 3, 2), GridMaxPool((3, 2), SIZE)

    def forward(self, batch):
        x = self.conv(batch.x, self.basis(batch.x, batch.edge_index, batch.edge_attr))
        return self.pool(self.between(x, batch), batch.pos, batch.batch, batch.num_graphs)

    def between(self, x, batch):
        return x


def _with_statistics(network):
    """Batch normalisation that does something, as after training."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(module.weight, 0.7, 1.3)
            nn.init.normal_(module.bias, 0, 0.1)
    return network


class Layers(ClassificationHead):
    """A head of any layers, one after the other."""

    def __init__(self, *layers):
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, features):
        return self.layers(features)


_known = cache(converters)


class CarriedOut:
    """Layers one after the other in a plan by themselves, over a dense map of `channels` and `size` (width, height), or volume (width,
    height, frames), which a test writes to. The plan is carried out in Python, not compiled as one.
    """

    def __init__(self, layers, channels, size):
        self.layers = [layer.eval() for layer in layers]
        self.plan = Plan(Window(), (8, 8), 1024)
        self.x = self.output = self.plan.features(self.plan.domain(math.prod(size)), channels, size)
        for layer in self.layers:
            self.output = converter_of(layer, _known()).convert(self.plan, layer, self.output)
            self.output.shared = False

    def change(self, rows):
        """Put rows `{cell: features}` on the map; the cells whose output is said to have changed."""
        cells, x = self.x.domain.sites.value, self.x.rows.value
        sites.begin_fixed(cells)
        x.counts[0] = 0
        for cell in range(len(cells.id)) if cells.counts[sites.TRANSACTION] == 1 else rows:
            x.row[:] = rows.get(cell, 0)
            sites.commit(cells, x, cell)
        for part in self.plan.body:
            values = {state.name: state.value for state in self.plan.states}
            values |= {f"{name}.{of}": array for name, value in values.items() for of, array in value._asdict().items()}
            if isinstance(part, Plain):
                if part.when is None or _called(part.when, values):
                    _called(part.call, values)
            else:
                _carry_out(part, values)
        output = self.output.rows.value
        return set(output.changed[: output.counts[0]].tolist())

    @property
    def found(self):
        """The output, as torch has it."""
        return materialise(self.output)

    @property
    def expected(self):
        """What torch makes of the map."""
        x = materialise(self.x)
        with torch.no_grad():
            for layer in self.layers:
                x = layer(x)
        return x


def _called(call, values):
    return call.function(*(values[name] for name in call.arguments))


def _carry_out(loop, values):
    domain, output = loop.output.domain.sites.value, loop.output.rows.value
    sites.open_worklist(domain, output)
    for x in loop.inputs:
        sites.add_changed(domain, x.rows.value)
    if loop.graph is not None:
        changed = loop.x.rows.value
        sites.add_touched(domain)
        loop.graph.add_readers(loop.graph.state.value, domain, changed.changed, changed.counts[0])
    for slot in domain.work[: domain.counts[sites.WORK]].tolist():
        count = 0 if loop.graph is None else loop.graph.incoming(loop.graph.state.value, loop.graph.edges.value, domain, slot)
        given = {"slot": slot, "count": count, **values}
        given |= {f"{x.rows.name}.rows[slot]": x.rows.value.rows[slot] for x in loop.inputs}
        for call in loop.calls:
            _called(call, given)
        sites.commit(domain, output, slot)


@pytest.fixture(scope="session")
def carried_out():
    """The class `CarriedOut`."""
    return CarriedOut


@pytest.fixture(scope="session")
def with_statistics():
    """Gives batch normalisation statistics, as after training."""
    return _with_statistics


@pytest.fixture(scope="session")
def head_of():
    """Makes a head of any layers, as it is after training."""
    return lambda *layers: Layers(*layers).eval()


@pytest.fixture(scope="session")
def one_convolution():
    """The least backbone's class."""
    return OneConvolution


@pytest.fixture(scope="session")
def classifier():
    """Makes a model of three classes with a backbone, or of a class of backbones."""

    def made(backbone, representation=None, **settings):
        torch.manual_seed(1)
        backbone = _with_statistics(backbone() if isinstance(backbone, type) else backbone)
        representation = representation or eventzoo.representations.EventGraph(causal=True)
        settings = {"sensor_size": backbone.sensor_size, **settings}
        return EventModel(representation, backbone, ClassificationHead().connect(backbone, 3), ["a", "b", "c"], **settings)

    return made


@pytest.fixture(scope="session")
def aegnn(classifier):
    """Makes a small AEGNN model; all of them have one structure, which is compiled once."""

    def made(causal=True, max_neighbors=8, radius=3.0, model_size=None, transforms=(), **settings):
        torch.manual_seed(0)
        settings = {"sensor_size": (34, 34), "pool_size": (5, 5), "channels": (4, 8, 8, 8, 8, 8, 8), **settings}
        graph = eventzoo.representations.EventGraph(radius=radius, max_neighbors=max_neighbors, causal=causal)
        size = model_size or settings["sensor_size"]
        return classifier(eventzoo.backbones.AEGNN(**settings), graph, sensor_size=size, transforms=transforms)

    return made


@pytest.fixture(scope="session")
def rough():
    """Makes random events as bad as real ones: many at one time, bursts and silences, and a tenth of them at a hot pixel."""

    def made(count, seed=0, size=(34, 34), start=0):
        rng = np.random.default_rng(seed)
        gaps = rng.exponential(200, count) * rng.choice([0, 1, 30], count, p=[0.6, 0.39, 0.01])
        t = start + (np.cumsum(gaps) // 100 * 100).astype(np.int64)
        x, y = rng.integers(0, size[0], count), rng.integers(0, size[1], count)
        hot = rng.random(count) < 0.1
        x[hot], y[hot] = size[0] // 2, size[1] // 2
        return Events(x, y, t, rng.random(count) < 0.5, size)

    return made
