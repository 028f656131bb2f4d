import math

import pytest
import torch
from torch import fx

from eventzoo.errors import EventZooError
from eventzoo.specs import build, spec_of
from eventzoo.tasks.box_ops import paired_iou
from eventzoo.tasks.heads import DetectionHead, YOLOXHead


@pytest.fixture
def batch(boxes_of):
    return [
        boxes_of((10, 10, 40, 50, 1), (50, 5, 95, 30, 0)),
        boxes_of(),
        boxes_of((0, 0, 100, 60, 2), (7, 7, 7, 7, 0), (100, 60, 100, 60, 1)),
    ]


@pytest.fixture
def head(given):
    torch.manual_seed(0)
    return YOLOXHead(channels=8, depth=1).connect(given(), 3)


def test_cells_are_decoded(head):
    output = torch.full((1, 8, 4, 5), -50.0)  # boxes of no size
    output[0, :, 2, 1] = torch.tensor([0.5, 0.25, math.log(1.5), 0.0, 0.0, math.log(3), -50, 0.0])
    boxes, scores = head.candidates(output)
    # cells of 20×15 pixels: centre (30, 33.75), 30 wide, 15 high
    torch.testing.assert_close(boxes[0, 11], torch.tensor([15.0, 26.25, 45.0, 41.25]))
    torch.testing.assert_close(scores[0, 11], torch.tensor([0.375, 0.0, 0.25]))
    assert boxes.shape == (1, 20, 4)
    found = head.detections(output, ["car", "bus", "tram"])[0]
    assert (found.labels, found.boxes.tolist()) == (("car",), [[15.0, 26.25, 45.0, 41.25]])
    alone = head.result(output[0].numpy(), ["car", "bus", "tram"])
    assert (alone.scores == found.scores).all()
    assert alone.class_ids.tolist() == [0]


def test_sizes_neither_overflow_nor_lose_their_gradient(head, batch):
    output = torch.full((1, 8, 4, 5), 60_000.0, dtype=torch.float16, requires_grad=True)
    loss = sum(head.loss(output, batch[:1]).values())
    loss.backward()
    assert loss.isfinite()
    assert loss.dtype == torch.float32
    assert output.grad.isfinite().all()
    large = torch.full((1, 8, 4, 5), 3.0, requires_grad=True)
    boxes, _ = head._decoded(large)[:2]
    (boxes[..., 2] - boxes[..., 0]).sum().backward()
    torch.testing.assert_close(large.grad[:, 2], torch.full((1, 4, 5), 100.0))  # the tangent at the width of the map


@pytest.mark.parametrize("empty", [False, True])
def test_gradients_are_finite_with_and_without_boxes(head, batch, boxes_of, empty):
    features = torch.randn(3, 4, 4, 5, requires_grad=True)
    terms = head.loss(head(features), [boxes_of()] * 3 if empty else batch)
    sum(terms.values()).backward()
    assert set(terms) == {"box", "objectness", "class"}
    gradients = [features.grad, *(parameter.grad for parameter in head.parameters())]
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert features.grad.abs().sum() > 0


def test_one_sample_is_learnt(head, batch):
    features, boxes = torch.randn(1, 4, 4, 5), batch[:1]
    optimizer = torch.optim.Adam(head.parameters(), 0.02)
    for _ in range(120):
        optimizer.zero_grad()
        sum(head.loss(head(features), boxes).values()).backward()
        optimizer.step()
    found = head.detections(head(features), ["a", "b", "c"])[0]
    assert sorted(found.class_ids.tolist()) == [0, 1]
    expected = boxes[0].xyxy[[1, 0] if found.class_ids[0] == 0 else [0, 1]]
    assert (paired_iou(torch.tensor(found.boxes), torch.tensor(expected)) > 0.8).all()


def test_forward_is_made_of_layers(head):
    features = torch.randn(2, 4, 4, 5)
    traced = fx.symbolic_trace(head)
    assert {node.op for node in traced.graph.nodes} == {"placeholder", "call_module", "call_function", "output"}
    assert [node.target for node in traced.graph.nodes if node.op == "call_function"] == [torch.cat]
    torch.testing.assert_close(traced(features), head(features))


def test_a_head_is_rebuilt_from_its_specification(given):
    head = YOLOXHead(channels=16, nms_iou=0.7)
    rebuilt = build(spec_of(head), DetectionHead)
    assert (rebuilt.channels, rebuilt.depth, rebuilt.nms_iou, rebuilt.score_threshold) == (16, 2, 0.7, 0.3)
    names = rebuilt.connect(given(), 3).state_dict().keys()
    assert names == head.connect(given(), 3).state_dict().keys()
    assert {"stem.0.weight", "class_branch.1.1.running_mean", "class_prediction.bias", "box_prediction.weight"} < set(names)


def test_scores_begin_at_their_prior(head):
    torch.testing.assert_close(head.class_prediction.bias, torch.full((3,), math.log(0.01 / 0.99)))
    assert head.box_prediction.bias[4] == head.class_prediction.bias[0]


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda given: YOLOXHead().connect(given(out_size=None), 3), "YOLOHead"),
        (lambda given: YOLOXHead().connect(given(sensor_size=None), 3), "sensor_size"),
        (lambda given: YOLOXHead(channels=0), "channels"),
        (lambda given: YOLOXHead(score_threshold=2), "score_threshold"),
    ],
)
def test_what_cannot_be_is_refused(given, made, said):
    with pytest.raises(EventZooError, match=said):
        made(given)
