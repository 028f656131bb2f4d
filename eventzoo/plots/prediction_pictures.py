"""Pictures of predictions while training."""

from importlib.util import find_spec

import numpy as np
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger
from numpy.typing import NDArray

from eventzoo.data.datamodule import EventDataModule
from eventzoo.data.pipeline import EventBatch
from eventzoo.data.transforms import apply
from eventzoo.errors import EventZooError
from eventzoo.plots.samples import draw_samples
from eventzoo.tasks.task import Task

TAG = "val/predictions"


class PredictionPictures(Callback):
    """Draws held-out recordings with their right answers and the network's, for TensorBoard and W&B.

    The recordings are spread evenly over the validation split and the same every time. Where weights are averaged, the average is
    asked, as in the validation. Other loggers are given none, and none is drawn without matplotlib, which comes with the extra
    `viz`: both are said when the training begins.

    Args:
        every_n_epochs: Epochs from one picture to the next; the first is that of the first epoch.
        samples: Recordings in a picture.

    Raises:
        EventZooError: A setting is out of its range.
    """

    def __init__(self, every_n_epochs: int = 1, samples: int = 8) -> None:
        if every_n_epochs < 1 or samples < 1:
            raise EventZooError(f"PredictionPictures: every_n_epochs >= 1 and samples >= 1 are needed, not {every_n_epochs} and {samples}")
        self.every_n_epochs, self.samples = every_n_epochs, samples

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say what keeps pictures from being drawn."""
        self.loggers = [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger | WandbLogger)]
        hindrance = "" if self.loggers else "trainer.logger is neither TensorBoardLogger nor WandbLogger"
        if not isinstance(pl_module, Task):
            self.loggers, hindrance = [], f"{type(pl_module).__name__} predicts nothing that could be drawn"
        if find_spec("matplotlib") is None:
            self.loggers, hindrance = [], "matplotlib is not installed: pip install eventzoo[viz]"
        if hindrance and trainer.is_global_zero:
            print(f"no pictures of predictions: {hindrance}")

    def on_validation_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: EventBatch,  # noqa: ARG002
        batch_idx: int,
        dataloader_idx: int = 0,  # noqa: ARG002
    ) -> None:
        """Draw before the first batch: by then all that exchanges weights for the validation has done so."""
        due = batch_idx == 0 and trainer.current_epoch % self.every_n_epochs == 0
        if trainer.state.fn != "fit" or trainer.sanity_checking or not (due and self.loggers and trainer.is_global_zero):
            return
        picture = self._picture(trainer, pl_module)  # type: ignore[arg-type]  # for others, there are no loggers
        for logger in self.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image(TAG, picture, trainer.global_step, dataformats="HWC")
            else:
                logger.log_image(TAG, [picture], step=trainer.global_step)

    def _picture(self, trainer: Trainer, task: Task) -> NDArray[np.uint8]:
        """uint8 `[height, width, 3]`."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        data: EventDataModule = trainer.datamodule  # type: ignore[attr-defined]
        dataset, represent = data.dataset.at_split("val"), data.representation
        chosen = np.linspace(0, len(dataset) - 1, min(self.samples, len(dataset))).astype(int)
        samples = [apply(data.eval_transforms, dataset[index], np.random.default_rng(0)) for index in chosen.tolist()]
        batch = represent.collate([represent(sample.events) for sample in samples]).to(task.device)
        with trainer.precision_plugin.forward_context():
            outputs = task(batch).float().cpu().numpy()
        results = [task.head.result(output, task.classes) for output in outputs]
        title = f"{type(dataset).__name__}, held-out recordings after epoch {trainer.current_epoch + 1}"
        canvas = FigureCanvasAgg(draw_samples(samples, results, task.classes, title))
        canvas.draw()  # type: ignore[no-untyped-call]
        pixels: NDArray[np.uint8] = np.asarray(canvas.buffer_rgba())[..., :3]  # type: ignore[no-untyped-call]
        return pixels
