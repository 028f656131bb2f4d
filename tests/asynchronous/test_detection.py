"""Detectors event by event: the head's output and the boxes of the synchronous network."""

import itertools

import numpy as np
import pytest
import torch

import eventzoo
from eventzoo.asynchronous import Window
from eventzoo.events import Events
from eventzoo.model import EventModel
from eventzoo.nn.pool import GridMaxPool
from eventzoo.tasks.heads import YOLOHead, YOLOXHead
from eventzoo.tasks.results import Detections
from eventzoo.testing import check_async_converter, synchronous_output

pytestmark = pytest.mark.slow  # a network has to be compiled

SIZE = (20, 16)
CLASSES = ("cup", "hand")


@pytest.fixture(scope="session")
def detector(with_statistics):
    """Makes a detector of two classes of a backbone and a head."""

    def made(backbone, head, causal=True, max_neighbors=8):
        torch.manual_seed(1)
        representation = eventzoo.representations.EventGraph(max_neighbors=max_neighbors, causal=causal)
        head = head.connect(backbone, len(CLASSES))
        return EventModel(representation, with_statistics(backbone), with_statistics(head), CLASSES, backbone.sensor_size)

    return made


@pytest.fixture(scope="session")
def small(one_convolution, detector):
    """Makes the least backbone with YOLOX' head of a convolution a branch; all of them are one structure, which is compiled once."""

    def made(causal=True, cells=(3, 2), **settings):
        torch.manual_seed(0)
        backbone = one_convolution()
        backbone.out_size, backbone.pool = cells, GridMaxPool(cells, SIZE)
        return detector(backbone, YOLOXHead(channels=5, depth=1, score_threshold=0.0, **settings), causal)

    return made


@pytest.mark.parametrize("causal", [True, False])
def test_a_yolox_head(small, rough, causal):
    check_async_converter(small(causal, cells=(5, 4)), rough(60, 1, SIZE))


def test_a_yolox_head_on_a_column_of_cells(small, rough):
    check_async_converter(small(cells=(1, 3)), rough(60, 2, SIZE), [Window(events=20)])


def test_a_yolo_head(aegnn, rough):
    """It is of the layers of a classifier, so that nothing is compiled for it."""
    model = aegnn(causal=True)
    model.head = YOLOHead(num_boxes=2, grid=(4, 3)).connect(model.backbone, 3).eval()
    check_async_converter(model, rough(60, 2), [Window(), Window(events=20), Window(microseconds=2_000, history=True)])
    stream = model.asynchronous(strict=True)
    assert stream.push_each(rough(7)).shape == (7, 4 * 3 * 2 * (5 + 3))
    assert isinstance(stream.output(), Detections)


@pytest.mark.parametrize(("causal", "boxes"), [(True, 1), (False, 2)])
def test_every_window_with_a_yolo_head(aegnn, rough, causal, boxes):
    model = aegnn(causal)
    model.head = YOLOHead(num_boxes=boxes, grid=(4, 3)).connect(model.backbone, 3).eval()
    check_async_converter(model, rough(200, 2))


def test_every_aegnn_with_a_yolox_head(detector, rough):
    """Every second combination of the settings, in which each two of them meet in every way."""
    choices = itertools.product(enumerate((True, False)), enumerate(("mean", "centre")), enumerate((8, None)), enumerate((4, 9)))
    for number, combination in enumerate(combination for combination in choices if sum(which for which, _ in combination) % 2 == 0):
        causal, positions, most, branches = (choice for _, choice in combination)
        torch.manual_seed(number)
        settings = {"sensor_size": (34, 34), "pool_size": (5, 5), "channels": (4, 8, 8, 8, 8, 8, 8), "out_size": (6, 7)}
        backbone = eventzoo.backbones.AEGNN(**settings, coarse_positions=positions)
        check_async_converter(detector(backbone, YOLOXHead(channels=branches), causal, most), rough(200, number), seed=number)


def same_boxes(found, expected):
    """The detections are equal to rounding."""
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.boxes, expected.boxes, rtol=1e-4, atol=1e-3)
    assert found.labels == expected.labels


@pytest.mark.parametrize("window", [Window(), Window(events=40), Window(microseconds=3_000), Window(events=40, history=True)], ids=str)
def test_boxes(small, rough, window):
    model, events = small(max_detections=3), rough(150, 4, SIZE)
    stream = model.asynchronous(window, strict=True)
    nothing = stream.output()
    same_boxes(nothing, model.predict(Events.empty(SIZE)))
    for first in range(0, len(events), 50):
        found = stream.push(events[first : first + 50])
        assert isinstance(found, Detections)
        assert 0 < len(found) <= 3
        same_boxes(found, model.result(synchronous_output(model, events[: first + 50], window)))
        if not window.history:
            same_boxes(found, stream.synchronous())
    if window.microseconds:
        same_boxes(stream.advance(int(events.t[-1]) + 3_000), nothing)


def test_the_heads_output_after_each_event(small, rough):
    model, events = small(), rough(60, 5, SIZE)
    stream = model.asynchronous(strict=True)
    outputs = stream.push_each(events)
    assert outputs.shape == (60, 5 + len(CLASSES), 2, 3)
    assert outputs.dtype == np.float32
    for count in (1, 30, 60):
        np.testing.assert_allclose(outputs[count - 1], model.output(events[:count]), rtol=0, atol=1e-5)
    np.testing.assert_array_equal(outputs[-1], stream.head_output())
    assert stream.push_each(events[:0]).shape == (0, 7, 2, 3)


@pytest.mark.parametrize("cells", [(3, 2), (1, 1)])
def test_answers_stay_as_they_were(small, rough, cells):
    """Also where the map as the head returns it lies in memory as the network has it."""
    events, stream = rough(100, 6, SIZE), small(cells=cells).asynchronous()
    result, output = stream.push(events[:50]), stream.head_output()
    before = result.boxes.copy(), output.copy()
    later = stream.push(events[50:])
    assert not np.array_equal(stream.head_output(), output)
    assert not np.array_equal(later.boxes, result.boxes)
    np.testing.assert_array_equal(result.boxes, before[0])
    np.testing.assert_array_equal(output, before[1])


def test_boxes_are_read_again_only_where_the_output_changed(small, rough, monkeypatch):
    stream, events = small().asynchronous(Window(microseconds=1_000)), rough(20, 7, SIZE)
    read = []
    exact = EventModel.result
    monkeypatch.setattr(EventModel, "result", lambda self, output: read.append(output) or exact(self, output))
    first = stream.push(events)
    assert stream.push(events[:0]) is stream.output() is first
    assert len(read) == 1
    nothing = stream.advance(int(events.t[-1]) + 1_000)
    assert nothing is not first
    stream.reset()
    assert stream.output() is nothing
    assert len(read) == 2
