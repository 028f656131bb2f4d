"""The task of naming what a recording shows."""

from typing import Literal

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import OneCycleLR
from torchmetrics.classification import MulticlassAccuracy

from eventzoo.data.datamodule import EventDataModule
from eventzoo.data.pipeline import EventBatch
from eventzoo.data.transforms import sensor_size_after
from eventzoo.errors import EventZooError
from eventzoo.nn.backbone import Backbone
from eventzoo.tasks.heads import ClassificationHead


def adamw(parameters: object) -> torch.optim.Optimizer:
    """AdamW at a learning rate of 1e-3 with decoupled weight decay of 1e-2."""
    return torch.optim.AdamW(parameters, lr=1e-3, weight_decay=1e-2)  # type: ignore[arg-type]


class Classification(LightningModule):
    """Trains a backbone and a linear head with cross-entropy; reports top-1 accuracy.

    Args:
        backbone: What computes the features.
        num_classes: Number of classes. The command line sets it from the dataset.
        dropout: Share of the features that the head drops in training.
        optimizer: The optimiser, as class path and arguments.
        schedule: Course of the learning rate: "constant"; "one_cycle", which rises from 4 % of the optimiser's rate to the
            full rate over 30 % of all steps and then falls to nothing; or a scheduler of torch, stepped once an epoch.
        label_smoothing: Share of the target that is spread over all classes.
    """

    def __init__(
        self,
        backbone: Backbone,
        num_classes: int,
        dropout: float = 0.0,
        optimizer: OptimizerCallable = adamw,
        schedule: Literal["constant", "one_cycle"] | LRSchedulerCallable = "one_cycle",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.backbone = backbone
        self.head = ClassificationHead(backbone, num_classes, dropout)
        self.optimizer, self.schedule, self.label_smoothing = optimizer, schedule, label_smoothing
        self.val_accuracy = MulticlassAccuracy(num_classes, average="micro")
        self.test_accuracy = MulticlassAccuracy(num_classes, average="micro")

    def setup(self, stage: str) -> None:  # noqa: ARG002
        """Refuse, in words and before anything runs, data that does not fit the backbone."""
        data = getattr(self.trainer, "datamodule", None)
        if not isinstance(data, EventDataModule):
            return
        backbone, name = self.backbone, type(self.backbone).__name__
        kind, dataset = data.representation.kind, data.dataset
        if dataset.task != "classification":
            raise EventZooError(f"Classification needs a dataset of labels; {type(dataset).__name__} is set to {dataset.task}")
        if kind != backbone.accepts:
            raise EventZooError(
                f"{name} takes a representation of kind {backbone.accepts!r}, but {type(data.representation).__name__} yields {kind!r}"
            )
        for transforms in (data.train_transforms, data.eval_transforms):
            size = sensor_size_after(transforms, dataset.sensor_size)
            if backbone.sensor_size is not None and tuple(backbone.sensor_size) != size:
                after = f"{type(dataset).__name__} after its transforms" if size != dataset.sensor_size else type(dataset).__name__
                raise EventZooError(
                    f"{name} is made for a sensor of {backbone.sensor_size}, but {after} has {size} "
                    f"(width, height); set model.init_args.backbone.init_args.sensor_size to {list(size)}"
                )

    def on_train_start(self) -> None:
        """Refuse to prolong a schedule that has its end built in; torch would fail in the midst of training."""
        for config in self.trainer.lr_scheduler_configs:
            planned, wanted = getattr(config.scheduler, "total_steps", None), int(self.trainer.estimated_stepping_batches)
            if isinstance(config.scheduler, OneCycleLR) and planned is not None and planned < wanted:
                raise EventZooError(
                    f"the checkpoint's one-cycle schedule ends after {planned:,} steps, and this training has {wanted:,}: "
                    "resume with the max_epochs that it began with, or begin anew"
                )

    def forward(self, inputs: object) -> Tensor:
        """Logits `[B, num_classes]` of a batch."""
        return self.head(self.backbone(inputs))  # type: ignore[no-any-return]

    def training_step(self, batch: EventBatch, batch_idx: int) -> Tensor:  # noqa: ARG002
        """Loss of a batch."""
        loss = cross_entropy(self(batch.inputs), batch.targets, label_smoothing=self.label_smoothing)
        self.log("train/loss", loss, on_step=False, on_epoch=True, prog_bar=True, batch_size=len(batch.targets))
        return loss

    def validation_step(self, batch: EventBatch, batch_idx: int) -> None:  # noqa: ARG002
        """Loss and accuracy of a batch."""
        self._evaluate(batch, "val", self.val_accuracy)

    def test_step(self, batch: EventBatch, batch_idx: int) -> None:  # noqa: ARG002
        """Loss and accuracy of a batch."""
        self._evaluate(batch, "test", self.test_accuracy)

    def predict_step(self, batch: EventBatch, batch_idx: int) -> tuple[list[str], Tensor]:  # noqa: ARG002
        """Keys and class probabilities `[B, num_classes]` of a batch."""
        return batch.keys, self(batch.inputs).softmax(1)

    def _evaluate(self, batch: EventBatch, stage: str, accuracy: MulticlassAccuracy) -> None:
        logits, size = self(batch.inputs), len(batch.targets)
        accuracy.update(logits, batch.targets)
        self.log(f"{stage}/loss", cross_entropy(logits, batch.targets), batch_size=size)
        self.log(f"{stage}/accuracy", accuracy, prog_bar=True, batch_size=size)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The optimiser and its schedule."""
        optimizer = self.optimizer(self.parameters())
        if self.schedule == "constant":
            return optimizer
        if self.schedule == "one_cycle":
            steps = int(self.trainer.estimated_stepping_batches)
            cycle = OneCycleLR(optimizer, [group["lr"] for group in optimizer.param_groups], total_steps=steps)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": self.schedule(optimizer), "interval": "epoch"}}
