"""Sparse VGGs event by event: the answers are those of the synchronous network after every event."""

import numpy as np
import pytest
import torch

import eventzoo
from eventzoo.asynchronous import Window
from eventzoo.events import Events
from eventzoo.model import EventModel
from eventzoo.tasks.heads import YOLOHead
from eventzoo.testing import check_async_converter

VGG12 = ((16, 16), (32, 32), (64, 64), (128, 128), (256,))
VGG13 = ((16, 16), (32, 32), (64, 64), (128, 128), (256, 256), (512,))
DETECTOR = VGG13[:-1]


def moving(count, size, seed=0):
    """Events of a few edges that move over the sensor, and of noise."""
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(0, 50_000, count))
    edge = rng.integers(0, 5, count)
    start, speed, tilt = rng.uniform(0.1, 0.9, 5), rng.uniform(-0.2, 0.2, 5), rng.uniform(-0.3, 0.3, 5)
    along = rng.uniform(0, 1, count)
    across = start[edge] + speed[edge] * t / 50_000 + tilt[edge] * along + rng.normal(0, 0.005, count)
    noise = rng.random(count) < 0.02
    across[noise] = rng.random(noise.sum())
    x, y = (np.clip(share * side, 0, side - 1).astype(int) for share, side in zip((across, along), size, strict=True))
    return Events(x, y, t, rng.random(count) < 0.5, size)


@pytest.fixture(scope="module")
def small(classifier):
    """Makes models of a small VGG with another map than the sensor, all of one structure, which is compiled once."""

    def made(backbone="SparseVGG", representation="Histogram", size=(25, 18), stages=((4, 5), (6,)), **settings):
        representation = getattr(eventzoo.representations, representation)()
        network = getattr(eventzoo.backbones, backbone)(size, representation.channels, stages, **{"out_channels": 7, **settings})
        return classifier(network, representation)

    return made


def test_a_small_network(small):
    check_async_converter(small(), moving(300, (25, 18)), tolerance=1e-5)


@pytest.mark.slow
def test_a_small_dense_network(small):
    check_async_converter(small("DenseVGG"), moving(300, (25, 18)), tolerance=1e-5)


@pytest.mark.slow
def test_a_small_network_on_event_queues(small):
    check_async_converter(small(representation="EventQueue"), moving(300, (25, 18)), tolerance=1e-5)


def with_head(with_statistics, size, stages, out_channels, head, num_classes, **settings):
    torch.manual_seed(3)
    backbone = with_statistics(eventzoo.backbones.SparseVGG(size, 2, stages, out_channels, **settings))
    classes = [str(i) for i in range(num_classes)]
    return EventModel(eventzoo.representations.Histogram(), backbone, head.connect(backbone, num_classes), classes, size)


@pytest.mark.slow
@pytest.mark.parametrize("sliding", [False, True], ids=["growing", "sliding"])
@pytest.mark.parametrize(
    ("size", "stages", "out_channels", "head", "num_classes", "window"),
    [
        ((120, 100), VGG12, 128, None, 2, 4_000),
        ((240, 180), VGG13, 256, None, 101, 25_000),
        ((240, 180), DETECTOR, 256, "YOLOHead", 101, 25_000),
    ],
    ids=["VGG12", "VGG13", "detector"],
)
def test_the_published_sizes(with_statistics, size, stages, out_channels, head, num_classes, window, sliding):
    """Equal after every event, of those that come when the window is as full as in the paper."""
    head = eventzoo.tasks.heads.ClassificationHead() if head is None else YOLOHead(2, (7, 5), hidden_channels=1024)
    model = with_head(with_statistics, size, stages, out_channels, head, num_classes)
    events = moving(window + 60, size)
    stream = model.asynchronous(Window(events=window) if sliding else None, strict=True)
    stream.push(events[:window])
    for i in range(window, len(events)):
        stream.push(events[i : i + 1])
        expected = model.output(events[i + 1 - window if sliding else 0 : i + 1])
        np.testing.assert_allclose(stream.head_output(), expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    changes = np.abs(stream.push_each(events[-1:]) - expected)
    assert changes.max() > 0  # or there would have been nothing to follow
