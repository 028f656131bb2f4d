"""A training step of AEGNN in mixed precision, beside the same step in float32."""

import pytest
import torch

import eventzoo
from eventzoo.nn.spline_conv import SplineConv, SplineEdges
from eventzoo.tasks.heads import ClassificationHead


@pytest.fixture(scope="module")
def batch():
    dataset, representation = eventzoo.datasets.MovingShapes(size=4), eventzoo.representations.EventGraph(max_neighbors=8)
    return representation.collate([representation(dataset[i].events[:400]) for i in range(4)])


@pytest.mark.parametrize("kernel_size", [2, 8])
@pytest.mark.parametrize("positions", ["mean", "centre"])
def test_a_step_is_near_that_in_float32(batch, kernel_size, positions):
    torch.manual_seed(0)
    backbone = eventzoo.backbones.AEGNN(
        sensor_size=eventzoo.datasets.MovingShapes.sensor_size, kernel_size=kernel_size, coarse_positions=positions
    )
    network = torch.nn.Sequential(backbone, ClassificationHead().connect(backbone, 3))

    def step(enabled):
        network.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            loss = torch.nn.functional.cross_entropy(network(batch), torch.arange(4) % 3)
        loss.backward()
        assert all(parameter.grad.isfinite().all() for parameter in network.parameters())
        return loss.detach().float(), torch.cat([parameter.grad.flatten() for parameter in network.parameters()])

    loss, gradient = step(enabled=False)
    mixed_loss, mixed_gradient = step(enabled=True)
    assert mixed_loss != loss  # something was computed in bfloat16
    torch.testing.assert_close(mixed_loss, loss, rtol=0.02, atol=0.02)
    assert (mixed_gradient - gradient).norm() < 0.1 * gradient.norm()


@pytest.mark.parametrize("kernel_size", [2, 4])
@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_features_of_half_precision_are_convolved_in_float32(kernel_size, half):
    torch.manual_seed(0)
    edges = SplineEdges(torch.randint(0, 9, (2, 40)), torch.rand(40, 3), 9, kernel_size)
    conv, x = SplineConv(4, 5, 3, kernel_size, root_weight=False), torch.randn(9, 4).to(half).requires_grad_()
    with torch.autocast("cpu", half):
        out = conv(x, edges)
        out.sum().backward()  # also within autocast, where it does not belong
    assert out.dtype == torch.float32
    assert x.grad.dtype == half
    torch.testing.assert_close(out, conv(x.float(), edges))
