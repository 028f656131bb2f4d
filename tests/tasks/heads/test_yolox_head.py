import math
import os
import subprocess
import sys

import numpy as np
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
    optimizer = torch.optim.Adam(head.parameters(), 0.01)
    for _ in range(80):
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


def box_at_a_cell(size):
    """An output that puts a box of a size, in cells, around the centre of cell (2, 1); all others are of no size and surely nothing."""
    output = torch.full((1, 8, 4, 5), -30.0)
    output[0, :, 1, 2] = torch.tensor([0.5, 0.5, *np.log(size), 0, 0, 0, 0])
    return output


def test_the_loss_of_one_box_by_hand(head, boxes_of):
    """The target is the cell (2, 1), 20×15 pixels; the box found there is half as wide."""
    output = box_at_a_cell([0.5, 1.0])
    terms = head.loss(output, [boxes_of((40, 15, 60, 30, 1))])
    expected = {"box": 5 * (1 - 0.5**2), "objectness": math.log(2), "class": 3 * math.log(2)}
    assert {name: float(term) for name, term in terms.items()} == pytest.approx(expected, rel=1e-5)


def test_a_right_answer_costs_nothing(head, boxes_of):
    output = box_at_a_cell([1.0, 1.0])
    output[0, 4:, 1, 2] = torch.tensor([30.0, -30.0, 30.0, -30.0])
    assert float(sum(head.loss(output, [boxes_of((40, 15, 60, 30, 1))]).values())) < 1e-5


def test_a_target_is_for_the_cell_whose_centre_it_covers(head, boxes_of):
    """No box is better than another, so that the place alone decides."""
    output = torch.full((1, 8, 4, 5), -30.0)
    output[:, 4:] = 0
    head.loss(output.requires_grad_(), [boxes_of((24, 19, 36, 26, 1))])["class"].backward()
    assert output.grad[0, 5:].abs().sum(0).nonzero().tolist() == [[1, 1]]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_gives_the_same(head, batch):
    output = torch.randn(3, 8, 4, 5)
    there = output.cuda().requires_grad_()
    terms = head.loss(there, batch)
    sum(terms.values()).backward()
    expected = head.loss(output.requires_grad_(), batch)
    sum(expected.values()).backward()
    torch.testing.assert_close({name: term.cpu() for name, term in terms.items()}, expected)
    torch.testing.assert_close(there.grad.cpu(), output.grad)
    torch.testing.assert_close([found.cpu() for found in head.candidates(there)], list(head.candidates(output)))


def test_scores_move_no_box(head, batch):
    output = torch.randn(3, 8, 4, 5, requires_grad=True)
    terms = head.loss(output, batch)
    (terms["objectness"] + terms["class"]).backward()
    assert output.grad[:, 4:].count_nonzero() > 0
    assert output.grad[:, :4].count_nonzero() == 0


def test_losses_are_computed_in_full_precision(head, batch):
    features = torch.randn(3, 4, 4, 5)
    with torch.autocast("cpu", torch.bfloat16):
        output = head(features)
        terms = head.loss(output, batch)
    assert output.dtype == torch.bfloat16
    torch.testing.assert_close(terms, head.loss(output.float(), batch), rtol=0, atol=0)
    assert {term.dtype for term in terms.values()} == {torch.float32}


PROCESS = """
import sys, torch, torch.distributed
from eventzoo.tasks.heads import YOLOXHead
import eventzoo
folder, rank = sys.argv[1], int(sys.argv[2])
torch.distributed.init_process_group("gloo", f"file://{folder}/rendezvous", rank=rank, world_size=2)
head = YOLOXHead(channels=8, depth=1).connect(eventzoo.backbones.AEGNN(sensor_size=(100, 60), out_size=(5, 4)), 3)
results = []
for output, boxes in torch.load(f"{folder}/batches", weights_only=False):
    share = slice(0, 2) if rank == 0 else slice(2, 4)
    mine = output[share].requires_grad_()
    terms = head.loss(mine, boxes[share])
    sum(terms.values()).backward()
    results.append((terms, mine.grad))
if rank == 0:
    head.eval().loss(mine, boxes[share])  # without the other
torch.save(results, f"{folder}/{rank}")
"""


@pytest.mark.slow
def test_two_processes_lose_what_one_does_with_the_whole_batch(head, batch, boxes_of, tmp_path):
    one = [boxes_of(), boxes_of(), boxes_of(), boxes_of((0, 0, 9, 9, 0))]
    batches = [(torch.randn(4, 8, 4, 5), boxes) for boxes in ([*batch, boxes_of()], one, [boxes_of()] * 4)]
    torch.save(batches, tmp_path / "batches")
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo"}
    processes = [subprocess.Popen([sys.executable, "-c", PROCESS, str(tmp_path), str(rank)], env=environment) for rank in (0, 1)]
    assert [process.wait(300) for process in processes] == [0, 0]
    shares = [torch.load(tmp_path / str(rank), weights_only=False) for rank in (0, 1)]
    for (output, boxes), (terms, gradient), (others, other_gradient) in zip(batches, *shares, strict=True):
        whole = head.loss(output.requires_grad_(), boxes)
        sum(whole.values()).backward()
        torch.testing.assert_close({name: (terms[name] + others[name]) / 2 for name in whole}, whole)
        torch.testing.assert_close(torch.cat([gradient, other_gradient]) / 2, output.grad)
