import itertools

import pytest
import torch
import torch.fx
from hypothesis import given, settings
from hypothesis import strategies as st

import eventzoo
from eventzoo.errors import EventZooError
from eventzoo.tasks.heads import ClassificationHead


def small(**arguments):
    torch.manual_seed(0)
    return eventzoo.backbones.AEGNN(**{"sensor_size": (34, 34), "pool_size": (5, 5), **arguments})


@pytest.fixture(scope="session")
def batch_of(make_events):
    representation = eventzoo.representations.EventGraph(radius=4.0, time_scale=5e-5, causal=True)
    return lambda *counts: representation.collate([representation(make_events(count, seed=count)) for count in counts])


def randomised_norms(network):
    for name, buffer in network.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_()
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 2)
    return network.eval()


@pytest.mark.parametrize(
    "settings",
    [{}, {"dim": 2}, {"kernel_size": 8}, {"bias": False, "root_weight": False}, {"out_size": (3, 2)}, {"coarse_positions": "centre"}],
)
def test_a_sample_means_the_same_in_any_company(batch_of, settings):
    network = randomised_norms(small(**settings))
    together = network(batch_of(300, 1, 0, 150))
    assert together.shape == (4, network.out_channels, *reversed(network.out_size))
    for row, count in enumerate((300, 1, 0, 150)):
        torch.testing.assert_close(together[row], network(batch_of(count))[0], rtol=1e-4, atol=1e-5)
    assert together[2].abs().max() == 0


NCARS, NCALTECH101, GEN1 = (120, 100), (240, 180), (304, 240)
LARGE = {"channels": (16, 32, 32, 32, 128, 128, 128), "kernel_size": 8}


@pytest.mark.parametrize(
    ("sensor_size", "dim", "settings", "outputs", "plain", "trained"),
    [
        (NCARS, 3, {}, 2, 26_992, 30_354),
        (NCARS, 3, {}, (2 + 5) * 48, 198_000, 201_696),
        (NCALTECH101, 3, LARGE, 101, 20_401_120, 20_441_157),
        (NCALTECH101, 3, LARGE, (101 + 5) * 48, 30_614_496, 30_659_520),
        (GEN1, 3, LARGE, 2, 20_198_368, 20_238_306),
        (GEN1, 3, LARGE, (2 + 5) * 48, 20_882_400, 20_922_672),
        (NCARS, 2, {}, 2, 14_160, 17_522),
        (NCALTECH101, 2, LARGE, 101, 2_732_000, 2_772_037),
        (NCALTECH101, 2, LARGE, (101 + 5) * 48, 12_945_376, 12_990_400),
        (GEN1, 2, LARGE, (2 + 5) * 48, 3_213_280, 3_253_552),
        (NCALTECH101, 3, {}, 101, 77_680, 81_141),
    ],
)
def test_the_original_number_of_parameters(sensor_size, dim, settings, outputs, plain, trained):
    """Counts of the original networks, without and with bias and root weight. Our linear layer always has a bias."""

    def count(**more):
        with torch.device("meta"):
            backbone = small(sensor_size=sensor_size, dim=dim, pool_size=(16, 12), **settings, **more)
            head = ClassificationHead().connect(backbone, outputs)
        return sum(parameter.numel() for network in (backbone, head) for parameter in network.parameters())

    assert count(bias=False, root_weight=False) == plain + outputs
    assert count() == trained


widths = st.integers(1, 9)


@given(widths, widths, widths, widths, widths, widths, st.integers(2, 4), st.sampled_from([2, 3]), st.booleans(), st.booleans())
@settings(max_examples=25, deadline=None)
def test_every_width(batch_of, inputs, first, second, third, fourth, sixth, kernel_size, dim, bias, root):
    channels = (first, second, third, second, fourth, sixth, fourth)
    shape = {"channels": channels, "kernel_size": kernel_size, "dim": dim, "bias": bias, "root_weight": root}
    network = small(in_channels=inputs, **shape)
    batch = batch_of(60, 30)
    batch.x = torch.randn(90, inputs)
    features = network(batch)
    assert features.shape == (2, fourth, 4, 4)
    features.square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())
    products = sum(a * b for a, b in itertools.pairwise((inputs, *channels)))
    expected = (kernel_size**dim + root) * products + (2 + bias) * sum(channels)
    assert sum(parameter.numel() for parameter in network.parameters()) == expected


@pytest.mark.parametrize("counts", [(200, 300), (1,), (1, 1), (0, 0), (0, 5)])
def test_every_parameter_learns_and_nothing_becomes_nan(batch_of, counts):
    network = small()
    network(batch_of(*counts)).square().sum().backward()
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert all(buffer.isfinite().all() for buffer in network.buffers())
    if counts == (200, 300):
        assert all(gradient.abs().sum() > 0 for gradient in gradients)
        assert len(gradients) == len(list(network.parameters()))


def test_an_event_changes_nothing_before_it(make_events):
    """Causal: the features of the first events are the same whatever follows."""
    representation, network = eventzoo.representations.EventGraph(radius=4.0, time_scale=5e-5, causal=True), randomised_norms(small())
    found = {}
    network.norm5.register_forward_hook(lambda module, args, output: found.update(x=output))
    events = make_events(400)
    network(representation.collate([representation(events)]))
    whole = found["x"]
    network(representation.collate([representation(events[:150])]))
    torch.testing.assert_close(found["x"], whole[:150])


def literal_aegnn(network, graph):
    """The network of the docstring for one graph, node by node and edge by edge, in float64."""

    def convolve(i, x, edges, offsets):
        conv, norm = getattr(network, f"conv{i}"), getattr(network, f"norm{i}").module
        out = []
        for node in range(len(x)):
            incoming = [(j, u) for (j, target), u in zip(edges, offsets, strict=True) if target == node]
            y = conv.bias + conv.root.weight @ x[node]
            for j, u in incoming:
                for corner in itertools.product((0, 1), repeat=3):
                    weight = torch.stack([u[d] if bit else 1 - u[d] for d, bit in enumerate(corner)]).prod()
                    y = y + weight * (x[j] @ conv.weight[sum(bit << d for d, bit in enumerate(corner))]) / len(incoming)
            y = torch.where(y > 0, y, y.exp() - 1)
            out.append((y - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias)
        return torch.stack(out)

    pos, edges, offsets = graph.pos.double(), graph.edge_index.T.tolist(), graph.edge_attr.double()
    x = convolve(1, graph.x.double(), edges, offsets)
    skip = x = convolve(2, x, edges, offsets)
    x = convolve(4, convolve(3, x, edges, offsets), edges, offsets) + skip
    x = convolve(5, x, edges, offsets)

    voxel = [(int(y // 5), int(x // 5)) for x, y, _ in pos.tolist()]
    names = sorted(set(voxel))
    members = [[node for node, name in enumerate(voxel) if name == own] for own in names]
    skip = torch.stack([x[rows].amax(0) for rows in members])
    if network.pool5.positions == "mean":
        pos = torch.stack([pos[rows].mean(0) for rows in members])
    else:
        pos = pos.new_tensor([[5 * column + 2.5, 5 * row + 2.5, 0] for row, column in names])
    edges = sorted({(names.index(voxel[j]), names.index(voxel[i])) for j, i in edges if voxel[j] != voxel[i]})
    offsets = [(pos[j] - pos[i]) / (2 * 10) + 0.5 for j, i in edges]  # twice a voxel of 5 pixels
    x = convolve(7, convolve(6, skip, edges, offsets), edges, offsets) + skip

    cells = x.new_zeros(x.shape[1], 4, 4)
    for row in range(4):
        for column in range(4):
            inside = [n for n, (px, py, _) in enumerate(pos.tolist()) if (int(px // 8.5), int(py // 8.5)) == (column, row)]
            if inside:
                cells[:, row, column] = x[inside].amax(0)
    return cells


@pytest.mark.parametrize("positions", ["mean", "centre"])
@pytest.mark.parametrize("causal", [True, False])
def test_equals_the_network_written_out(make_events, causal, positions):
    representation = eventzoo.representations.EventGraph(radius=4.0, time_scale=5e-5, causal=causal)
    graph = representation(make_events(60, seed=3))
    assert graph.num_edges > 30
    network = randomised_norms(small(channels=(3, 4, 4, 4, 5, 5, 5), coarse_positions=positions))
    found = network(representation.collate([graph]))[0]
    with torch.no_grad():
        torch.testing.assert_close(found.double(), literal_aegnn(network.double(), graph), rtol=1e-4, atol=1e-5)


class LayerTracer(torch.fx.Tracer):
    def is_leaf_module(self, module, name):
        return not isinstance(module, eventzoo.backbones.AEGNN)


def test_torch_fx_captures_it_layer_by_layer(batch_of):
    """What asynchronous conversion starts from: one operation a layer, and the same answer."""
    network = randomised_norms(small())
    graph = LayerTracer().trace(network)
    called = [node.target for node in graph.nodes if node.op == "call_module"]
    convolutions = [f"{kind}{i}" for i in range(1, 6) for kind in ("conv", "norm")]
    assert called == ["basis", *convolutions, "pool5", "basis", "conv6", "norm6", "conv7", "norm7", "pool7"]
    batch = batch_of(200, 30)
    assert torch.equal(torch.fx.GraphModule(network, graph)(batch), network(batch))


@pytest.mark.parametrize(
    "settings",
    [
        {"channels": (1, 2, 3, 4, 5, 6, 7)},
        {"channels": (4, 4, 4, 4)},
        {"channels": (4, 4, 0, 4, 4, 4, 4)},
        {"kernel_size": 1},
        {"dim": 4},
        {"coarse_positions": "median"},
    ],
)
def test_nonsense_is_refused(settings):
    with pytest.raises(EventZooError, match="AEGNN: "):
        small(**settings)
