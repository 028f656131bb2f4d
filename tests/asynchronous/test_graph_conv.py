"""torch_geometric's graph convolutions and pools of all nodes, event by event."""

import math
import re

import numpy as np
import pytest
import torch
import torch_geometric.nn as gnn
from torch_geometric.nn import GCNConv, GraphConv, SAGEConv, global_max_pool

import eventzoo
from eventzoo.asynchronous import Window
from eventzoo.nn.backbone import Backbone
from eventzoo.nn.pool import VoxelMaxPool
from eventzoo.plugins.async_converters.graphs.global_pool import LIMBS, _add_row, _value
from eventzoo.testing import check_async_converter

SIZE = (24, 20)


class OverVoxels(Backbone):
    """Convolutions of events and of voxels, with a skip connection, and the maximum of all voxels."""

    accepts = "graph"

    def __init__(self, gcn=None, graph=None, sage=None):
        super().__init__()
        self.sensor_size, self.out_channels, self.out_size = SIZE, 11, None
        self.first, self.second = GCNConv(1, 4, **gcn or {}), GraphConv(4, 6, **graph or {})
        self.pool = VoxelMaxPool((5, 4), SIZE, 5.0)
        self.third, self.fourth = SAGEConv(6, 5, **sage or {}), GCNConv(5, 5, **gcn or {})

    def forward(self, batch):
        x = self.second(self.first(batch.x, batch.edge_index).relu(), batch.edge_index).relu()
        coarse = self.pool(x, batch.pos, batch.edge_index, batch.batch)
        x = self.fourth(self.third(coarse.x, coarse.edge_index).relu(), coarse.edge_index)
        return global_max_pool(torch.cat([1 + x * 0.5, coarse.x], dim=-1), coarse.batch, batch.num_graphs)


class OverEvents(Backbone):
    """Convolutions of events, and all pools of all events."""

    accepts = "graph"

    def __init__(self, gcn=None, sage=None):
        super().__init__()
        self.sensor_size, self.out_channels, self.out_size = SIZE, 15, None
        self.first, self.second = GCNConv(1, 4, normalize=False, **gcn or {}), SAGEConv(4, 5, normalize=True, **sage or {})

    def forward(self, batch):
        return self.pooled(self.convolved(batch), batch)

    def convolved(self, batch):
        return self.second(self.first(batch.x, batch.edge_index).relu(), batch.edge_index)

    def pooled(self, x, batch):
        pools = gnn.global_add_pool, gnn.global_mean_pool, gnn.global_max_pool
        return torch.cat([pool(x, batch.batch, size=batch.num_graphs) for pool in pools], 1)


class Scattered(Backbone):
    """One convolution that is called in some way, and the maximum of all events."""

    accepts = "graph"

    def __init__(self, conv, call=None, pool=None):
        super().__init__()
        self.sensor_size, self.out_channels, self.out_size = SIZE, 4, None
        self.conv, self.call = conv, call or (lambda conv, batch: conv(batch.x, batch.edge_index))
        self.pool = pool or (lambda x, batch: global_max_pool(x, batch.batch, batch.num_graphs))

    def forward(self, batch):
        return self.pool(self.call(self.conv, batch), batch)


@pytest.fixture
def made(classifier):
    """Makes a model; biases are not zero."""

    def model(backbone, causal=True, **graph):
        for name, parameter in backbone.named_parameters():
            if name.endswith("bias"):
                torch.nn.init.normal_(parameter)
        return classifier(backbone, eventzoo.representations.EventGraph(**{"max_neighbors": 8, "causal": causal, **graph}))

    return model


@pytest.mark.parametrize(
    ("causal", "settings"),
    [
        (True, {}),
        (False, {}),
        (True, {"gcn": {"improved": True}, "graph": {"aggr": "mean"}, "sage": {"aggr": "max"}}),
        (False, {"gcn": {"add_self_loops": False}, "graph": {"aggr": "max"}, "sage": {"aggr": "add"}}),
        (True, {"gcn": {"add_self_loops": False, "bias": False}, "graph": {"bias": False}, "sage": {"root_weight": False, "bias": False}}),
    ],
    ids=str,
)
def test_convolutions_of_events_and_voxels(made, rough, causal, settings):
    torch.manual_seed(0)
    check_async_converter(made(OverVoxels(**settings), causal), rough(100, 3, SIZE))


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("sage", [{}, {"root_weight": False, "aggr": "max"}], ids=str)
def test_pools_of_all_events(made, rough, causal, sage):
    torch.manual_seed(0)
    model = made(OverEvents({"bias": causal}, sage), causal, max_neighbors=None)
    check_async_converter(model, rough(100, 4, SIZE), [Window(), Window(events=23), Window(microseconds=3_000)])


def test_pools_of_all_events_with_history(made, rough):
    torch.manual_seed(0)
    model, events, most = made(OverEvents()), rough(150, 5, SIZE), 40
    stream = model.asynchronous(Window(events=most, history=True), strict=True)
    for first in range(0, len(events), 50):
        output = stream.push(events[first : first + 50]).logits
    graph = model.representation.collate([model.representation(events)])
    source, target = graph.edge_index
    graph.edge_index = graph.edge_index[:, target - source < most]
    with torch.inference_mode():
        x = model.backbone.eval().convolved(graph)[-most:]
        graph.batch = graph.batch[-most:]
        expected = model.head.eval()(model.backbone.pooled(x, graph))[0].numpy()
    np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-5)


def test_pools_while_slots_are_added(made, rough):
    """A window of time that outgrows its slots, and the same bits however it came to that."""
    torch.manual_seed(0)
    model, events = made(OverEvents(), False), rough(3_000, 6, SIZE)
    window = Window(microseconds=events.duration // 2)
    assert (np.searchsorted(events.t, events.t, "right") - np.searchsorted(events.t, events.t - window.microseconds, "right")).max() > 1_024
    singly, at_once = (model.asynchronous(window, strict=True) for _ in range(2))
    outputs, begin = singly.push_each(events), 0
    for end in (500, 1_100, 2_900, 3_000):
        at_once.push(events[begin:end])
        begin = end
        assert np.array_equal(outputs[end - 1], at_once.output().logits)
    expected = at_once.synchronous().logits
    np.testing.assert_allclose(outputs[-1], expected, atol=1e-4 * np.abs(expected).max())


def test_exact_sums():
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(size=40_000) * 10.0 ** rng.integers(-44, 38, 40_000), [0, -0.0, 1e-45, -1e-45, 3.4e38, -3.4e38]])
    rows = values.astype(np.float32)[:, None]
    rng.shuffle(rows)
    limbs, room = np.zeros((1, LIMBS), np.int64), np.zeros(LIMBS, np.int64)
    for row in rows:
        _add_row(limbs, row, 1)
    for row in rows[:20_003]:
        _add_row(limbs, row, -1)
    assert _value(limbs[0], room) == pytest.approx(math.fsum(rows[20_003:, 0].astype(float)), rel=1e-14)
    small = rows[np.abs(rows) < 1][:, None]
    for row in rows[20_003:]:
        _add_row(limbs, row, -1)
    assert not limbs.any()
    for row in small:
        _add_row(limbs, row, 1)
    assert _value(limbs[0], room) == pytest.approx(math.fsum(small.ravel().astype(float)), rel=1e-14)


class OwnMessages(GCNConv):
    def message(self, x_j, edge_weight):
        return -x_j


def twice(x, batch):
    return global_max_pool(torch.cat([x, x]), torch.cat([batch.batch, batch.batch]), batch.num_graphs)


def without_samples(x, batch):
    return global_max_pool(x, None)


def two_samples(x, batch):
    return global_max_pool(x, batch.batch, 2).view(1, -1)


def times_a_tensor(x, batch):
    return global_max_pool(x * torch.full((4,), 2.0), batch.batch, batch.num_graphs)


def with_weights(conv, batch):
    return conv(batch.x, batch.edge_index, batch.edge_attr)


@pytest.mark.parametrize(
    ("conv", "pool", "reason"),
    [
        (GCNConv(1, 4, aggr="mean"), None, r"does not sum its neighbours \(aggr='mean'\)"),
        (GCNConv(1, 4, flow="target_to_source"), None, "go from targets to sources"),
        (OwnMessages(1, 4), None, "OwnMessages has a message of its own, which the converter of GCNConv does not know"),
        (SAGEConv(1, 4, project=True), None, "project=True"),
        (SAGEConv(1, 4, aggr="std"), None, "neither sums its neighbours nor takes their mean or maximum"),
        (GraphConv(1, 4), without_samples, "does not pool the features of all nodes by their sample"),
        (GraphConv(1, 2), two_samples, "pools into 2 samples"),
        (GraphConv(1, 4), times_a_tensor, "something other than features and a number"),
        (GraphConv(1, 4), twice, r"joins sites and not channels \(dim=0\)"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_what_is_run_densely(made, rough, conv, pool, reason):
    torch.manual_seed(0)
    stream = made(Scattered(conv, pool=pool)).asynchronous(Window(events=20))
    assert re.search(reason, stream.fallbacks[0].reason)
    np.testing.assert_allclose(stream.push(rough(30, 8, SIZE)).logits, stream.synchronous().logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("conv", "call", "reason"),
    [
        (GCNConv(1, 4, cached=True), None, r"the degrees of the first graph .*cached=True"),
        (GraphConv(1, 4), with_weights, "its edges have weights"),
        (GraphConv(2, 4), None, "made for 2 channels and given 1"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_what_runs_not_even_densely(made, conv, call, reason):
    assert re.search(reason, made(Scattered(conv, call)).asynchronous().fallbacks[0].reason)
