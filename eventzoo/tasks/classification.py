"""The task of naming what a recording shows."""

from typing import ClassVar, Literal

from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor
from torch.nn.functional import cross_entropy
from torchmetrics.classification import MulticlassAccuracy

from eventzoo.nn.backbone import Backbone
from eventzoo.tasks.heads import ClassificationHead
from eventzoo.tasks.results import Result
from eventzoo.tasks.task import Task
from eventzoo.tasks.training import Schedule, adamw


class Classification(Task):
    """Trains a backbone and a linear head with cross-entropy; reports top-1 accuracy.

    Args:
        backbone: What computes the features.
        num_classes: Number of classes. The command line sets it from the dataset.
        dropout: Share of the features that the head drops in training.
        optimizer: The optimiser, as class path and arguments.
        schedule: Course of the learning rate: "constant"; "one_cycle", which rises from 4 % of the optimiser's rate to the
            full rate over 30 % of all steps and then falls to nothing; or a scheduler of torch, stepped once an epoch.
        label_smoothing: Share of the target that is spread over all classes.
        pretrained: Folder of a saved model, as `runs/…/model`, with whose backbone's weights and statistics training begins, as far as they
            agree in name and shape. A checkpoint does not need it.
    """

    monitor: ClassVar[str] = "val/accuracy"

    def __init__(
        self,
        backbone: Backbone,
        num_classes: int,
        dropout: float = 0.0,
        optimizer: OptimizerCallable = adamw,
        schedule: Schedule = "one_cycle",
        label_smoothing: float = 0.0,
        pretrained: str | None = None,
    ) -> None:
        super().__init__(backbone, ClassificationHead(dropout).connect(backbone, num_classes), num_classes, optimizer, schedule, pretrained)
        self.save_hyperparameters()
        self.label_smoothing = label_smoothing
        self.val_accuracy = MulticlassAccuracy(num_classes, average="micro")
        self.test_accuracy = MulticlassAccuracy(num_classes, average="micro")

    def losses(self, output: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Cross-entropy of logits; smoothed in training."""
        return {"cross_entropy": cross_entropy(output, targets, label_smoothing=self.label_smoothing if self.training else 0.0)}

    def judge(self, output: Tensor, targets: Tensor, stage: Literal["val", "test"]) -> list[Result]:
        """Update the accuracy of a stage."""
        accuracy = self.val_accuracy if stage == "val" else self.test_accuracy
        accuracy.update(output, targets)
        self.log(f"{stage}/accuracy", accuracy, prog_bar=True, batch_size=len(targets))
        return [self.head.result(logits, self.classes) for logits in output.detach().float().cpu().numpy()]
