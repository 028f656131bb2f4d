"""What all tasks share: a head on the backbone, its loss, and how its answers are judged."""

from abc import abstractmethod
from typing import Any, Literal

import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor

from eventzoo.data.datamodule import EventDataModule
from eventzoo.data.pipeline import EventBatch
from eventzoo.errors import EventZooError
from eventzoo.nn.backbone import Backbone
from eventzoo.tasks.heads import Head
from eventzoo.tasks.results import Result, Scored
from eventzoo.tasks.training import Schedule, Training


class Task(Training):
    """Base of all tasks: what is trained, and how it is judged.

    Args:
        backbone: What computes the features.
        head: What computes the answer from them, connected to the backbone.
        num_classes: Number of classes.
        optimizer: Makes the optimiser.
        schedule: Course of the learning rate, as `Classification` describes it.
        pretrained: Folder of a saved model, with whose backbone's weights training begins.

    Attributes:
        classes: Names of the classes; numbers until the data gives them names.
    """

    def __init__(
        self,
        backbone: Backbone,
        head: Head,
        num_classes: int,
        optimizer: OptimizerCallable,
        schedule: Schedule,
        pretrained: str | None = None,
    ) -> None:
        super().__init__(backbone, optimizer, schedule, pretrained)
        self.head = head
        self.classes = tuple(map(str, range(num_classes)))

    @abstractmethod
    def losses(self, output: Tensor, targets: Any) -> dict[str, Tensor]:
        """The terms of a batch's loss by name, from the head's output; their sum is the loss."""

    @abstractmethod
    def judge(self, output: Tensor, targets: Any, stage: Literal["val", "test"]) -> list[Result]:
        """Update the metrics of a stage; what they take the model to say of each sample."""

    def setup(self, stage: str) -> None:
        """Refuse, in words and before anything runs, data that does not fit the head or the backbone."""
        data = getattr(self.trainer, "datamodule", None)
        if isinstance(data, EventDataModule):
            self.classes, dataset = tuple(data.dataset.classes), data.dataset
            if dataset.task != self.head.task:
                needs = {"classification": "labels", "detection": "boxes"}[self.head.task]
                raise EventZooError(f"{type(self).__name__} needs a dataset of {needs}; {type(dataset).__name__} is set to {dataset.task}")
        super().setup(stage)

    def forward(self, inputs: object) -> Tensor:
        """The head's output for a batch."""
        return self.head(self.backbone(inputs))  # type: ignore[no-any-return]

    def training_step(self, batch: EventBatch, batch_idx: int) -> Tensor:  # noqa: ARG002
        """Loss of a batch."""
        return self._logged_loss(self(batch.inputs), batch, "train")

    def validation_step(self, batch: EventBatch, batch_idx: int) -> None:  # noqa: ARG002
        """Loss and metrics of a batch."""
        output = self(batch.inputs)
        self._logged_loss(output, batch, "val")
        self.judge(output, batch.targets, "val")

    def test_step(self, batch: EventBatch, batch_idx: int) -> list[Scored]:  # type: ignore[override]  # noqa: ARG002  # Lightning passes it on
        """Loss and metrics of a batch; its samples with their right answers and the model's."""
        output = self(batch.inputs)
        self._logged_loss(output, batch, "test")
        results = self.judge(output, batch.targets, "test")
        targets = batch.targets.tolist() if isinstance(batch.targets, Tensor) else batch.targets
        return [Scored(*scored) for scored in zip(batch.keys, targets, results, strict=True)]

    def predict_step(self, batch: EventBatch, batch_idx: int) -> tuple[list[str], list[Result]]:  # noqa: ARG002
        """Keys of a batch, and what the model says of each sample."""
        return batch.keys, [self.head.result(output, self.classes) for output in self(batch.inputs).float().cpu().numpy()]

    def _logged_loss(self, output: Tensor, batch: EventBatch, stage: str) -> Tensor:
        terms = self.losses(output, batch.targets)
        loss = torch.stack(list(terms.values())).sum()
        # A float, as Lightning rounds the mean of integers over unequal processes down (its issue 21859), and the loss is divided by it.
        size: Any = float(len(batch.keys))
        self.log(f"{stage}/loss", loss, prog_bar=stage == "train", on_step=False, on_epoch=True, batch_size=size, sync_dist=True)
        if len(terms) > 1:
            named = {f"{stage}/loss_{name}": term.detach() for name, term in terms.items()}
            self.log_dict(named, on_step=False, on_epoch=True, batch_size=size, sync_dist=True)
        return loss
