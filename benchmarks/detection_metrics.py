"""Time of COCO's twelve numbers by either backend, on random detections (`pip install eventzoo[faster-coco-eval]`).

    python benchmarks/detection_metrics.py
    python benchmarks/detection_metrics.py --images 500 --classes 101

Each image has up to 5 true boxes and 20 detections, of which about half are true boxes a few pixels off. A run takes in all images
and computes; it ends with an error where the backends' numbers differ.
"""

from race import race  # isort: skip  # pins the threads

import argparse

import numpy as np

from eventzoo.data.boxes import Boxes
from eventzoo.tasks.metrics import COCOAveragePrecision
from eventzoo.tasks.results import Detections


def image(rng: np.random.Generator, detections: int, classes: int) -> tuple[Detections, Boxes]:
    """An image's detections and true boxes."""
    corner = rng.uniform(0, 150, (rng.integers(1, 6), 2))
    true = np.concatenate((corner, corner + rng.uniform(10, 150, corner.shape)), 1)
    true_classes = rng.integers(0, classes, len(true))
    origin = rng.integers(0, len(true), detections)
    hit = rng.random(detections) < 0.5
    found = true[origin] + rng.normal(0, np.where(hit, 3, 60)[:, None], (detections, 4))
    found[:, 2:] = np.maximum(found[:, 2:], found[:, :2])
    found_classes = np.where(hit, true_classes[origin], rng.integers(0, classes, detections))
    scores = np.sort(rng.random(detections))[::-1].astype(np.float32)
    labels = tuple(map(str, found_classes))
    return Detections(found.astype(np.float32), scores, found_classes, labels), Boxes(true, true_classes, np.zeros(len(true)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--detections", type=int, default=20)
    parser.add_argument("--classes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()

    rng = np.random.default_rng(0)
    found, true = zip(*(image(rng, args.detections, args.classes) for _ in range(args.images)), strict=True)
    names = tuple(map(str, range(args.classes)))
    results = {}

    def measured(backend: str) -> None:
        metric = COCOAveragePrecision(names, backend)
        metric.update(found, true)
        results[backend] = {name: value.item() for name, value in metric.compute().items()}

    title = f"{args.images:,} images × {args.detections} detections, {args.classes} classes"
    race(title, {backend: lambda backend=backend: measured(backend) for backend in ("faster_coco_eval", "pycocotools")}, args.rounds)
    first, second = results.values()
    print("\n" + ", ".join(f"{name} {value:.4f}" for name, value in first.items()))
    if any(abs(first[name] - second[name]) > 1e-6 for name in first):
        raise SystemExit(f"the backends' numbers differ: {results}")


if __name__ == "__main__":
    main()
