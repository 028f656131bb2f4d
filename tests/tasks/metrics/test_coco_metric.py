import io
import pickle
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from eventzoo.data.boxes import Boxes
from eventzoo.errors import EventZooError
from eventzoo.tasks.metrics import COCOAveragePrecision

CLASSES = ["car", "pedestrian", "bicycle"]
NAMES = ["mAP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large", "AR1", "AR10", "AR100", "AR_small", "AR_medium", "AR_large"]
BACKENDS = ["pycocotools", "faster_coco_eval"]
IMAGES = {"seed": st.integers(0, 2**32), "images": st.integers(1, 6), "ties": st.booleans()}


def measured(detections, boxes, backend="pycocotools"):
    if backend == "faster_coco_eval":
        pytest.importorskip("faster_coco_eval")
    metric = COCOAveragePrecision(CLASSES, backend)
    metric.update(detections, boxes)
    return metric


def numbers(metric):
    return {name: value.item() for name, value in metric.compute().items()}


def reference(detections, boxes):
    """COCOeval as its authors use it: annotations from a dictionary, results through `loadRes`."""

    def xywh(box):
        left, top, right, bottom = map(float, box)
        return [left, top, right - left, bottom - top]

    truths = [
        {"image_id": image, "category_id": int(class_id), "bbox": xywh(box), "area": xywh(box)[2] * xywh(box)[3], "iscrowd": 0}
        for image, true in enumerate(boxes)
        for box, class_id in zip(true.xyxy, true.class_ids, strict=True)
    ]
    results = [
        {"image_id": image, "category_id": int(class_id), "bbox": xywh(box), "score": float(score)}
        for image, found in enumerate(detections)
        for box, score, class_id in zip(found.boxes, found.scores, found.class_ids, strict=True)
    ]
    assume(results)  # loadRes takes no empty list
    with redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "images": [{"id": image} for image in range(len(boxes))],
            "categories": [{"id": index, "name": name} for index, name in enumerate(CLASSES)],
            "annotations": [annotation | {"id": 100 + number} for number, annotation in enumerate(truths)],
        }
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


@pytest.mark.parametrize("backend", BACKENDS)
@settings(max_examples=30, deadline=None)
@given(**IMAGES)
def test_the_numbers_are_those_of_cocoeval(random_images, backend, seed, images, ties):
    detections, boxes = random_images(seed, images, ties)
    evaluation = reference(detections, boxes)
    metric = measured(detections, boxes, backend)
    assert list(numbers(metric)) == NAMES
    assert list(numbers(metric).values()) == pytest.approx(evaluation.stats.tolist(), abs=1e-6)

    precision = evaluation.eval["precision"][:, :, :, 0, 2]
    for index, name in enumerate(CLASSES):
        values = metric.per_class()[name]
        assert values["AP"] == pytest.approx(precision[:, :, index].mean(), abs=1e-6)
        assert values["AP50"] == pytest.approx(precision[0, :, index].mean(), abs=1e-6)
    recall, curves = metric.precision_recall()
    assert np.array_equal(recall, evaluation.params.recThrs)
    assert set(curves) == {CLASSES[class_id] for true in boxes for class_id in true.class_ids}
    for name, curve in curves.items():
        np.testing.assert_allclose(curve, precision[0, :, CLASSES.index(name)], atol=1e-6)


@settings(max_examples=10, deadline=None)
@given(**IMAGES | {"ties": st.just(False)})
def test_the_order_and_the_batches_of_images_do_not_matter(random_images, seed, images, ties):
    detections, boxes = random_images(seed, images, ties)
    metric = COCOAveragePrecision(CLASSES)
    for image in np.random.default_rng(seed).permutation(images):
        metric.update(detections[image : image + 1], boxes[image : image + 1])
    assert numbers(metric) == pytest.approx(numbers(measured(detections, boxes)), abs=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
class TestKnownAnswers:
    def test_a_perfect_detector(self, found, true, backend):
        rows = [(0, 0, 20, 20), (30, 0, 80, 50), (100, 100, 220, 220)]  # small, medium, large
        detections = [found(*((*row, 0.9, index) for index, row in enumerate(rows)))]
        metric = measured(detections, [true(*((*row, index) for index, row in enumerate(rows)))], backend)
        assert numbers(metric) == dict.fromkeys(NAMES, 1.0)
        assert metric.per_class() == {name: pytest.approx({"AP": 1.0, "AP50": 1.0}) for name in CLASSES}

    def test_a_surer_false_positive_halves_the_precision(self, found, true, backend):
        detections = [found((50, 50, 60, 60, 0.9, 0), (0, 0, 10, 10, 0.8, 0))]
        assert numbers(measured(detections, [true((0, 0, 10, 10, 0))], backend)) == pytest.approx(
            {"mAP": 0.5, "AP50": 0.5, "AP75": 0.5, "AP_small": 0.5, "AP_medium": -1, "AP_large": -1}
            | {"AR1": 0.0, "AR10": 1.0, "AR100": 1.0, "AR_small": 1.0, "AR_medium": -1, "AR_large": -1}
        )

    def test_a_second_detection_of_a_box_is_false(self, found, true, backend):
        detections = [found((0, 0, 10, 10, 0.9, 0), (0, 0, 10, 10, 0.8, 0), (50, 50, 60, 60, 0.7, 0))]
        boxes = [true((0, 0, 10, 10, 0), (50, 50, 60, 60, 0))]
        expected = (51 * 1 + 50 * 2 / 3) / 101  # recalls up to 0.5 at precision 1, the others at two of three
        assert numbers(measured(detections, boxes, backend))["mAP"] == pytest.approx(expected)

    def test_a_box_of_another_class_is_not_found(self, found, true, backend):
        metric = measured([found((0, 0, 10, 10, 0.9, 1))], [true((0, 0, 10, 10, 0))], backend)
        assert numbers(metric)["AP50"] == 0
        assert metric.per_class()["car"] == {"AP": 0, "AP50": 0}
        assert metric.per_class()["pedestrian"] == {"AP": -1, "AP50": -1}
        assert list(metric.precision_recall()[1]) == ["car"]

    def test_a_box_that_overlaps_by_62_percent(self, found, true, backend):
        values = numbers(measured([found((0, 0, 10, 6.2, 0.9, 0))], [true((0, 0, 10, 10, 0))], backend))
        assert (values["AP50"], values["AP75"]) == (1, 0)
        assert values["mAP"] == pytest.approx(0.3)  # at 0.50, 0.55 and 0.60

    def test_boxes_on_the_limits_of_area_are_of_both_sizes(self, found, true, backend):
        values = numbers(measured([found((0, 0, 96, 96, 0.9, 0))], [true((0, 0, 96, 96, 0))], backend))
        assert (values["AP_small"], values["AP_medium"], values["AP_large"]) == (-1, 1, 1)
        values = numbers(measured([found((0, 0, 32, 32, 0.9, 0))], [true((0, 0, 32, 32, 0))], backend))
        assert (values["AP_small"], values["AP_medium"], values["AP_large"]) == (1, 1, -1)

    def test_a_hundred_detections_of_a_class_count(self, found, true, backend):
        misses = [(50, 50, 60, 60, 0.9 - 0.001 * number, 0) for number in range(100)]
        late = (0, 0, 10, 10, 0.1, 0)
        assert numbers(measured([found(*misses, late)], [true((0, 0, 10, 10, 0))], backend))["AR100"] == 0
        assert numbers(measured([found(*misses[1:], late)], [true((0, 0, 10, 10, 0))], backend))["AR100"] == 1

    def test_nothing_to_find_or_nothing_found(self, found, true, backend):
        for detections, boxes in (([], []), ([found()], [Boxes.empty()]), ([found((0, 0, 9, 9, 0.9, 0))], [Boxes.empty()])):
            metric = measured(detections, boxes, backend)
            assert numbers(metric) == dict.fromkeys(NAMES, -1.0)
            assert metric.per_class() == {name: {"AP": -1.0, "AP50": -1.0} for name in CLASSES}
            assert metric.precision_recall()[1] == {}
        values = numbers(measured([found()], [true((0, 0, 9, 9, 0))], backend))
        assert {name for name, value in values.items() if value == -1} == {"AP_medium", "AP_large", "AR_medium", "AR_large"}
        assert {value for value in values.values() if value != -1} == {0}


class TestMetric:
    def test_it_starts_anew_when_reset(self, random_images):
        detections, boxes = random_images(1, 4, False)
        metric = measured(detections, boxes)
        first = numbers(metric)
        metric.reset()
        metric.update(detections[:1], boxes[:1])
        assert numbers(metric) == numbers(measured(detections[:1], boxes[:1])) != first

    def test_it_goes_on_after_a_result(self, random_images):
        detections, boxes = random_images(1, 4, False)
        metric = measured(detections[:2], boxes[:2])
        before = metric.per_class()
        numbers(metric)
        metric.update(detections[2:], boxes[2:])
        assert metric.per_class() == measured(detections, boxes).per_class() != before
        assert numbers(metric) == numbers(measured(detections, boxes))

    def test_called_it_gives_the_batch_and_keeps_all(self, random_images):
        detections, boxes = random_images(1, 4, False)
        metric = measured(detections[:2], boxes[:2])
        assert metric(detections[2:], boxes[2:]) == measured(detections[2:], boxes[2:]).compute()
        assert numbers(metric) == numbers(measured(detections, boxes))

    @pytest.mark.parametrize("backend", BACKENDS)
    def test_it_survives_pickling(self, random_images, backend):
        metric = measured(*random_images(2, 4, True), backend)
        copy = pickle.loads(pickle.dumps(metric))
        assert numbers(copy) == numbers(metric)
        assert copy.per_class() == metric.per_class()

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
    def test_it_moves_between_devices(self, random_images):
        detections, boxes = random_images(3, 4, True)
        metric = measured(detections[:2], boxes[:2]).to("cuda")
        metric.update(detections[2:], boxes[2:])
        assert {value.device.type for value in metric.compute().values()} == {"cuda"}
        assert numbers(metric.to("cpu")) == numbers(measured(detections, boxes))

    def test_it_prints_nothing(self, random_images, capfd):
        numbers(measured(*random_images(4, 3, True)))
        assert capfd.readouterr() == ("", "")


class TestErrors:
    def test_images_without_a_counterpart(self, found):
        with pytest.raises(EventZooError, match=r"1 images .* boxes of 0"):
            COCOAveragePrecision(CLASSES).update([found()], [])

    def test_a_class_that_is_not_there(self, found, true):
        with pytest.raises(EventZooError, match="class 3, but the metric was made for 3 classes"):
            measured([found((0, 0, 9, 9, 0.9, 3))], [true()])
        with pytest.raises(EventZooError, match="class -1"):
            measured([found()], [true((0, 0, 9, 9, -1))])

    def test_an_unknown_backend(self):
        with pytest.raises(EventZooError, match="no backend 'coco'"):
            COCOAveragePrecision(CLASSES, "coco")

    def test_a_backend_that_is_not_installed(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "faster_coco_eval", None)
        with pytest.raises(EventZooError, match=r"pip install eventzoo\[faster-coco-eval\]"):
            COCOAveragePrecision(CLASSES, "faster_coco_eval")


@pytest.mark.slow
def test_two_processes_give_the_result_of_one(random_images, tmp_path):
    """With even and uneven numbers of images, and with a process that sees none, be it the first or the last."""
    detections, boxes = random_images(5, 7, False)
    cases = [(detections, boxes, split) for split in (4, 6, 0, 7)]
    (tmp_path / "cases").write_bytes(pickle.dumps(cases))
    dropped = [f"ignore:The {name} function was deprecated:DeprecationWarning" for name in ("read_style_directory", "update_nested_dict")]
    ignored = [option for text in dropped for option in ("-W", text)]  # SciencePlots, which torchmetrics imports where it is installed
    command = [sys.executable, "-W", "error", *ignored, str(Path(__file__).with_name("rank.py")), str(tmp_path)]
    ranks = [subprocess.Popen([*command, str(rank)]) for rank in range(2)]
    assert [rank.wait(timeout=120) for rank in ranks] == [0, 0]
    alone = pickle.loads((tmp_path / "alone").read_bytes())
    for rank in range(2):
        for together in pickle.loads((tmp_path / f"together{rank}").read_bytes()):
            assert together == pytest.approx(alone, abs=1e-6)
