import numpy as np
import pytest
import torch
from torch import fx

from eventzoo.errors import EventZooError
from eventzoo.specs import build, spec_of
from eventzoo.tasks.box_ops import paired_iou
from eventzoo.tasks.heads import DetectionHead, YOLOHead

SAID = 8  # numbers of a box, with three classes


@pytest.fixture
def batch(boxes_of):
    return [
        boxes_of((10, 10, 40, 50, 1), (50, 5, 95, 30, 0), (51, 6, 96, 31, 2)),
        boxes_of(),
        boxes_of((0, 0, 100, 60, 2), (7, 7, 7, 7, 0), (100, 60, 100, 60, 1)),
    ]


@pytest.fixture
def made(given):
    """Makes a head of 5×4 cells of 20×15 pixels."""

    def make(num_boxes=1, **settings):
        torch.manual_seed(0)
        return YOLOHead(num_boxes, (5, 4), **settings).connect(given(), 3)

    return make


def blank(num_boxes=1):
    """An output that says that there is nothing."""
    return torch.full((1, 20, num_boxes, SAID), -30.0)


def at(row, column):
    return 5 * row + column


def test_boxes_are_decoded(made):
    output = blank()
    output[0, at(2, 1), 0] = torch.tensor([0.25, 0.75, 0.5, 0.2, 0.6, 0, 0, 0]).logit()
    output[0, at(2, 1), 0, 5:] = torch.tensor([0.5, 0.25, 0.25]).log()
    boxes, scores = made().candidates(output.flatten(1))
    # the centre is (25, 41.25), the size (25, 2.4)
    torch.testing.assert_close(boxes[0, at(2, 1)], torch.tensor([12.5, 40.05, 37.5, 42.45]))
    torch.testing.assert_close(scores[0, at(2, 1)], torch.tensor([0.3, 0.15, 0.15]))
    assert boxes.shape == (1, 20, 4)
    found = made(score_threshold=0.2).result(output.flatten().numpy(), ["car", "bus", "tram"])
    assert (found.labels, len(found)) == (("car",), 1)
    assert len(made().detections(output.flatten(1), ["car", "bus", "tram"], 0.1)[0]) == 3


def test_the_loss_of_one_box_by_hand(made, boxes_of):
    output = blank()
    output[0, at(1, 2), 0] = torch.tensor([0.5, 0.5, 0.5, 0.6, 0.9, 0, 0, 0]).logit()
    output[0, at(1, 2), 0, 5:] = torch.tensor([0.5, 0.25, 0.25]).log()
    output[0, at(0, 0), 0, 4] = 0.0
    # centre (55, 24) is 0.75, 0.6 of cell (2, 1); √ of 36/100 and 15/60; the found box is 37.5…62.5 × 11.7…33.3
    terms = made().loss(output.flatten(1), [boxes_of((37, 16.5, 73, 31.5, 2))])
    iou = 25 * 15 / (25 * 21.6 + 36 * 15 - 25 * 15)
    expected = {
        "offset": 2 * (0.25**2 + 0.1**2),
        "shape": 2 * (0.1**2 + 0.1**2),
        "confidence": (0.9 - iou) ** 2,
        "no_object": 0.5 * 0.25 / 19,
        "class": np.log(4),
    }
    assert {name: float(term) for name, term in terms.items()} == pytest.approx(expected, rel=1e-5)


def test_a_right_answer_costs_nothing(made, boxes_of):
    output = blank()
    output[0, at(1, 2), 0] = torch.tensor([0.75, 0.6, 0.6, 0.5, 1 - 1e-7, 0, 0, 1]).logit(eps=1e-7)
    loss = sum(made().loss(output.flatten(1), [boxes_of((37, 16.5, 73, 31.5, 2))]).values())
    assert float(loss) < 1e-6


def test_boxes_of_a_cell_are_given_to_objects_one_to_one_the_largest_choosing_first(made, boxes_of):
    """Both objects overlap the second box most; the smaller one is left the first box, and the smallest none."""
    output = blank(num_boxes=2)
    output[0, at(1, 2), 1] = torch.tensor([0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]).logit()
    output.requires_grad_()
    large, small, smallest = (35, 12, 65, 33, 2), (40, 14, 60, 31, 0), (49, 21, 51, 24, 1)
    terms = made(2).loss(output.flatten(1), [boxes_of(smallest, small, large)])
    terms["class"].backward()
    gradient = output.grad[0, at(1, 2), :, 5:]
    torch.testing.assert_close(gradient, torch.tensor([[-1 / 3, 1 / 6, 1 / 6], [1 / 6, 1 / 6, -1 / 3]]))
    assert output.grad.abs().sum() == gradient.abs().sum()
    left_out = made(2).loss(output.flatten(1), [boxes_of(small, large)])
    torch.testing.assert_close(terms, left_out, rtol=0, atol=0)


def test_objects_belong_to_the_cell_of_their_centre(made, boxes_of):
    """The left top corner of the first is in cell (0, 0), and the second's centre is on the sensor's edge."""
    output = blank().requires_grad_()
    made().loss(output.flatten(1), [boxes_of((1, 1, 50, 42, 0), (100, 60, 100, 60, 0))])["class"].backward()
    touched = output.grad.abs().sum((0, 2, 3)).nonzero()[:, 0].tolist()
    assert touched == [at(1, 1), at(3, 4)]


@pytest.mark.parametrize("num_boxes", [1, 2])
def test_images_are_averaged(made, batch, num_boxes):
    head = made(num_boxes)
    output = torch.randn(3, 20 * num_boxes * SAID)
    whole = head.loss(output, batch)
    doubled = head.loss(torch.cat([output, output]), batch * 2)
    single = [head.loss(output[k : k + 1], batch[k : k + 1]) for k in range(3)]
    for name, term in whole.items():
        torch.testing.assert_close(doubled[name], term)
        torch.testing.assert_close(sum(terms[name] for terms in single) / 3, term)
    assert single[1]["no_object"] > 0
    assert sum(single[1].values()) == single[1]["no_object"]


def test_the_confidence_moves_no_box(made, batch):
    output = torch.randn(3, 20 * 2 * SAID, requires_grad=True)
    made(2).loss(output, batch)["confidence"].backward()
    gradient = output.grad.reshape(3, 20, 2, SAID)
    assert gradient[..., 4].count_nonzero() == 6
    gradient[..., 4] = 0
    assert gradient.count_nonzero() == 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_gives_the_same(made, batch):
    head = made(2)
    output = torch.randn(3, 20 * 2 * SAID)
    there = output.cuda().requires_grad_()
    terms = head.loss(there, batch)
    sum(terms.values()).backward()
    expected = head.loss(output.requires_grad_(), batch)
    sum(expected.values()).backward()
    torch.testing.assert_close({name: term.cpu() for name, term in terms.items()}, expected)
    torch.testing.assert_close(there.grad.cpu(), output.grad)
    torch.testing.assert_close([found.cpu() for found in head.candidates(there)], list(head.candidates(output)))


@pytest.mark.parametrize("empty", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_gradients_are_finite_with_and_without_boxes(made, batch, boxes_of, empty, dtype):
    output = (torch.randn(3, 20 * SAID) * 100).to(dtype).requires_grad_()
    loss = sum(made().loss(output, [boxes_of()] * 3 if empty else batch).values())
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    assert output.grad.isfinite().all()


def test_one_sample_is_learnt(made, batch):
    head, features, boxes = made(), torch.randn(1, 4, 4, 5), batch[0][:2]
    optimizer = torch.optim.Adam(head.parameters(), 0.01)
    for _ in range(80):
        optimizer.zero_grad()
        sum(head.loss(head(features), [boxes]).values()).backward()
        optimizer.step()
    found = head.eval().detections(head(features), ["a", "b", "c"])[0]
    assert sorted(found.class_ids.tolist()) == [0, 1]
    expected = boxes.xyxy[np.argsort(boxes.class_ids)][found.class_ids]
    assert (paired_iou(torch.tensor(found.boxes), torch.tensor(expected)) > 0.8).all()


@pytest.mark.parametrize(("out_size", "shape"), [(None, (2, 4)), ((3, 7), (2, 4, 7, 3))])
def test_it_takes_maps_and_vectors(given, out_size, shape):
    head = YOLOHead().connect(given(out_size=out_size), 3)
    features = torch.randn(shape)
    assert head(features).shape == (2, (3 + 5) * 48)
    traced = fx.symbolic_trace(head)
    assert {node.op for node in traced.graph.nodes} == {"placeholder", "call_method", "call_module", "output"}
    torch.testing.assert_close(traced(features), head(features))
    assert head.candidates(head(features))[1].shape == (2, 48, 3)


@pytest.mark.parametrize(("out_size", "inputs"), [(None, 4), ((5, 4), 80)])
def test_a_hidden_layer(given, out_size, inputs):
    torch.manual_seed(0)
    head = YOLOHead(2, (5, 4), dropout=0.5, hidden_channels=6).connect(given(out_size=out_size), 3)
    weights, features = head.state_dict(), torch.randn(3, inputs)
    assert {name: tuple(tensor.shape) for name, tensor in weights.items()} == {
        "hidden.0.weight": (6, inputs),
        "hidden.0.bias": (6,),
        "linear.weight": (5 * 4 * 2 * SAID, 6),
        "linear.bias": (5 * 4 * 2 * SAID,),
    }
    hidden = (features @ weights["hidden.0.weight"].T + weights["hidden.0.bias"]).clamp(min=0)
    assert 0 < hidden.count_nonzero() < hidden.numel()
    output = head.eval()(features.reshape(3, 4, 4, 5) if out_size else features)
    torch.testing.assert_close(output, hidden @ weights["linear.weight"].T + weights["linear.bias"])
    called = [node for node in fx.symbolic_trace(head).graph.nodes if node.op == "call_module"]
    assert [node.target for node in called] == ["hidden.0", "hidden.1", "dropout", "linear"]
    plain = [node.target for node in fx.symbolic_trace(YOLOHead().connect(given(), 3)).graph.nodes if node.op == "call_module"]
    assert plain == ["dropout", "linear"]


def test_a_head_is_rebuilt_from_its_specification(given):
    head = YOLOHead(num_boxes=2, grid=(3, 4), max_detections=7)
    rebuilt = build(spec_of(head), DetectionHead)
    assert (rebuilt.num_boxes, rebuilt.grid, rebuilt.max_detections, rebuilt.nms_iou) == (2, (3, 4), 7, 0.5)
    assert list(rebuilt.connect(given(), 3).state_dict()) == ["linear.weight", "linear.bias"]
    assert build(spec_of(YOLOHead(hidden_channels=9)), DetectionHead).hidden_channels == 9


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda given: YOLOHead().connect(given(sensor_size=None), 3), "sensor_size"),
        (lambda given: YOLOHead(num_boxes=0), "num_boxes"),
        (lambda given: YOLOHead(grid=(0, 2)), "grid"),
        (lambda given: YOLOHead(max_detections=0), "max_detections"),
        (lambda given: YOLOHead(hidden_channels=-1), "hidden_channels"),
    ],
)
def test_what_cannot_be_is_refused(given, made, said):
    with pytest.raises(EventZooError, match=said):
        made(given)
