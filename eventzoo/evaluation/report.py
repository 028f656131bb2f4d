"""The report that a test writes: numbers as JSON, and pictures."""

import json
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

import eventzoo
from eventzoo.data.datamodule import of_all_processes
from eventzoo.data.dataset import Sample
from eventzoo.data.transforms import apply
from eventzoo.evaluation.measures import IOU, class_measures, confusion, counts_above, worst
from eventzoo.plots import draw_confusion, draw_precision_recall, draw_samples
from eventzoo.specs import spec_of
from eventzoo.tasks.detection import SCORE_THRESHOLD
from eventzoo.tasks.heads import DetectionHead
from eventzoo.tasks.metrics import Backend, COCOAveragePrecision
from eventzoo.tasks.results import Scored

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METRICS = "metrics.json"
_SHOWN = 12  # of the worst samples
_DPI = 110


class Findings(NamedTuple):
    """What there is to report.

    Attributes:
        numbers: `protocol`, `metrics` by name and `classes`, the numbers of each class by its name; None where a number is not defined.
        pictures: What makes a picture, by the name of its file.
    """

    numbers: dict[str, Any]
    pictures: "dict[str, Callable[[], Figure]]"


class Report(Callback):
    """Writes what a test found into the run's folder: `metrics.json` and, where matplotlib is installed, pictures.

    It keeps the answers, not the events: those of the worst samples are read again. It takes a `Task` and an `EventDataModule`.
    Several processes' answers are joined, and written by the first one.
    """

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Forget what an earlier test found."""
        self.scored: list[Scored] = []

    def on_test_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *batch: Any) -> None:  # noqa: ARG002
        """Keep the answers to a batch."""
        self.scored += outputs

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the report."""
        scored, folder = of_all_processes(self.scored, trainer), Path(trainer.log_dir or ".")  # which every process has to ask for
        if not trainer.is_global_zero or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        dataset, head = trainer.datamodule.dataset.at_split("test"), pl_module.head  # type: ignore[attr-defined]
        if isinstance(head, DetectionHead):
            findings = of_detection(scored, dataset.classes, head, pl_module.hparams.get("metrics", "pycocotools"))
            bad = worst(scored, _SHOWN, head.score_threshold)
        else:
            findings, bad = of_classification(scored, dataset.classes), worst(scored, _SHOWN)

        logged = {name.removeprefix("test/"): float(value) for name, value in trainer.callback_metrics.items()}
        about = {
            "eventzoo": eventzoo.__version__,
            "dataset": spec_of(dataset),
            "split": dataset.split,
            "samples": len(scored),
            "checkpoint": None if trainer.ckpt_path is None else str(trainer.ckpt_path),
        }
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / METRICS, {**about, **findings.numbers, "metrics": logged | findings.numbers["metrics"]})
        print(f"report:   {folder / METRICS}")
        if find_spec("matplotlib") is None:
            print("pictures: install eventzoo[viz] to have them drawn")
            return

        def worst_samples() -> "Figure":
            def seen(index: int) -> Sample:
                return apply(trainer.datamodule.eval_transforms, dataset[index], np.random.default_rng(0))  # type: ignore[attr-defined]

            title = f"{type(dataset).__name__}, {dataset.split} split: the worst of {len(scored):,} samples"
            samples, results = [seen(sample.index) for sample in bad], [sample.scored.result for sample in bad]
            return draw_samples(samples, results, dataset.classes, title, [sample.note for sample in bad])

        for name, draw in {**findings.pictures, "worst_samples.png": worst_samples}.items():
            draw().savefig(folder / name, dpi=_DPI)
            print(f"picture:  {folder / name}")


def of_classification(scored: Sequence[Scored], classes: Sequence[str]) -> Findings:
    """What is to be reported of a classifier's answers."""
    matrix = confusion(scored, len(classes))
    numbers = {
        "task": "classification",
        "protocol": "accuracy: share of all samples whose most probable class is the right one",
        "metrics": {"accuracy": float(matrix.trace() / matrix.sum())},
        "classes": class_measures(matrix, classes),
    }
    return Findings(numbers, {"confusion_matrix.png": lambda: draw_confusion(matrix, classes)})


def of_detection(scored: Sequence[Scored], classes: Sequence[str], head: DetectionHead, backend: Backend) -> Findings:
    """What is to be reported of a detector's answers.

    Args:
        scored: The samples, with all boxes from `SCORE_THRESHOLD` up.
        classes: Names of the classes.
        head: The head that found the boxes, for its settings.
        backend: What computes the average precisions.
    """
    found: Any = [sample.result for sample in scored]
    right: Any = [sample.target for sample in scored]
    precision = COCOAveragePrecision(classes, backend)
    precision.distributed_available_fn = lambda: False  # the samples of all processes are here
    precision.update(found, right)
    metrics = {name: _defined(float(value)) for name, value in precision.compute().items()}
    counts = counts_above(scored, head.score_threshold)
    boxes = np.bincount(np.concatenate([sample.class_ids for sample in right]), minlength=len(classes)).tolist()
    numbers = {
        "task": "detection",
        "protocol": (
            f"COCO ({backend}): average precision and recall of boxes with a score of at least {SCORE_THRESHOLD:g}, at most "
            f"{head.max_detections} a sample, after class-wise non-maximum suppression at an IoU of {head.nms_iou:g}; sizes are those of "
            "COCO, in pixels of the boxes as the network sees them. precision, recall and F1: of boxes with a score of at least "
            f"{head.score_threshold:g}, right at an IoU of {IOU:g}, over all samples and classes together"
        ),
        "metrics": {**metrics, "precision": counts.precision, "recall": counts.recall, "F1": counts.f1},
        "classes": {
            name: {"boxes": count, **{measure: _defined(value) for measure, value in measures.items()}}
            for (name, measures), count in zip(precision.per_class().items(), boxes, strict=True)
        },
    }
    recall, curves = precision.precision_recall()
    return Findings(numbers, {"precision_recall.png": lambda: draw_precision_recall(recall, curves, len(classes) - len(curves))})


def _defined(value: float) -> float | None:
    """A number of COCO's, which is -1 where there are no boxes."""
    return None if value < 0 else value


def _write(path: Path, report: Mapping[str, Any]) -> None:
    def rounded(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: rounded(item) for key, item in value.items()}
        return round(value, 6) if isinstance(value, float) else value

    path.write_text(json.dumps(rounded(dict(report)), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
