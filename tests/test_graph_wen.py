import itertools

import pytest
import torch
import torch.fx

import eventzoo
from eventzoo.asynchronous import Window
from eventzoo.errors import EventZooError
from eventzoo.model import EventModel
from eventzoo.tasks.heads import ClassificationHead
from eventzoo.testing import check_async_converter


def small(**arguments):
    torch.manual_seed(0)
    defaults = {"sensor_size": (34, 34), "channels": (4, 5, 6, 7), "out_channels": 9, "kernel_size": 2, "pool_sizes": (3, 5, 9, 12)}
    return eventzoo.backbones.GraphWen(**{**defaults, **arguments})


@pytest.fixture
def batch_of(make_events):
    representation = eventzoo.representations.EventGraph(radius=4.0, time_scale=5e-5)
    return lambda *counts: representation.collate([representation(make_events(count, seed=count)) for count in counts])


def with_statistics(network):
    for name, buffer in network.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.1)
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5)
    return network.eval()


@pytest.mark.parametrize(("outputs", "parameters"), [(2, 12_239_234), (101, 12_290_021), ((101 + 5) * 48, 14_848_352)])
def test_the_original_number_of_parameters(outputs, parameters):
    with torch.device("meta"):
        backbone = eventzoo.backbones.GraphWen((240, 180))
        head = ClassificationHead(dropout=0.3).connect(backbone, outputs)
    assert sum(parameter.numel() for network in (backbone, head) for parameter in network.parameters()) == parameters


@pytest.mark.parametrize("settings", [{}, {"kernel_size": 4}, {"coarse_positions": "centre"}, {"in_channels": 1, "channels": (1, 2, 1, 3)}])
def test_a_sample_means_the_same_in_any_company(batch_of, settings):
    network = with_statistics(small(**settings))
    together = network(batch_of(300, 1, 0, 150))
    assert together.shape == (4, network.out_channels)
    for row, count in enumerate((300, 1, 0, 150)):
        torch.testing.assert_close(together[row], network(batch_of(count))[0], rtol=1e-4, atol=1e-5)
    assert torch.equal(together[2], network.linear.bias)


@pytest.mark.parametrize("counts", [(200, 300), (1,), (0, 0), (0, 5)])
def test_every_parameter_learns_and_nothing_becomes_nan(batch_of, counts):
    network = small()
    network(batch_of(*counts)).square().sum().backward()
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert all(buffer.isfinite().all() for buffer in network.buffers())
    if counts == (200, 300):
        assert all(gradient.abs().sum() > 0 for gradient in gradients)
        assert len(gradients) == len(list(network.parameters()))


def literal(network, graph):
    """The network of the docstring for one graph, node by node and edge by edge, in float64."""
    x, pos, edges, offsets = graph.x.double(), graph.pos.double(), graph.edge_index.T.tolist(), graph.edge_attr.double()
    for conv, norm, pool, side in zip(network.convs, network.norms, network.pools, (3, 5, 9, 12), strict=True):
        rows = []
        for node in range(len(x)):
            incoming = [(j, u) for (j, target), u in zip(edges, offsets, strict=True) if target == node]
            y = conv.bias + conv.root.weight @ x[node]
            for j, u in incoming:
                for corner in itertools.product((0, 1), repeat=3):
                    weight = torch.stack([u[d] if bit else 1 - u[d] for d, bit in enumerate(corner)]).prod()
                    y = y + weight * (x[j] @ conv.weight[sum(bit << d for d, bit in enumerate(corner))]) / len(incoming)
            y = torch.where(y > 0, y, y.exp() - 1)
            rows.append((y - norm.module.running_mean) / (norm.module.running_var + norm.module.eps).sqrt())
        x = torch.stack(rows)  # the norms' factors are still 1, and what they add is 0
        voxel = [(int(y // side), int(x // side)) for x, y, _ in pos.tolist()]
        names = sorted(set(voxel))
        members = [[node for node, name in enumerate(voxel) if name == own] for own in names]
        x = torch.stack([x[own].amax(0) for own in members])
        if pool.positions == "mean":
            pos = torch.stack([pos[own].mean(0) for own in members])
        else:
            places = [[min(side * column + side / 2, 33), min(side * row + side / 2, 33), 0] for row, column in names]
            pos = pos.new_tensor(places)
        edges = sorted({(names.index(voxel[j]), names.index(voxel[i])) for j, i in edges if voxel[j] != voxel[i]})
        offsets = [((pos[j] - pos[i]) / (2 * 2 * side) + 0.5).clamp(0, 1) for j, i in edges]
    cells = x.new_zeros(x.shape[1], 2, 2)
    for row, column in itertools.product(range(2), repeat=2):
        inside = [n for n, (px, py, _) in enumerate(pos.tolist()) if (int(px // 17), int(py // 17)) == (column, row)]
        if inside:
            cells[:, row, column] = x[inside].amax(0)
    return network.linear(cells.flatten())


@pytest.mark.parametrize("positions", ["mean", "centre"])
@pytest.mark.parametrize("causal", [True, False])
def test_equals_the_network_written_out(make_events, causal, positions):
    representation = eventzoo.representations.EventGraph(radius=4.0, time_scale=5e-5, causal=causal)
    graph = representation(make_events(60, seed=3))
    network = with_statistics(small(coarse_positions=positions))
    found = network(representation.collate([graph]))[0]
    with torch.no_grad():
        torch.testing.assert_close(found.double(), literal(network.double(), graph), rtol=1e-4, atol=1e-5)


class LayerTracer(torch.fx.Tracer):
    def is_leaf_module(self, module, name):
        return not isinstance(module, eventzoo.backbones.GraphWen)


def test_torch_fx_captures_it_layer_by_layer(batch_of):
    network = with_statistics(small())
    graph = LayerTracer().trace(network)
    called = [node.target for node in graph.nodes if node.op == "call_module"]
    blocks = [("basis", f"convs.{i}", f"norms.{i}", f"pools.{i}") for i in range(4)]
    assert called == [*itertools.chain(*blocks), "map", "linear"]
    batch = batch_of(200, 30)
    assert torch.equal(torch.fx.GraphModule(network, graph)(batch), network(batch))


@pytest.mark.slow
@pytest.mark.parametrize(("causal", "positions"), [(True, "mean"), (True, "centre"), (False, "mean")])
def test_event_by_event_it_answers_the_same(make_events, causal, positions):
    backbone = with_statistics(small(coarse_positions=positions))
    representation = eventzoo.representations.EventGraph(radius=4.0, max_neighbors=8, time_scale=5e-5, causal=causal)
    model = EventModel(representation, backbone, ClassificationHead(dropout=0.3).connect(backbone, 3), ["a", "b", "c"], (34, 34))
    check_async_converter(model, make_events(200))
    check_async_converter(model, make_events(300, seed=1), [Window(events=50)])


@pytest.mark.parametrize(
    "settings",
    [{"channels": (1, 2, 3)}, {"channels": (1, 2, 3, 0)}, {"pool_sizes": (4, 8)}, {"kernel_size": 1}, {"coarse_positions": "median"}],
)
def test_nonsense_is_refused(settings):
    with pytest.raises(EventZooError, match="GraphWen: "):
        small(**settings)
