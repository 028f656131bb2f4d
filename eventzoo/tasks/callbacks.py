"""What every training does beside its task: exact restarts, and a line an epoch."""

import sys
import time
from pathlib import Path

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

from eventzoo.data.pipeline import EventBatch


class ExactResume(Callback):
    """Makes a resumed training equal to one that was never stopped, and says how to resume."""

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: EventBatch, batch_idx: int) -> None:  # noqa: ARG002
        """Seed what draws on torch's generator, such as dropout, by the seed, the place in the training and the process."""
        seed = trainer.datamodule.seed  # type: ignore[attr-defined]
        state = np.random.SeedSequence([seed, trainer.current_epoch, batch_idx, trainer.global_rank]).generate_state(1)
        torch.manual_seed(int(state[0]))

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:  # noqa: ARG002
        """Print the command."""
        last = next((callback.best_model_path for callback in trainer.checkpoint_callbacks if isinstance(callback, LastCheckpoint)), "")
        if trainer.training and last:
            print(f"\nstopped in epoch {trainer.current_epoch}; go on with the same command and --ckpt_path {last}", file=sys.stderr)
        elif trainer.training:
            print("\nstopped before the first epoch was complete; nothing was saved", file=sys.stderr)


class LastCheckpoint(ModelCheckpoint):
    """Saves every epoch as `last.ckpt`, to go on from. Lightning's `save_last` leaves out epochs that are no better than the best.

    Args:
        folder: Where to; None for Lightning's choice.
    """

    def __init__(self, folder: str | Path | None) -> None:
        super().__init__(dirpath=folder, filename="last", enable_version_counter=False)


class EpochLine(Callback):
    """Prints a line an epoch, which stays on the screen and in a log file."""

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Start the clock."""
        self.start = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Print the epoch, its metrics and how long it took."""
        if trainer.is_global_zero:
            metrics = "  ".join(f"{name} {value:.4f}" for name, value in sorted(trainer.callback_metrics.items()))
            epoch = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
            print(f"{epoch:<14}{metrics}  {time.monotonic() - self.start:.0f} s", flush=True)
