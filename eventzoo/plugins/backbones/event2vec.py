"""Event2Vec's network of events as tokens."""

from typing import ClassVar, Literal

from torch import Tensor, nn

from eventzoo.errors import EventZooError
from eventzoo.nn.backbone import Backbone, Kind
from eventzoo.nn.tokens.batch import HalveTokens, TokenBatch, TokenMean
from eventzoo.nn.tokens.encoder import EncoderLayer, Norm, make_norm
from eventzoo.nn.tokens.forgetting_attention import ForgettingAttention
from eventzoo.nn.tokens.gated_linear_attention import GatedLinearAttention
from eventzoo.nn.tokens.softmax_encoder import SoftmaxEncoder
from eventzoo.nn.tokens.spatial import Cells, ParametricEmbedding, SpatialEmbedding, TableEmbedding
from eventzoo.nn.tokens.temporal import GapConv, Gaps, ScaledTime, SinusoidalTime, TemporalEmbedding, Time2Vec

Attention = Literal["gated", "forgetting", "softmax"]
Halving = Literal["before", "after"]
Spatial = Literal["parametric", "table", "tables"]
Temporal = Literal["gaps", "time", "time2vec", "sinusoidal"]


class Event2Vec(Backbone):
    """Embeds each event by where and when it was, lets the events attend to each other, and averages them.

    Its versions differ in their settings. The first has spatial `tables`, temporal `time` and `softmax` attention; the second, `gated`
    attention; the third, `forgetting` attention; both of these, the defaults for the embeddings.

    Source: Fang et al., "Event2Vec: Processing Neuromorphic Events Directly by Representations in Vector Space", 2025,
    arXiv:2504.15371, and the code published with its versions.

    Args:
        sensor_size: `(width, height)` in pixels.
        in_channels: What is known of an event, 4: column, row, polarity and time. The command line sets it from the representation.
        dim: Features of a token.
        feedforward: Features between a layer's two linear layers.
        heads: Heads of a layer's attention.
        inner: Features of queries, keys, values and gates of gated attention, of all heads together; null for `dim`.
        layers: Layers of each stage.
        halving: Whether each stage is preceded (`before`) or followed (`after`) by a mean over two tokens each; null for neither.
        time_scale: Microseconds that count as 1; null for the duration of each recording, which a stream cannot know.
        gaps: How the time between two tokens counts: itself (`linear`), or as log(1 + it) (`log`).
        drop_path: Share of the recordings for which the last layer's branches are left out in training; less for the layers before it.
        causal: Whether what is computed for a token depends on no later one, so that it can be computed as the events come.
        attention: Linear attention with a recurrent state (`gated`), softmax attention that forgets (`forgetting`), or torch's transformer
            layers (`softmax`), whose class token then stands for the mean.
        norm: Of the layers: of mean and variance (`layer`) or of the root mean square (`rms`).
        spatial: Whether pixels and polarities are embedded by linear layers (`parametric`), by a table of them (`table`) or by one table of
            rows and one of columns (`tables`).
        grid: `(width, height)` of the tables, in cells; null for the sensor's pixels.
        neighbours: How many neighbours of a cell count to either side, in tables.
        dilation: Cells from one neighbour to the next.
        cells: Cells of equal sizes (`equal`), or by rounding, as those of the published weights (`rounded`).
        temporal: What is known of time: the gaps between tokens, in convolutions (`gaps`); the time since the first event, the same for all
            features (`time`), in learnt waves (`time2vec`), or in fixed ones (`sinusoidal`).

    Raises:
        EventZooError: A setting is out of its range, or makes no sense with another.

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
        attention: Attention = "gated",
        norm: Norm = "layer",
        spatial: Spatial = "parametric",
        grid: tuple[int, int] | None = None,
        neighbours: int = 0,
        dilation: int = 1,
        cells: Cells = "equal",
        temporal: Temporal = "gaps",
    ) -> None:
        super().__init__()
        if in_channels != 4 or not layers or min(layers) < 1 or min(dim, feedforward, heads) < 1:
            raise EventZooError(
                "Event2Vec: in_channels is 4, and dim, feedforward, heads and the layers of each stage are at least 1, not "
                f"{in_channels}, {dim}, {feedforward}, {heads} and {layers}"
            )
        on_grid = grid is not None or neighbours != 0 or dilation != 1 or cells != "equal"
        of_others = len(layers) > 1 or halving is not None or norm != "layer" or drop_path != 0
        for senseless, why in (
            (causal and attention != "gated", f"{attention} attention cannot be causal; gated attention can"),
            (causal and time_scale is None, "a causal network cannot know a recording's duration; set its time_scale in microseconds"),
            (inner and attention != "gated", f"{attention} attention has as many inner features as dim; leave inner null"),
            (attention == "softmax" and of_others, "with softmax attention, there are one stage, no halving, no drop_path and layer norms"),
            (spatial == "parametric" and on_grid, "grid, neighbours, dilation and cells are for tables; set spatial to table or tables"),
            (temporal != "gaps" and gaps != "linear", f"with temporal {temporal} there are no gaps to count; leave them linear"),
        ):
            if senseless:
                raise EventZooError(f"Event2Vec: {why}")
        self.sensor_size, self.out_channels, self.out_size = sensor_size, dim, None
        self.spatial: SpatialEmbedding = (
            ParametricEmbedding(sensor_size, dim)
            if spatial == "parametric"
            else TableEmbedding(sensor_size, dim, spatial == "tables", grid, neighbours, dilation, cells)
        )
        others: dict[str, type[TemporalEmbedding]] = {"time": ScaledTime, "time2vec": Time2Vec, "sinusoidal": SinusoidalTime}
        self.temporal = GapConv(dim, time_scale, gaps, causal) if temporal == "gaps" else others[temporal](dim, time_scale)
        self.stages = nn.ModuleList()
        if attention == "softmax":
            self.stages.append(SoftmaxEncoder(dim, feedforward, heads, layers[0]))  # one token a recording, which is its own mean
        else:
            shares = iter(drop_path * k / max(sum(layers) - 1, 1) for k in range(sum(layers)))
            for count in layers:
                attentions = [
                    ForgettingAttention(dim, heads)
                    if attention == "forgetting"
                    else GatedLinearAttention(dim, heads, inner or dim, bidirectional=not causal)
                    for _ in range(count)
                ]
                encoders = [EncoderLayer(dim, feedforward, module, next(shares), norm) for module in attentions]
                self.stages.append(_Stage(encoders, make_norm(norm, dim), halving, causal))
        self.mean = TokenMean()

    def forward(self, batch: TokenBatch) -> Tensor:
        """Features of a batch of recordings."""
        x, start = self.spatial(batch) + self.temporal(batch), batch.start
        for stage in self.stages:
            x, start = stage(x, start)
        return self.mean(x, start)  # type: ignore[no-any-return]

    def no_weight_decay(self) -> set[str]:
        """Biases, normalisations, the class token and tables."""
        tables = {f"{name}.weight" for name, module in self.named_modules() if isinstance(module, nn.EmbeddingBag)}
        return tables | {name for name, parameter in self.named_parameters() if parameter.ndim < 2}


class _Stage(nn.Module):
    """Layers, and a normalisation after the last."""

    def __init__(self, layers: list[EncoderLayer], norm: nn.Module, halving: Halving | None, causal: bool) -> None:
        super().__init__()
        self.before = HalveTokens(causal) if halving == "before" else None
        self.layers, self.norm = nn.ModuleList(layers), norm
        self.after = HalveTokens(causal) if halving == "after" else None

    def forward(self, x: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens, and where each recording's begin."""
        if self.before is not None:
            x, start = self.before(x, start)
        for layer in self.layers:
            x = layer(x, start)
        x = self.norm(x)
        return (x, start) if self.after is None else self.after(x, start)
