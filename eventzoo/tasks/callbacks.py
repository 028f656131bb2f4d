"""What every training does beside its task: exact restarts, its throughput, and a line an epoch."""

import sys
import time
from pathlib import Path

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from torch_geometric.data import Data

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
        if not trainer.is_global_zero:
            return
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


class Throughput(Callback):
    """Logs how much a training takes in, waiting for data included and validation left out, over all processes.

    An epoch's `train/samples_per_s` and, where the network is given a graph of events, `train/events_per_s`.
    """

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Start the clock."""
        self.samples, self.events, self.is_graph, self.seconds = 0, 0, False, 0.0
        self.since = time.monotonic()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Go on with the clock."""
        self.since = time.monotonic()

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,  # noqa: ARG002
        outputs: object,  # noqa: ARG002
        batch: EventBatch,
        batch_idx: int,  # noqa: ARG002
    ) -> None:
        """Count the batch, and the time since the last one."""
        if trainer.is_last_batch and trainer.strategy.root_device.type == "cuda":
            torch.cuda.synchronize()  # all that an epoch asked of the device belongs to its time
        now = time.monotonic()
        self.seconds, self.since = self.seconds + now - self.since, now
        self.samples += len(batch.keys)
        if isinstance(batch.inputs, Data):
            self.is_graph, self.events = True, self.events + int(batch.inputs.num_nodes or 0)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Log the epoch's rates."""
        pl_module.log("train/samples_per_s", self.samples / self.seconds, sync_dist=True, reduce_fx="sum")
        if self.is_graph:
            pl_module.log("train/events_per_s", self.events / self.seconds, sync_dist=True, reduce_fx="sum")


class EpochLine(Callback):
    """Prints a line an epoch, which stays on the screen and in a log file: the losses and the metrics that tell how it goes."""

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Start the clock."""
        self.start = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the epoch, its metrics, how fast it was and how long it took."""
        metrics = trainer.callback_metrics
        if trainer.is_global_zero:
            names = dict.fromkeys(("train/loss", "val/loss", "val/accuracy", "val/mAP", "val/AP50", getattr(pl_module, "monitor", "")))
            shown = "  ".join(f"{name} {metrics[name]:.4f}" for name in names if name in metrics)
            if "train/samples_per_s" in metrics:
                shown += f"  {metrics['train/samples_per_s']:,.0f} samples/s"
            epoch = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
            print(f"{epoch:<14}{shown}  {time.monotonic() - self.start:.0f} s", flush=True)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Say why the training ended before its last epoch."""
        for callback in trainer.early_stopping_callbacks:
            if isinstance(callback, EarlyStopping) and trainer.should_stop and trainer.is_global_zero and callback.stopping_reason_message:
                reason = callback.stopping_reason_message.removesuffix(" Signaling Trainer to stop.")
                print(f"stopped early, after epoch {callback.stopped_epoch + 1}: {reason}")
