"""Training without labels: a network recovers events that are hidden from it."""

from typing import Any, ClassVar, NamedTuple

import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torchmetrics import MeanMetric

from eventzoo.data.pipeline import EventBatch
from eventzoo.errors import EventZooError
from eventzoo.nn.backbone import Backbone
from eventzoo.nn.tokens.batch import TokenBatch, sample_of
from eventzoo.nn.tokens.spatial import SpatialEmbedding
from eventzoo.tasks.training import Schedule, Training, adamw

_METRICS = ("loss", "pixel_error", "polarity_accuracy")


class Recovered(NamedTuple):
    """Hidden events, and what was made of them: x, y and polarity, each in [-1, 1].

    Attributes:
        output: What the network made of them, `[M, 3]`.
        target: What they were, `[M, 3]`.
        guess: The mean of the events of the same recording that were not hidden, `[M, 3]`.
    """

    output: Tensor
    target: Tensor
    guess: Tensor


class MaskedEvents(Training):
    """Trains a backbone of tokens, without labels, to recover where events were and of which polarity, from when they were and from the
    other events.

    A share of the tokens have their embedding of place and polarity, not that of time, replaced by one that is learnt. From what the
    backbone's layers make of them, the embedding of time is subtracted; three linear layers of d/2, d/4 and 3 features, with normalisation
    and ReLU between them and tanh at the end, make x, y and polarity of it, each in [-1, 1]. The loss is their mean squared error.

    Its metrics are those of guessing the mean of a recording's other events, too: `pixel_error`, the mean absolute error of x and y in
    pixels, `polarity_accuracy`, and `explained`, by how much the loss is less than the guess's, as a share of that.

    Training saves the backbone's weights alone, for the `pretrained` of a task.

    Source: Fang et al., "Event2Vec: Processing Neuromorphic Events Directly by Representations in Vector Space", 2025, arXiv:2504.15371,
    in its third version, where the order was polarity, y, x.

    Args:
        backbone: An Event2Vec of one stage that halves nothing.
        share: Of the tokens that are hidden, between 0 and 1.
        optimizer: The optimiser, as class path and arguments.
        schedule: Course of the learning rate, as in `Classification`.
        pretrained: Folder of a saved model, with whose backbone's weights training begins.

    Raises:
        EventZooError: The share is none, or the backbone does not keep every token.
    """

    monitor: ClassVar[str] = "val/explained"

    def __init__(
        self,
        backbone: Backbone,
        share: float = 0.3,
        optimizer: OptimizerCallable = adamw,
        schedule: Schedule = "one_cycle",
        pretrained: str | None = None,
    ) -> None:
        super().__init__(backbone, optimizer, schedule, pretrained)
        self.save_hyperparameters(ignore="num_classes")  # which the command line has for every task
        if not 0 < share < 1:
            raise EventZooError(f"MaskedEvents: share must be between 0 and 1, not {share}")
        stages: Any = getattr(backbone, "stages", ())
        if not isinstance(getattr(backbone, "spatial", None), SpatialEmbedding) or backbone.sensor_size is None:
            raise EventZooError(f"MaskedEvents trains an Event2Vec, of which it hides embeddings of places, no {type(backbone).__name__}")
        if len(stages) != 1 or any(getattr(stages[0], halving, stages) is not None for halving in ("before", "after")):
            raise EventZooError(
                "MaskedEvents needs every token after the layers, too: give Event2Vec one stage (layers: [2], say), halving: null, and no "
                "softmax attention, which leaves a class token alone"
            )
        self.share, dim = share, backbone.out_channels
        if dim < 16:
            raise EventZooError(f"MaskedEvents needs a dim of 16 at least, of a quarter of which places are read, not {dim}")
        self.token = nn.Parameter(nn.init.trunc_normal_(torch.empty(dim), std=0.02))
        self.decoder = nn.Sequential(
            nn.Linear(dim, dim // 2),
            nn.LayerNorm(dim // 2),
            nn.ReLU(),
            nn.Linear(dim // 2, dim // 4),
            nn.LayerNorm(dim // 4),
            nn.ReLU(),
            nn.Linear(dim // 4, 3),
            nn.Tanh(),
        )
        self.metrics = nn.ModuleDict({f"{of}{name}": MeanMetric() for of in ("", "guess_") for name in _METRICS})

    def forward(self, batch: TokenBatch, hidden: Tensor) -> Recovered:
        """Recover the tokens where `hidden`, bool `[N]`, is True."""
        backbone: Any = self.backbone
        time = backbone.temporal(batch)
        x = torch.where(hidden[:, None], self.token, backbone.spatial(batch)) + time
        x, _ = backbone.stages[0](x, batch.start)
        width, height = backbone.sensor_size
        events = torch.stack([batch.x, batch.y, batch.p], 1) / torch.tensor([width - 1, height - 1, 1], device=x.device) * 2 - 1
        return Recovered(self.decoder((x - time)[hidden]), events[hidden], _means(events, ~hidden, batch.start)[hidden])

    def training_step(self, batch: EventBatch, batch_idx: int) -> Tensor:  # noqa: ARG002
        """Loss of a batch."""
        recovered = self(batch.inputs, self._hidden(batch.inputs))
        loss: Tensor = mse_loss(recovered.output, recovered.target, reduction="sum") / max(recovered.target.numel(), 1)
        size: Any = float(len(batch.keys))
        self.log("train/loss", loss, prog_bar=True, on_step=False, on_epoch=True, batch_size=size, sync_dist=True)
        return loss

    def validation_step(self, batch: EventBatch, batch_idx: int) -> None:
        """Metrics of a batch, of which the same tokens are hidden in every epoch."""
        recovered = self(batch.inputs, self._hidden(batch.inputs, torch.Generator().manual_seed(batch_idx)))
        width, height = self.backbone.sensor_size or (1, 1)
        pixels, metrics = recovered.target.new_tensor([width - 1, height - 1]) / 2, dict[str, Any](self.metrics.items())
        for of, found in (("", recovered.output), ("guess_", recovered.guess)):
            error = found - recovered.target
            metrics[f"{of}loss"].update(error**2)
            metrics[f"{of}pixel_error"].update(error[:, :2].abs() * pixels)
            metrics[f"{of}polarity_accuracy"].update(((found > 0) == (recovered.target > 0))[:, 2].float())

    def on_validation_epoch_end(self) -> None:
        """Compute and log the metrics."""
        metrics = dict[str, Any](self.metrics.items())
        found = {name: metric.compute() for name, metric in metrics.items()}
        for metric in metrics.values():
            metric.reset()
        found["explained"] = 1 - found["loss"] / found["guess_loss"]
        self.log_dict({f"val/{name}": value for name, value in found.items()})

    def _hidden(self, batch: TokenBatch, generator: torch.Generator | None = None) -> Tensor:
        """Which tokens to hide, bool `[N]`."""
        return (torch.rand(len(batch.t), generator=generator) < self.share).to(batch.t.device)


def _means(events: Tensor, seen: Tensor, start: Tensor) -> Tensor:
    """For each token the mean of those of its recording that are seen, `[N, C]`; zeros where there are none."""
    sample = sample_of(start)
    sums = events.new_zeros(len(start) - 1, events.shape[1] + 1)
    sums = sums.index_add(0, sample[seen], nn.functional.pad(events[seen], (0, 1), value=1.0))
    return (sums[:, :-1] / sums[:, -1:].clamp(min=1))[sample]
