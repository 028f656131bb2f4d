"""What all trainings share: a backbone, an optimiser and its schedule."""

from abc import ABC
from copy import deepcopy
from typing import Any, ClassVar, Literal, Self

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable, ReduceLROnPlateau
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch.optim.lr_scheduler import OneCycleLR

from eventzoo.data.datamodule import EventDataModule
from eventzoo.data.transforms import sensor_size_after
from eventzoo.errors import EventZooError
from eventzoo.nn.backbone import Backbone
from eventzoo.tasks.transfer import take_backbone

Schedule = Literal["constant", "one_cycle"] | LRSchedulerCallable


def adamw(parameters: object) -> torch.optim.Optimizer:
    """AdamW at a learning rate of 1e-3 with decoupled weight decay of 1e-2."""
    return torch.optim.AdamW(parameters, lr=1e-3, weight_decay=1e-2)  # type: ignore[arg-type]


class Training(LightningModule, ABC):
    """Base of all that trains a backbone.

    Args:
        backbone: What computes the features.
        optimizer: Makes the optimiser.
        schedule: Course of the learning rate, as `Classification` describes it.
        pretrained: Folder of a saved model, with whose backbone's weights training begins.

    Attributes:
        monitor: The metric that the best epoch is chosen by; the higher, the better.
    """

    monitor: ClassVar[str]

    def __init__(self, backbone: Backbone, optimizer: OptimizerCallable, schedule: Schedule, pretrained: str | None = None) -> None:
        super().__init__()
        self.backbone, self.optimizer, self.schedule = backbone, optimizer, schedule
        self.pretrained = pretrained

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """A copy with weights of its own, as an average of weights begins with.

        It shares what makes the optimiser and its schedule: on the command line, they hold on to the parser, the trainer and the data.
        """
        copied = type(self).__new__(type(self))
        memo.update({id(self): copied, id(self.optimizer): self.optimizer, id(self.schedule): self.schedule})
        copied.__setstate__(deepcopy(self.__getstate__(), memo))  # type: ignore[no-untyped-call]
        return copied

    def setup(self, stage: str) -> None:  # noqa: ARG002
        """Refuse, in words and before anything runs, data that does not fit the backbone."""
        data = getattr(self.trainer, "datamodule", None)
        if not isinstance(data, EventDataModule):
            return
        backbone, name, dataset = self.backbone, type(self.backbone).__name__, data.dataset
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
        """The optimiser; if it decays weights that the backbone wants left alone, these and other parts' biases are a group."""
        optimizer = self.optimizer(self.parameters())
        spared = {f"backbone.{name}" for name in self.backbone.no_weight_decay()}
        if not spared or not optimizer.defaults.get("weight_decay"):
            return optimizer
        spared |= {name for name, parameter in self.named_parameters() if parameter.ndim < 2 and not name.startswith("backbone.")}
        groups: dict[bool, list[torch.nn.Parameter]] = {False: [], True: []}
        for name, parameter in self.named_parameters():
            groups[name in spared].append(parameter)
        return self.optimizer(
            [{"params": groups[False], "name": "decayed"}, {"params": groups[True], "name": "not_decayed", "weight_decay": 0.0}]
        )
