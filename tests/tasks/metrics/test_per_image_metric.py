import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventzoo.data.boxes import Boxes
from eventzoo.errors import EventZooError
from eventzoo.tasks.metrics import COCOAveragePrecision, MeanPerImageAveragePrecision


def measured(detections, boxes, iou_threshold=0.5):
    metric = MeanPerImageAveragePrecision(iou_threshold)
    metric.update(detections, boxes)
    return metric.compute().item()


def overlap(a, b):
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]) + 1)
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]) + 1)
    return width * height / ((a[2] - a[0] + 1) * (a[3] - a[1] + 1) + (b[2] - b[0] + 1) * (b[3] - b[1] + 1) - width * height)


def literal(detections, boxes, iou_threshold):
    """Image by image, class by class, detection by detection."""
    images = []
    for found, true in zip(detections, boxes, strict=True):
        classes = []
        for class_id in set(true.class_ids.tolist()):
            targets = true.xyxy[true.class_ids == class_id].astype(float).tolist()
            taken, precision = set(), []
            hits = []
            for box in found.boxes[found.class_ids == class_id].astype(float).tolist():
                overlaps = [overlap(box, target) for target in targets]
                best = overlaps.index(max(overlaps))
                hits.append(overlaps[best] >= iou_threshold and best not in taken)
                if hits[-1]:
                    taken.add(best)
                precision.append(len(taken) / len(hits))
            classes.append(sum(max(precision[i:]) for i, hit in enumerate(hits) if hit) / len(targets))
        if classes:
            images.append(sum(classes) / len(classes))
    return sum(images) / len(images) if images else -1


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 8), st.booleans(), st.sampled_from([0.1, 0.5, 0.9, 1]))
def test_it_is_what_the_loops_give(random_images, seed, images, ties, iou_threshold):
    detections, boxes = random_images(seed, images, ties)
    assert measured(detections, boxes, iou_threshold) == pytest.approx(literal(detections, boxes, iou_threshold), abs=1e-6)


def test_sure_detections_of_classes_that_are_not_there_cost_nothing(found, true):
    """What makes the measure optimistic: by COCO's rules this detector is right in one of three cases."""
    detections = [found((0, 0, 10, 10, 0.99, 1), (20, 20, 40, 40, 0.98, 1), (0, 0, 10, 10, 0.5, 0)), found()]
    boxes = [true((0, 0, 10, 10, 0)), Boxes.empty()]
    assert measured(detections, boxes) == 1
    coco = COCOAveragePrecision(["car", "pedestrian"])
    coco.update([*detections, found()], [*boxes, true((0, 0, 10, 10, 1))])
    assert coco.compute()["AP50"] == 0.5  # once a pedestrian is anywhere, its false detections count


def test_boxes_are_a_pixel_wider_and_higher(found, true):
    half = [found((0, 0, 9, 4, 0.9, 0))]  # 10 × 5 of 10 × 10 pixels; 9 × 4 of 9 × 9 by continuous edges
    assert measured(half, [true((0, 0, 9, 9, 0))]) == 1
    assert measured(half, [true((0, 0, 9, 9, 0))], 0.51) == 0


def test_detections_count_in_their_order_whatever_their_scores(found, true):
    first, second = (50, 50, 60, 60, 0.1, 0), (0, 0, 10, 10, 0.9, 0)
    assert measured([found(first, second)], [true((0, 0, 10, 10, 0))]) == 0.5
    assert measured([found(second, first)], [true((0, 0, 10, 10, 0))]) == 1


def test_the_mean_is_over_classes_within_an_image_and_then_over_images(found, true):
    hit = (0, 0, 10, 10, 0.9, 0)
    boxes = [true((0, 0, 10, 10, 0)), true((0, 0, 10, 10, 0), (20, 20, 30, 30, 1))]
    assert measured([found(hit), found(hit)], boxes) == 0.75


def test_images_without_boxes_are_left_out(found, true):
    detections = [found((0, 0, 10, 10, 0.9, 0)), found((0, 0, 10, 10, 0.9, 0)), found()]
    assert measured(detections, [true((0, 0, 10, 10, 0)), Boxes.empty(), Boxes.empty()]) == 1
    assert measured(detections[1:], [Boxes.empty(), Boxes.empty()]) == -1
    assert measured([], []) == -1


def test_batches_do_not_matter(random_images):
    detections, boxes = random_images(3, 5, True)
    metric = MeanPerImageAveragePrecision()
    for batch in (slice(0, 1), slice(1, 2), slice(2, 5)):
        metric.update(detections[batch], boxes[batch])
    assert metric.compute().item() == pytest.approx(measured(detections, boxes))
    metric.reset()
    metric.update(detections[:1], boxes[:1])
    assert metric.compute().item() == pytest.approx(measured(detections[:1], boxes[:1]))


def test_errors(found):
    with pytest.raises(EventZooError, match="1 images"):
        MeanPerImageAveragePrecision().update([found()], [])
    with pytest.raises(EventZooError, match="iou_threshold is 0"):
        MeanPerImageAveragePrecision(np.float64(0))
