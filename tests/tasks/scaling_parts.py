"""Parts that the tests of training name by class path, as a user names their own."""

import json
from pathlib import Path
from typing import ClassVar

import torch
from lightning.pytorch import Callback
from torch import Tensor, nn

from eventzoo.nn.backbone import Backbone, Kind


class SmallBackbone(Backbone):
    """Two convolutions over an image of 64×64, without batch norm unless asked for.

    Args:
        batch_norm: Whether there is one.
        in_channels: Set by the command line.
    """

    accepts: ClassVar[Kind] = "image"

    def __init__(self, batch_norm: bool = False, in_channels: int = 2) -> None:
        super().__init__()
        self.sensor_size, self.out_channels, self.out_size = (64, 64), 8, (4, 4)
        norm = nn.BatchNorm2d(8) if batch_norm else nn.Identity()
        first, second = nn.Conv2d(in_channels, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, 2, 1)
        self.layers = nn.Sequential(nn.AvgPool2d(4), first, norm, nn.Tanh(), second, nn.Tanh())

    def forward(self, batch: Tensor) -> Tensor:
        """Features `[B, 8, 4, 4]`."""
        return self.layers(batch)


class FrozenBatchNorm(Callback):
    """Keeps the statistics of batch norm as they are at the start: those of a batch depend on its size."""

    def on_train_epoch_start(self, trainer, pl_module) -> None:
        for module in pl_module.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()


class Diary(Callback):
    """Writes what each process sees: a line a training step or epoch of validation.

    Args:
        folder: Where each process has its file.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def write(self, trainer, **line) -> None:
        with (self.folder / f"{trainer.global_rank}.jsonl").open("a") as file:
            file.write(json.dumps({"epoch": trainer.current_epoch, **line}) + "\n")

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        self.write(trainer, step=trainer.global_step, keys=sorted(batch.keys), loss=float(outputs["loss"]))

    def on_validation_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0) -> None:
        if not trainer.sanity_checking:
            self.write(trainer, validated=batch.keys)

    def on_train_end(self, trainer, pl_module) -> None:
        torch.save(pl_module.state_dict(), self.folder / f"{trainer.global_rank}.pt")


class OwnAverage(Callback):
    """The exponential moving average of weights and statistics, by its formula: the first step's, then d·average + (1 - d)·weights.

    Args:
        decay: d.
        file: Where the average of each step is.
    """

    def __init__(self, decay: float, file: str) -> None:
        self.decay, self.file, self.average = decay, Path(file), None

    def on_train_batch_end(self, trainer, pl_module, *args) -> None:
        state = {name: tensor.clone() for name, tensor in pl_module.state_dict().items() if tensor.is_floating_point()}
        if self.average is not None:
            state = {name: self.decay * self.average[name] + (1 - self.decay) * tensor for name, tensor in state.items()}
        self.average = state
        torch.save(state, self.file)
