"""What all tasks share: a backbone, a head, an optimiser and its schedule."""

from abc import ABC, abstractmethod
from copy import deepcopy
from typing import Any, ClassVar, Literal, Self

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable, ReduceLROnPlateau
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.optim.lr_scheduler import OneCycleLR

from eventzoo.data.datamodule import EventDataModule
from eventzoo.data.pipeline import EventBatch
from eventzoo.data.transforms import sensor_size_after
from eventzoo.errors import EventZooError
from eventzoo.nn.backbone import Backbone
from eventzoo.tasks.heads import Head
from eventzoo.tasks.results import Result, Scored
from eventzoo.tasks.transfer import take_backbone

Schedule = Literal["constant", "one_cycle"] | LRSchedulerCallable


def adamw(parameters: object) -> torch.optim.Optimizer:
    """AdamW at a learning rate of 1e-3 with decoupled weight decay of 1e-2."""
    return torch.optim.AdamW(parameters, lr=1e-3, weight_decay=1e-2)  # type: ignore[arg-type]


class Task(LightningModule, ABC):
    """Base of all tasks: what is trained, and how it is judged.

    Args:
        backbone: What computes the features.
        head: What computes the answer from them, connected to the backbone.
        optimizer: Makes the optimiser.
        schedule: Course of the learning rate, as `Classification` describes it.
        pretrained: Folder of a saved model, with whose backbone's weights training begins.

    Attributes:
        monitor: The metric that the best epoch is chosen by; the higher, the better.
        classes: Names of the classes; numbers until the data gives them names.
    """

    monitor: ClassVar[str]

    def __init__(
        self,
        backbone: Backbone,
        head: Head,
        num_classes: int,
        optimizer: OptimizerCallable,
        schedule: Schedule,
        pretrained: str | None = None,
    ) -> None:
        super().__init__()
        self.backbone, self.head, self.optimizer, self.schedule = backbone, head, optimizer, schedule
        self.pretrained = pretrained
        self.classes = tuple(map(str, range(num_classes)))

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """A copy with weights of its own, as an average of weights begins with.

        It shares what makes the optimiser and its schedule: on the command line, they hold on to the parser, the trainer and the data.
        """
        copied = type(self).__new__(type(self))
        memo.update({id(self): copied, id(self.optimizer): self.optimizer, id(self.schedule): self.schedule})
        copied.__setstate__(deepcopy(self.__getstate__(), memo))  # type: ignore[no-untyped-call]
        return copied

    @abstractmethod
    def losses(self, output: Tensor, targets: Any) -> dict[str, Tensor]:
        """The terms of a batch's loss by name, from the head's output; their sum is the loss."""

    @abstractmethod
    def judge(self, output: Tensor, targets: Any, stage: Literal["val", "test"]) -> list[Result]:
        """Update the metrics of a stage; what they take the model to say of each sample."""

    def setup(self, stage: str) -> None:  # noqa: ARG002
        """Refuse, in words and before anything runs, data that does not fit the backbone."""
        data = getattr(self.trainer, "datamodule", None)
        if not isinstance(data, EventDataModule):
            return
        self.classes = tuple(data.dataset.classes)
        backbone, name = self.backbone, type(self.backbone).__name__
        dataset = data.dataset
        if dataset.task != self.head.task:
            needs = {"classification": "labels", "detection": "boxes"}[self.head.task]
            raise EventZooError(f"{type(self).__name__} needs a dataset of {needs}; {type(dataset).__name__} is set to {dataset.task}")
        backbone.check_representation(data.representation)
        for transforms in (data.train_transforms, data.eval_transforms):
            size = sensor_size_after(transforms, dataset.sensor_size)
            if backbone.sensor_size is not None and tuple(backbone.sensor_size) != size:
                after = f"{type(dataset).__name__} after its transforms" if size != dataset.sensor_size else type(dataset).__name__
                raise EventZooError(
                    f"{name} is made for a sensor of {backbone.sensor_size}, but {after} has {size} "
                    f"(width, height); set model.init_args.backbone.init_args.sensor_size to {list(size)}"
                )

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:  # noqa: ARG002
        """Know that the weights are a checkpoint's, which outweigh those of the model that its training began with."""
        self.pretrained = None

    def on_fit_start(self) -> None:
        """Begin with the weights of another model, if so asked; say which."""
        if self.pretrained is not None:
            rank_zero_only(print)(take_backbone(self.backbone, self.pretrained))
            self.pretrained = None

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

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The optimiser and its schedule."""
        optimizer = self._optimizer()
        if self.schedule == "constant":
            return optimizer
        if self.schedule == "one_cycle":
            steps = int(self.trainer.estimated_stepping_batches)
            cycle = OneCycleLR(optimizer, [group["lr"] for group in optimizer.param_groups], total_steps=steps)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}
        scheduler = self.schedule(optimizer)
        monitor = scheduler.monitor if isinstance(scheduler, ReduceLROnPlateau) else None
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "epoch", "monitor": monitor}}

    def _optimizer(self) -> torch.optim.Optimizer:
        """The optimiser; if it decays weights and the backbone has parameters to be left alone, these and the head's biases are a group."""
        optimizer = self.optimizer(self.parameters())
        spared = {f"backbone.{name}" for name in self.backbone.no_weight_decay()}
        if not spared or not optimizer.defaults.get("weight_decay"):
            return optimizer
        spared |= {f"head.{name}" for name, parameter in self.head.named_parameters() if parameter.ndim < 2}
        groups: dict[bool, list[torch.nn.Parameter]] = {False: [], True: []}
        for name, parameter in self.named_parameters():
            groups[name in spared].append(parameter)
        return self.optimizer(
            [{"params": groups[False], "name": "decayed"}, {"params": groups[True], "name": "not_decayed", "weight_decay": 0.0}]
        )
