import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eventzoo.tasks.box_ops import around, box_iou, cells, clipped, paired_iou

SIDE = 8
edges = st.integers(0, SIDE)
box = st.tuples(edges, edges, edges, edges).map(lambda e: (min(e[0], e[2]), min(e[1], e[3]), max(e[0], e[2]), max(e[1], e[3])))


def pixels(box):
    left, top, right, bottom = box
    return {(x, y) for x in range(left, right) for y in range(top, bottom)}


@settings(max_examples=60, deadline=None)
@given(st.lists(box, max_size=4), st.lists(box, max_size=4))
def test_iou_is_the_share_of_common_pixels(a, b):
    expected = [[len(pixels(p) & pixels(q)) / max(1, len(pixels(p) | pixels(q))) for q in b] for p in a]
    first, second = torch.tensor(a).float().reshape(-1, 4), torch.tensor(b).float().reshape(-1, 4)
    found = box_iou(first, second)
    assert found.shape == (len(a), len(b))
    torch.testing.assert_close(found, torch.tensor(expected).reshape(len(a), len(b)))
    torch.testing.assert_close(paired_iou(first[: len(b)], second[: len(a)]), found.diagonal())


@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e6])
def test_gradients_are_finite_even_of_empty_boxes(scale):
    a = (
        torch.tensor([[1, 1, 1, 1], [0, 0, 2, 0], [3, 3, 1, 1], [0, 0, 2, 2], [0, 0, 1, 1]], dtype=torch.float32)
        .mul(scale)
        .requires_grad_()
    )
    found = box_iou(a, a)
    found.sum().backward()
    assert a.grad.isfinite().all()
    assert not found[:3].any()
    assert not found[:, :3].any()


def test_more_overlap_is_a_better_box():
    box = torch.tensor([0.0, 0.0, 4.0, 4.0], requires_grad=True)
    paired_iou(box, torch.tensor([1.0, 0.0, 6.0, 4.0])).backward()
    assert box.grad[0] > 0 > -box.grad[2]


def test_boxes_from_centres_are_clipped_to_the_sensor():
    boxes = around(torch.tensor([[2.0, 3.0], [9.0, 9.0], [-5.0, 3.0]]), torch.tensor([[2.0, 10.0], [4.0, 4.0], [2.0, 2.0]]))
    assert boxes.tolist() == [[1, -2, 3, 8], [7, 7, 11, 11], [-6, 2, -4, 4]]
    assert clipped(boxes, (10, 8)).tolist() == [[1, 0, 3, 8], [7, 7, 10, 8], [0, 2, 0, 4]]


def test_cells_are_numbered_row_by_row():
    assert cells(3, 2, torch.device("cpu")).tolist() == [[0, 0], [1, 0], [2, 0], [0, 1], [1, 1], [2, 1]]
