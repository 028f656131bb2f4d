"""Every built-in converter: what it makes of a layer by itself, and within a network."""

import operator

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  # the field's name for it
from torch_geometric.nn import BatchNorm as GraphBatchNorm

import eventzoo
from eventzoo.asynchronous import Plan, Unsupported, Window
from eventzoo.asynchronous.converter import converter_of, converters
from eventzoo.nn.pool import VoxelMaxPool
from eventzoo.nn.spline_conv import SplineBasis, SplineConv
from eventzoo.tasks.heads import ClassificationHead
from eventzoo.testing import check_async_converter

ROWS = torch.cat([torch.randn(50, 4, generator=torch.Generator().manual_seed(0)) * 3, torch.tensor([[0.0, -0.0, 30.0, -90.0]])])


def planned(layer, *args, channels=4, **kwargs):
    """A plan in which one layer is given features, and what its converter returns."""
    plan = Plan(Window(), (8, 8), 1024)
    x = plan.features(plan.domain(16), channels)
    return plan, x, converter_of(layer, converters()).convert(plan, layer, x, *args, **kwargs)


def in_its_place(layer, *args, **kwargs):
    """What the layer's compiled function makes of `ROWS`, one at a time."""
    plan, _, _ = planned(layer, *args, **kwargs)
    constants = {state.name: state.value for state in plan.states}
    call = plan.body[-1].calls[-1]
    rows = ROWS.numpy().copy()
    for row in rows:
        call.function(*(constants[name] for name in call.arguments if name in constants), row)
    return torch.from_numpy(rows)


ACTIVATIONS = {
    **{
        f"nn.{type(layer).__name__}": (layer, ())
        for layer in (nn.ELU(0.7), nn.ReLU(), nn.LeakyReLU(0.3), nn.SiLU(), nn.Sigmoid(), nn.Tanh())
    },
    **{f"F.{f.__name__}": (f, ()) for f in (F.elu, F.relu, F.leaky_relu, F.silu, F.sigmoid, F.tanh)},
    **{f"torch.{f.__name__}": (f, ()) for f in (torch.relu, torch.sigmoid, torch.tanh)},
    "Tensor.relu": (torch.Tensor.relu, ()),
    "alpha": (F.elu, (0.5,)),
    "slope": (F.leaky_relu, (0.2,)),
}


@pytest.mark.parametrize(("layer", "args"), ACTIVATIONS.values(), ids=ACTIVATIONS.keys())
def test_activation(layer, args):
    torch.testing.assert_close(in_its_place(layer, *args), layer(ROWS, *args), rtol=1e-6, atol=1e-7)


def test_activation_with_a_named_argument():
    torch.testing.assert_close(in_its_place(F.elu, alpha=0.4), F.elu(ROWS, alpha=0.4))
    torch.testing.assert_close(in_its_place(F.leaky_relu, negative_slope=0.4, inplace=False), F.leaky_relu(ROWS, 0.4))


@pytest.mark.parametrize("make", [nn.BatchNorm1d, nn.BatchNorm2d, GraphBatchNorm, lambda c: nn.BatchNorm1d(c, affine=False, eps=0.1)])
def test_batch_norm(make):
    layer = make(4)
    layer(torch.randn(32, 4, *[2, 2] * isinstance(layer, nn.BatchNorm2d)))  # takes some of these statistics
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    given = ROWS[:, :, None, None] if isinstance(layer, nn.BatchNorm2d) else ROWS
    torch.testing.assert_close(in_its_place(layer), layer.eval()(given).flatten(1).detach(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("make", [nn.BatchNorm1d, GraphBatchNorm])
def test_batch_norm_of_the_batch_at_hand(make):
    with pytest.raises(Unsupported, match="no running statistics"):
        planned(make(4, track_running_stats=False))


@pytest.mark.parametrize(("layer", "args", "kwargs"), [
    *((layer, (), {}) for layer in (nn.Dropout(0.9), nn.Identity())),
    (F.dropout, (0.9, False), {}),
    (F.dropout, (), {"p": 0.9, "training": False}),
])  # fmt: skip
def test_dropout(layer, args, kwargs):
    plan, x, output = planned(layer, *args, **kwargs)
    assert output is x
    assert not plan.body


@pytest.mark.parametrize(("args", "kwargs"), [((), {}), ((0.9,), {}), ((0.9, True), {}), ((), {"training": True})])
def test_dropout_that_drops(args, kwargs):
    with pytest.raises(Unsupported, match="in evaluation too"):
        planned(F.dropout, *args, **kwargs)


@pytest.mark.parametrize("layer", [operator.add, operator.iadd, torch.add])
def test_sums_that_are_none_of_features(layer):
    with pytest.raises(Unsupported, match="same sites"):
        planned(layer, planned(nn.Identity())[1])  # features of other sites
    with pytest.raises(Unsupported, match="same sites"):
        planned(torch.add, 1.0, alpha=2)


def test_flattening_that_is_no_row():
    for args in ((), (0,), (1, 2)):
        with pytest.raises(Unsupported, match="flattens something other"):
            planned(torch.flatten, *args)
    _, x, output = planned(nn.Flatten())
    assert output is x  # rows are flat


@pytest.fixture(scope="session")
def series(one_convolution):
    """A backbone of every kind of layer, one after the other."""

    class Series(one_convolution):
        def __init__(self):
            super().__init__()
            self.norm1, self.norm2, self.norm3 = nn.BatchNorm1d(4), GraphBatchNorm(4), nn.BatchNorm2d(4)
            self.linear, self.act, self.drop = nn.Linear(4, 4), nn.Tanh(), nn.Dropout(0.5)
            self.voxels, self.basis2, self.conv2 = VoxelMaxPool((3, 4), self.sensor_size, 6.0), SplineBasis(2, 2), SplineConv(4, 4, 2, 2)

        def forward(self, batch):
            x = self.conv(batch.x, self.basis(batch.x, batch.edge_index, batch.edge_attr))
            y = F.relu(self.drop(x), inplace=True)  # drop gives x itself in evaluation, so that this changes it
            early = self.norm1(self.linear(y))
            late = self.norm2(self.act(self.linear(early)))
            x = early + late
            x = x + x + y
            same = x
            x += F.leaky_relu(late, 0.2)  # changes `same`, too
            x = self.drop(x)
            x = torch.relu(x) + same
            coarse = self.voxels(x, batch.pos[:, :2], batch.edge_index, batch.batch)
            x = F.elu(self.conv2(coarse.x, self.basis2(coarse.x, coarse.edge_index, coarse.edge_attr)))
            x = torch.add(coarse.x, x)
            return torch.sigmoid(self.norm3(self.pool(x, coarse.pos, coarse.batch, batch.num_graphs)))

    return Series


@pytest.mark.slow
def test_layers_in_a_network(series, classifier, rough):
    check_async_converter(classifier(series), rough(150, 3, (20, 16)))
    check_async_converter(classifier(series, eventzoo.representations.EventGraph()), rough(150, 4, (20, 16)), [Window(events=30)])


class Vector(ClassificationHead):
    """A head with a layer of its own between the map and the answer; all of them are one structure."""

    def __init__(self, flatten, dropout):
        super().__init__()
        self.flatten, self.dropout, self.hidden, self.linear = flatten, dropout, nn.Linear(24, 5), nn.Linear(5, 3)

    def forward(self, features):
        return self.linear(self.flatten(self.dropout(self.hidden(self.flatten(features)))))


@pytest.mark.parametrize("flatten", [
    nn.Flatten(),
    nn.Flatten(1, -1),
    lambda x: torch.flatten(x, 1),
    lambda x: torch.flatten(x, start_dim=1),
    lambda x: torch.flatten(input=x, start_dim=1, end_dim=-1),
    lambda x: x.flatten(1),
    lambda x: x.flatten(start_dim=1),
], ids=["nn", "nn to end", "torch", "start", "all named", "method", "method start"])  # fmt: skip
@pytest.mark.parametrize("dropout", [nn.Dropout(0.9), nn.Identity()], ids=["dropout", "identity"])
def test_heads_on_pooled_events(one_convolution, classifier, rough, flatten, dropout):
    model = classifier(one_convolution)
    model.head = Vector(flatten, dropout).eval()
    check_async_converter(model, rough(80, 5, (20, 16)), [Window(events=20, history=True)])
