import pytest
import torch
import torch.fx
from torch import nn

import eventzoo
from eventzoo.errors import EventZooError
from eventzoo.nn.backbone import Backbone
from eventzoo.nn.sparse import SparseBatchNorm
from eventzoo.specs import build, spec_of
from eventzoo.tasks.heads import ClassificationHead

DenseVGG, SparseVGG = eventzoo.backbones.DenseVGG, eventzoo.backbones.SparseVGG
both = pytest.mark.parametrize("backbone", [SparseVGG, DenseVGG])

NCARS, NCALTECH101, GEN1 = (120, 100), (240, 180), (304, 240)
TRUNK = ((16, 16), (32, 32), (64, 64), (128, 128), (256, 256))
VGG12, VGG13, DETECTOR = {}, {"stages": (*TRUNK, (512,)), "out_channels": 256}, {"stages": TRUNK, "out_channels": 256}


def parameters(*modules):
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


def randomised(network):
    """In evaluation, with weights and statistics as a trained network might have."""
    torch.manual_seed(0)
    for name, tensor in network.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 2)
        elif name.endswith(("running_mean", "bias")):
            tensor.normal_()
    return network.eval()


@both
@pytest.mark.parametrize(
    ("sensor_size", "settings", "classes", "published"),
    [
        (NCARS, VGG12, 2, 885_986),
        (NCARS, VGG12 | {"in_channels": 30}, 2, 890_018),
        (NCALTECH101, VGG13, 101, 3_695_685),
        (NCALTECH101, VGG13 | {"in_channels": 30}, 101, 3_699_717),
    ],
)
def test_the_published_number_of_parameters(backbone, sensor_size, settings, classes, published):
    network = backbone(sensor_size, **settings)
    assert parameters(network, ClassificationHead().connect(network, classes)) == published


@pytest.mark.parametrize(
    ("backbone", "out_channels", "sensor_size", "cells", "values", "published"),
    [
        (SparseVGG, 256, NCALTECH101, 35, 111, 14_928_141),
        (SparseVGG, 256, GEN1, 48, 12, 14_944_288),
        (DenseVGG, 512, NCALTECH101, 35, 111, 24_693_517),
        (DenseVGG, 512, GEN1, 48, 12, 28_117_536),
    ],
)
def test_the_published_number_of_parameters_of_detectors(backbone, out_channels, sensor_size, cells, values, published):
    """With two linear layers, of 1,024 features between them, to the values of each cell."""
    with torch.device("meta"):
        network = backbone(sensor_size, stages=TRUNK, out_channels=out_channels, map_size=(287, 223) if sensor_size == GEN1 else None)
        head = nn.Linear(out_channels * cells, 1024), nn.Linear(1024, cells * values)
    assert parameters(network, *head) == published


@both
@pytest.mark.parametrize(
    ("sensor_size", "settings", "map_size", "out_size"),
    [
        (NCARS, VGG12, (127, 95), (3, 2)),
        (NCALTECH101, VGG13, (255, 191), (3, 2)),
        (NCALTECH101, DETECTOR, (255, 191), (7, 5)),
        (GEN1, DETECTOR | {"map_size": (287, 223)}, (287, 223), (8, 6)),
        ((287, 223), DETECTOR, (287, 223), (8, 6)),
        ((1, 2000), {"stages": ((4,),)}, (3, 2001), (1, 1000)),  # of two sizes as near, the larger
        ((34, 34), {"stages": ((4,), (4,))}, (35, 35), (8, 8)),
    ],
)
def test_sizes(backbone, sensor_size, settings, map_size, out_size):
    with torch.device("meta"):
        network = backbone(sensor_size, **settings).eval()
        width, height = sensor_size
        features = network(torch.zeros(1, 2, height, width))
    assert (network.map_size, network.out_size, network.sensor_size) == (map_size, out_size, sensor_size)
    assert features.shape == (1, network.out_channels, *reversed(out_size))


def test_the_map_is_the_sensors_by_the_nearest_neighbour():
    """Of 4 columns that are made 3, the last goes; of 2 rows that are made 3, the first is there twice."""
    network, image = SparseVGG((4, 2), stages=((1,),), map_size=(3, 3)), torch.arange(1.0, 9).reshape(1, 1, 2, 4)
    assert network.resize(image)[0, 0].tolist() == [[1, 2, 3], [1, 2, 3], [5, 6, 7]]
    assert isinstance(SparseVGG((3, 3), stages=((1,),)).resize, nn.Identity)


@both
def test_a_sample_means_the_same_in_any_company(backbone, make_events):
    """Recordings of many events, of one and of none."""
    network, histogram = randomised(backbone(NCARS, stages=((4, 4), (8,), (8,)), out_channels=6)), eventzoo.representations.Histogram()
    images = [histogram(make_events(count, NCARS, seed=count)) for count in (800, 1, 0, 90)]
    together = network(histogram.collate(images))
    assert together.shape == (4, 6, *reversed(network.out_size))
    for row, image in enumerate(images):
        torch.testing.assert_close(together[row], network(histogram.collate([image]))[0])
    if backbone is SparseVGG:
        assert together[2].count_nonzero() == 0
        assert 0 < together[1].any(0).sum() <= 4  # of the cells, those whose windows cover the event


@both
def test_every_parameter_learns_and_nothing_becomes_nan(backbone, make_events):
    torch.manual_seed(0)
    network, histogram = backbone((34, 34), stages=((4, 4), (8,)), out_channels=6), eventzoo.representations.Histogram()

    def step(*counts):
        network.zero_grad()
        network(histogram.collate([histogram(make_events(count, seed=count)) for count in counts])).square().sum().backward()
        assert all(tensor.isfinite().all() for tensor in network.state_dict().values())
        return [parameter.grad for parameter in network.parameters()]

    assert all(gradient.abs().sum() > 0 for gradient in step(300, 200))
    for counts in ((0, 0), (1, 0), (1,), (2, 1)):
        assert all(gradient.isfinite().all() for gradient in step(*counts))


def test_where_every_pixel_is_active_sparse_is_dense():
    """But for the constants of their norms, which are set alike."""
    settings = {"stages": ((4, 4), (8,), (8, 6)), "out_channels": 5}
    sparse, dense = SparseVGG((40, 33), **settings), DenseVGG((40, 33), **settings)
    norms = [norm.module for norm in sparse.modules() if isinstance(norm, SparseBatchNorm)]
    for norm, other in zip(norms, (norm for norm in dense.modules() if isinstance(norm, nn.BatchNorm2d)), strict=True):
        assert (norm.eps, norm.momentum, other.eps, other.momentum) == (1e-4, 0.01, 1e-5, 0.1)
        norm.eps, norm.momentum = other.eps, other.momentum
    randomised(sparse)
    dense.load_state_dict(dict(zip(dense.state_dict(), sparse.state_dict().values(), strict=True)))
    image = torch.rand(3, 2, 33, 40) + 0.1
    for training in (True, False):  # with the statistics that the training left
        torch.testing.assert_close(sparse.train(training)(image), dense.train(training)(image), rtol=1e-4, atol=1e-5)
    for ours, theirs in zip(sparse.state_dict().values(), dense.state_dict().values(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    image[:, :, 5:25, 5:30] = 0
    assert (sparse(image) - dense.eval()(image)).abs().max() > 0.1


@both
def test_it_is_rebuilt_from_its_specification(backbone):
    network = randomised(backbone(GEN1, 3, stages=((4,), (5, 6)), out_channels=7, map_size=(151, 119)))
    specification = spec_of(network)
    assert specification["class_path"] == f"eventzoo.backbones.{backbone.__name__}"
    rebuilt = build(specification, Backbone)
    rebuilt.load_state_dict(network.state_dict())
    image = torch.rand(1, 3, 240, 304)
    assert torch.equal(rebuilt.eval()(image), network(image))


class LayerTracer(torch.fx.Tracer):
    def is_leaf_module(self, module, name):
        return not isinstance(module, eventzoo.backbones.SparseVGG | nn.Sequential)


def test_torch_fx_captures_it_layer_by_layer():
    """What asynchronous conversion starts from: one operation a layer, and the same answer."""
    network = randomised(SparseVGG((34, 34), stages=((4, 4), (8,)), out_channels=6))
    graph = LayerTracer().trace(network)
    called = [type(network.get_submodule(node.target)).__name__ for node in graph.nodes if node.op == "call_module"]
    conv = ["SubmanifoldConv2d", "SparseBatchNorm", "SparseReLU"]
    assert called == ["Upsample", "ToSparse", *conv, *conv, "SparseMaxPool2d", *conv, "SparseConv2d", *conv[1:], "ToDense"]
    image = torch.rand(2, 2, 34, 34).round()
    assert torch.equal(torch.fx.GraphModule(network, graph)(image), network(image))


@both
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"stages": ()}, "every stage has at least one convolution of at least 1 channel"),
        ({"stages": ((4,), ())}, "every stage has at least one convolution"),
        ({"stages": ((4, 0),)}, "at least 1 channel"),
        ({"out_channels": 0}, "at least 1 channel"),
        ({"map_size": (120, 100)}, r"halved 5 times are 63, 95, 127…; the nearest to \[120, 100\] is \[127, 95\]"),
        ({"map_size": (31, 95)}, r"the nearest to \[31, 95\] is \[63, 95\]"),
    ],
)
def test_nonsense_is_refused(backbone, settings, said):
    with pytest.raises(EventZooError, match=f"{backbone.__name__}: .*{said}"):
        backbone(NCARS, **settings)
