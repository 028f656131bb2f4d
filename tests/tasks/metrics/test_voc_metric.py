import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventzoo.data.boxes import Boxes
from eventzoo.errors import EventZooError
from eventzoo.tasks.metrics import COCOAveragePrecision, VOCAveragePrecision

CLASSES = ["car", "pedestrian", "bicycle"]


def measured(detections, boxes, **options):
    metric = VOCAveragePrecision(CLASSES, **options)
    metric.update(detections, boxes)
    return {name: value.item() for name, value in metric.compute().items()}


def overlap(a, b):
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    return width * height / max((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height, 1e-9)


def literal(detections, boxes, iou_threshold, eleven_points):
    """The challenge's own loops: all detections of a class in turn, then the curve point by point."""
    values = {}
    for class_id, name in enumerate(CLASSES):
        ranking = [
            (float(score), image, box.tolist())
            for image, found in enumerate(detections)
            for box, score, found_class in zip(found.boxes, found.scores, found.class_ids, strict=True)
            if found_class == class_id
        ]
        ranking.sort(key=lambda row: -row[0])
        targets = [true.xyxy[true.class_ids == class_id].tolist() for true in boxes]
        positives = sum(map(len, targets))
        if not positives:
            continue
        taken, right, recall, precision = set(), 0, [0.0], [0.0]
        for rank, (_, image, box) in enumerate(ranking, 1):
            overlaps = [overlap(box, target) for target in targets[image]]
            best = max(range(len(overlaps)), key=overlaps.__getitem__, default=None)
            if best is not None and overlaps[best] >= iou_threshold and (image, best) not in taken:
                taken.add((image, best))
                right += 1
            recall.append(right / positives)
            precision.append(right / rank)
        recall.append(1.0)
        precision.append(0.0)
        if eleven_points:
            points = [max((p for r, p in zip(recall, precision, strict=True) if r >= k / 10 - 1e-9), default=0) for k in range(11)]
            values[name] = sum(points) / 11
        else:
            for i in reversed(range(len(precision) - 1)):
                precision[i] = max(precision[i], precision[i + 1])
            values[name] = sum((recall[i] - recall[i - 1]) * precision[i] for i in range(1, len(recall)))
    mean = sum(values.values()) / len(values) if values else -1
    return {"mAP": mean} | {f"AP/{name}": values.get(name, -1) for name in CLASSES}


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    images=st.integers(0, 8),
    ties=st.booleans(),
    iou_threshold=st.sampled_from([0.1, 0.5, 0.75, 1]),
    eleven_points=st.booleans(),
)
def test_it_is_what_the_loops_give(random_images, seed, images, ties, iou_threshold, eleven_points):
    detections, boxes = random_images(seed, images, ties)
    values = measured(detections, boxes, iou_threshold=iou_threshold, eleven_points=eleven_points)
    assert values == pytest.approx(literal(detections, boxes, iou_threshold, eleven_points), abs=1e-6)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32), images=st.integers(1, 6))
def test_the_order_of_images_does_not_matter(random_images, seed, images):
    detections, boxes = random_images(seed, images, False)
    order = np.random.default_rng(seed).permutation(images)
    shuffled = measured([detections[i] for i in order], [boxes[i] for i in order])
    assert shuffled == pytest.approx(measured(detections, boxes), abs=1e-6)


class TestKnownAnswers:
    @pytest.mark.parametrize(("eleven_points", "expected"), [(False, (1 + 2 / 3) / 2), (True, (6 + 5 * 2 / 3) / 11)])
    def test_a_second_detection_of_a_box_is_false(self, found, true, eleven_points, expected):
        detections = [found((0, 0, 10, 10, 0.9, 0), (0, 0, 10, 10, 0.8, 0), (50, 50, 60, 60, 0.7, 0))]
        values = measured(detections, [true((0, 0, 10, 10, 0), (50, 50, 60, 60, 0))], eleven_points=eleven_points)
        assert values == pytest.approx({"mAP": expected, "AP/car": expected, "AP/pedestrian": -1, "AP/bicycle": -1})

    def test_three_boxes_of_ten_are_a_recall_of_three_tenths(self, found, true):
        rows = [(20 * i, 0, 20 * i + 10, 10) for i in range(10)]
        detections = [found(*((*row, 0.9, 0) for row in rows[:3]))]
        boxes = [true(*((*row, 0) for row in rows))]
        assert measured(detections, boxes, eleven_points=True)["mAP"] == pytest.approx(4 / 11)  # at 0, 0.1, 0.2 and 0.3
        assert measured(detections, boxes)["mAP"] == pytest.approx(0.3)

    def test_a_detection_is_for_the_box_that_it_overlaps_most(self, found, true):
        detections = [found((0, 0, 10, 10, 0.9, 0), (0, 0.5, 10, 10.5, 0.8, 0))]
        boxes = [true((0, 0, 10, 10, 0), (0, 2, 10, 12, 0))]
        assert measured(detections, boxes)["mAP"] == 0.5  # the second detection finds the first box again
        coco = COCOAveragePrecision(CLASSES)
        coco.update(detections, boxes)
        assert coco.compute()["AP50"] == 1  # COCO lets it have the other box, which it overlaps by 0.74

    def test_an_overlap_of_just_the_threshold_counts(self, found, true):
        detections, boxes = [found((0, 0, 10, 5, 0.9, 0))], [true((0, 0, 10, 10, 0))]
        assert measured(detections, boxes)["mAP"] == 1
        assert measured(detections, boxes, iou_threshold=0.51)["mAP"] == 0

    def test_scores_are_compared_across_images(self, found, true):
        surer_miss = [found((50, 50, 60, 60, 0.9, 0)), found((0, 0, 10, 10, 0.8, 0))]
        assert measured(surer_miss, [Boxes.empty(), true((0, 0, 10, 10, 0))])["mAP"] == 0.5

    def test_the_mean_is_over_the_classes_that_have_boxes(self, found, true):
        detections = [found((0, 0, 10, 10, 0.9, 0), (0, 0, 10, 10, 0.9, 2))]
        values = measured(detections, [true((0, 0, 10, 10, 0), (0, 0, 10, 10, 1))])
        assert values == {"mAP": 0.5, "AP/car": 1, "AP/pedestrian": 0, "AP/bicycle": -1}


@pytest.mark.parametrize("threshold", [0, -0.1, 1.01])
def test_a_threshold_out_of_range(threshold):
    with pytest.raises(EventZooError, match="not above 0 and up to 1"):
        VOCAveragePrecision(CLASSES, threshold)


def test_it_goes_on_after_pickling(random_images):
    detections, boxes = random_images(1, 4, True)
    metric = VOCAveragePrecision(CLASSES)
    metric.update(detections[:2], boxes[:2])
    copy = pickle.loads(pickle.dumps(metric))
    copy.update(detections[2:], boxes[2:])
    assert {name: value.item() for name, value in copy.compute().items()} == measured(detections, boxes)
