import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eventzoo.kernels.nms import class_wise_nms
from eventzoo.tasks.box_ops import box_iou
from eventzoo.tasks.heads import DetectionHead


def by_the_definition(boxes, class_ids, iou, limit):
    """Take the best box, drop what overlaps it too much, and begin anew with the rest."""
    overlap, left, kept = box_iou(torch.tensor(boxes), torch.tensor(boxes)).numpy(), list(range(len(boxes))), []
    while left and len(kept) < limit:
        best = left[0]
        kept.append(best)
        left = [k for k in left[1:] if class_ids[k] != class_ids[best] or overlap[best, k] <= iou]
    return kept


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 40), st.sampled_from([0.0, 1 / 3, 0.5, 1.0]), st.integers(1, 50))
def test_the_best_of_each_cluster_remains(seed, count, iou, limit):
    rng = np.random.default_rng(seed)
    corner = rng.integers(0, 6, (count, 2))  # so coarse that overlaps are exactly at the threshold, and boxes empty or the same
    boxes = np.concatenate([corner, corner + rng.integers(0, 5, (count, 2))], 1).astype(np.float64)
    class_ids = rng.integers(0, 3, count)
    assert class_wise_nms(boxes, class_ids, iou, limit).tolist() == by_the_definition(boxes, class_ids, iou, limit)


class Fixed(DetectionHead):
    """Finds what it is made with."""

    def __init__(self, boxes, scores, **settings):
        super().__init__(**settings)
        self.found = torch.tensor(boxes, dtype=torch.float32)[None], torch.tensor(scores, dtype=torch.float32)[None]

    def connect(self, backbone, num_classes):
        return self

    def forward(self, features):
        return features

    def loss(self, output, boxes):
        return {}

    def candidates(self, output):
        return self.found


BOXES = [[0, 0, 10, 10], [1, 0, 11, 10], [50, 50, 60, 60], [70, 70, 70, 90]]
SCORES = [[0.8, 0.1], [0.8, 0.5], [0.9, 0.3], [0.9, 0.9]]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [("a", 50, 0.9), ("a", 0, 0.8), ("b", 1, 0.5), ("b", 50, 0.3)]),  # of a tie the first; no box without a size
        ({"nms_iou": 0.9}, [("a", 50, 0.9), ("a", 0, 0.8), ("a", 1, 0.8), ("b", 1, 0.5), ("b", 50, 0.3)]),
        ({"score_threshold": 0.85}, [("a", 50, 0.9)]),
        ({"score_threshold": 0.95}, []),
        ({"max_detections": 2}, [("a", 50, 0.9), ("a", 0, 0.8)]),
    ],
)
def test_detections_are_chosen(settings, expected):
    head = Fixed(BOXES, SCORES, **settings)
    (found,) = head.detections(torch.zeros(1), ["a", "b"])
    assert [
        (label, box[0], pytest.approx(score)) for label, box, score in zip(found.labels, found.boxes, found.scores, strict=True)
    ] == expected
    assert [array.dtype for array in (found.boxes, found.scores, found.class_ids)] == [np.float32, np.float32, np.int64]
    assert found.boxes.shape == (len(expected), 4)


def test_a_threshold_can_be_asked_for_once():
    head = Fixed(BOXES, SCORES)
    assert len(head.detections(torch.zeros(1), ["a", "b"], 0.0)[0]) == 4
    assert len(head.detections(torch.zeros(1), ["a", "b"], 0.6)[0]) == 2
    assert head.score_threshold == 0.3
