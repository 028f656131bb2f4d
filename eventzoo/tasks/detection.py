"""The task of finding the objects in a recording."""

from collections.abc import Sequence
from typing import ClassVar, Literal

from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor

from eventzoo.data.boxes import Boxes
from eventzoo.nn.backbone import Backbone
from eventzoo.tasks.heads import DetectionHead, YOLOXHead
from eventzoo.tasks.metrics import Backend, COCOAveragePrecision
from eventzoo.tasks.results import Result
from eventzoo.tasks.task import Task
from eventzoo.tasks.training import Schedule, adamw

SCORE_THRESHOLD = 0.001  # of boxes that the metrics take: average precision is about all of them, the unsure ones too


class Detection(Task):
    """Trains a backbone and a detection head; reports COCO's average precisions.

    Args:
        backbone: What computes the features.
        num_classes: Number of classes. The command line sets it from the dataset.
        head: What finds boxes in the features, and its loss. Default: `YOLOXHead`.
        optimizer: The optimiser, as class path and arguments.
        schedule: Course of the learning rate: "constant"; "one_cycle", which rises from 4 % of the optimiser's rate to the
            full rate over 30 % of all steps and then falls to nothing; or a scheduler of torch, stepped once an epoch.
        metrics: What computes the average precisions: `pycocotools`, or `faster_coco_eval`, an extra, which gives the same numbers
            sooner.
        pretrained: Folder of a saved model, as `runs/…/model`, with whose backbone's weights and statistics training begins, as far as they
            agree in name and shape. A checkpoint does not need it.
    """

    monitor: ClassVar[str] = "val/AP50"
    head: DetectionHead

    def __init__(
        self,
        backbone: Backbone,
        num_classes: int,
        head: DetectionHead | None = None,
        optimizer: OptimizerCallable = adamw,
        schedule: Schedule = "one_cycle",
        metrics: Backend = "pycocotools",
        pretrained: str | None = None,
    ) -> None:
        connected = (YOLOXHead() if head is None else head).connect(backbone, num_classes)
        super().__init__(backbone, connected, num_classes, optimizer, schedule, pretrained)
        self.save_hyperparameters()
        self.val_precision = COCOAveragePrecision(self.classes, metrics)
        self.test_precision = COCOAveragePrecision(self.classes, metrics)

    def losses(self, output: Tensor, targets: Sequence[Boxes]) -> dict[str, Tensor]:
        """The terms of the head's loss."""
        return self.head.loss(output, targets)

    def judge(self, output: Tensor, targets: Sequence[Boxes], stage: Literal["val", "test"]) -> list[Result]:
        """Update the average precisions of a stage."""
        found = self.head.detections(output, self.classes, SCORE_THRESHOLD)
        (self.val_precision if stage == "val" else self.test_precision).update(found, targets)
        return list(found)

    def on_validation_epoch_end(self) -> None:
        """Compute and log the average precisions."""
        self._log_precision("val", self.val_precision)

    def on_test_epoch_end(self) -> None:
        """Compute and log the average precisions."""
        self._log_precision("test", self.test_precision)

    def _log_precision(self, stage: str, precision: COCOAveragePrecision) -> None:
        known = {name: value for name, value in precision.compute().items() if value >= 0 or name in ("mAP", "AP50")}  # -1: of no boxes
        self.log_dict({f"{stage}/{name}": value for name, value in known.items()}, sync_dist=True)
        precision.reset()
