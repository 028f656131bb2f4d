"""Event2Vec's network of events as tokens."""

from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from eventzoo.errors import EventZooError
from eventzoo.nn.backbone import Backbone, Kind
from eventzoo.nn.tokens.batch import HalveTokens, TokenBatch, TokenMean
from eventzoo.nn.tokens.encoder import EncoderLayer
from eventzoo.nn.tokens.gated_linear_attention import GatedLinearAttention
from eventzoo.nn.tokens.spatial import ParametricEmbedding
from eventzoo.nn.tokens.temporal import GapConv, Gaps

Halving = Literal["before", "after"]


class Event2Vec(Backbone):
    """Embeds each event by where and when it was, lets the events attend to each other, and averages them.

    Source: Fang et al., "Event2Vec: Processing Neuromorphic Events Directly by Representations in Vector Space", 2025,
    arXiv:2504.15371, and the code published with its versions.

    Args:
        sensor_size: `(width, height)` in pixels.
        in_channels: What is known of an event, 4: column, row, polarity and time. The command line sets it from the representation.
        dim: Features of a token.
        feedforward: Features between a layer's two linear layers.
        heads: Heads of a layer's attention.
        inner: Features of queries, keys, values and gates, of all heads together; null for `dim`.
        layers: Layers of each stage.
        halving: Whether each stage is preceded (`before`) or followed (`after`) by a mean over two tokens each; null for neither.
        time_scale: Microseconds that count as 1; null for the duration of each recording, which a stream cannot know.
        gaps: How the time between two tokens counts: itself (`linear`), or as log(1 + it) (`log`).
        drop_path: Share of the recordings for which the last layer's branches are left out in training; less for the layers before it.
        causal: Whether what is computed for a token depends on no later one, so that it can be computed as the events come.

    Raises:
        EventZooError: A setting is out of its range, or cannot be causal.

    Shapes:
        input: A `TokenBatch` of B recordings.
        output: `[B, dim]`.
    """

    accepts: ClassVar[Kind] = "tokens"

    def __init__(
        self,
        sensor_size: tuple[int, int],
        in_channels: int = 4,
        dim: int = 64,
        feedforward: int = 128,
        heads: int = 2,
        inner: int | None = None,
        layers: tuple[int, ...] = (2,),
        halving: Halving | None = None,
        time_scale: int | None = None,
        gaps: Gaps = "linear",
        drop_path: float = 0.0,
        causal: bool = False,
    ) -> None:
        super().__init__()
        if in_channels != 4 or not layers or min(layers) < 1 or min(dim, feedforward, heads) < 1:
            raise EventZooError(
                "Event2Vec: in_channels is 4, and dim, feedforward, heads and the layers of each stage are at least 1, not "
                f"{in_channels}, {dim}, {feedforward}, {heads} and {layers}"
            )
        if causal and time_scale is None:
            raise EventZooError("Event2Vec: a causal network cannot know a recording's duration; set its time_scale in microseconds")
        self.sensor_size, self.out_channels, self.out_size = sensor_size, dim, None
        self.spatial = ParametricEmbedding(sensor_size, dim)
        self.temporal = GapConv(dim, time_scale, gaps, causal)
        total, number = sum(layers), 0
        self.stages = nn.ModuleList()
        for count in layers:
            attentions = [GatedLinearAttention(dim, heads, inner or dim, bidirectional=not causal) for _ in range(count)]
            shares = [drop_path * (number + k) / max(total - 1, 1) for k in range(count)]
            self.stages.append(_Stage(dim, feedforward, attentions, shares, halving, causal))
            number += count
        self.mean = TokenMean()

    def forward(self, batch: TokenBatch) -> Tensor:
        """Features of a batch of recordings."""
        x, start = self.spatial(batch) + self.temporal(batch), batch.start
        for stage in self.stages:
            x, start = stage(x, start)
        return self.mean(x, start)  # type: ignore[no-any-return]

    def no_weight_decay(self) -> set[str]:
        """Biases and normalisations."""
        return {name for name, parameter in self.named_parameters() if parameter.ndim < 2}


class _Stage(nn.Module):
    """Layers, and a normalisation after the last."""

    def __init__(
        self, dim: int, feedforward: int, attentions: list[Any], drop_path: list[float], halving: Halving | None, causal: bool
    ) -> None:
        super().__init__()
        self.before = HalveTokens(causal) if halving == "before" else None
        self.layers = nn.ModuleList(EncoderLayer(dim, feedforward, *of_layer) for of_layer in zip(attentions, drop_path, strict=True))
        self.norm = nn.LayerNorm(dim)
        self.after = HalveTokens(causal) if halving == "after" else None

    def forward(self, x: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens, and where each recording's begin."""
        if self.before is not None:
            x, start = self.before(x, start)
        for layer in self.layers:
            x = layer(x, start)
        x = self.norm(x)
        return (x, start) if self.after is None else self.after(x, start)
