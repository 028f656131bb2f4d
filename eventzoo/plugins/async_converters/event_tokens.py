"""Tokens, their embeddings and gated linear attention, event by event."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import nn

from eventzoo import representations
from eventzoo.asynchronous import Argument, AsyncConverter, Cost, Domain, Features, Plan, State, Unsupported
from eventzoo.asynchronous.engine import CHUNK
from eventzoo.errors import EventZooError
from eventzoo.kernels.asynchronous.sites import Floats
from eventzoo.kernels.asynchronous.tokens import attention, stream, time
from eventzoo.nn.tokens.batch import HalveTokens, TokenMean
from eventzoo.nn.tokens.gated_linear_attention import GatedLinearAttention
from eventzoo.nn.tokens.spatial import SpatialEmbedding
from eventzoo.nn.tokens.temporal import GapConv, ScaledTime, SinusoidalTime, TemporalEmbedding, Time2Vec

if TYPE_CHECKING:
    from eventzoo.plugins.representations.event_tokens import EventTokens


@dataclass(eq=False)
class Tokens:
    """Tokens of the stream, as a batch's `start`: all of them are of one recording.

    Attributes:
        domain: Those of the transaction at hand.
        state: State of type `stream.Tokens`.
        stream: State of type `stream.TokenStream`.
        events: The events in the window.
        share: Events of each token.
    """

    domain: Domain
    state: State
    stream: State
    events: Domain
    share: int


class Table(NamedTuple):
    """The embeddings of all places, float32 `[places, C]`."""

    rows: Floats


class AsyncEventTokens(AsyncConverter):
    """Each event is a token, which goes through all layers when it comes, and is forgotten."""

    handles: ClassVar = (representations.EventTokens,)

    def convert(self, plan: Plan, layer: "EventTokens", *args: Any, **kwargs: Any) -> Any:  # noqa: ARG002  # a representation has none
        """The batch that the backbone is given."""
        window = (plan.window.events, plan.window.microseconds)
        if window != (None, None) and not plan.window.history:
            raise Unsupported(
                "what a token sees depends on all tokens before it, so that none can be taken back; a window with history, of final "
                "features, is possible"
            )
        events = plan.domain(plan.capacity, grows=True)
        track = plan.state(stream.make_stream(plan.sensor_size, window, plan.capacity), events, stream.PER_SITE)
        tokens = _tokens(plan, track, events, 1)
        arguments: list[Argument] = [track, events.sites, tokens.state, tokens.domain.sites]
        plan.begin(events, stream.push_events, arguments, lambda: stream.window_events(track.value))
        return SimpleNamespace(start=tokens)


class AsyncSpatialEmbedding(AsyncConverter):
    """Embeddings of places: all of them are computed beforehand."""

    handles: ClassVar = (SpatialEmbedding,)

    @torch.inference_mode()
    def convert(self, plan: Plan, layer: SpatialEmbedding, *args: Any, **kwargs: Any) -> Features:
        """The embedded tokens."""
        tokens = _of_batch(args, kwargs)
        if tuple(layer.sensor_size) != tuple(plan.sensor_size):
            made_for, given = ("×".join(map(str, size)) for size in (layer.sensor_size, plan.sensor_size))
            raise EventZooError(
                f"{plan.layer} is made for a {made_for} sensor, the events that reach it are of {given}; make the network for "
                "that size, or let the model's transforms crop or scale the events"
            )
        table = plan.weights(Table(layer.table().float().cpu().numpy()))
        embedded = plan.features(tokens.domain, layer.dim)
        arguments: list[Argument] = [table.array("rows"), tokens.state.array("place"), tokens.domain.sites, embedded.rows]
        plan.step(stream.embed, arguments, tokens.domain)
        return embedded


class AsyncGapConv(AsyncConverter):
    """Convolutions over the gaps before a token, if they are causal."""

    handles: ClassVar = (GapConv,)

    def convert(self, plan: Plan, layer: GapConv, *args: Any, **kwargs: Any) -> Features:
        """The embedded tokens."""
        tokens = _of_batch(args, kwargs)
        if not layer.causal:
            raise Unsupported("it sees later tokens, unlike that of a causal network")
        if layer.time_scale is None:
            raise Unsupported("it measures time by the recording's end, unlike one with a time_scale")
        own, count = _arrays(layer), len(layer.convs)
        convs = [own[f"convs.{k}.weight"].reshape(-1, 3) for k in range(count)]
        widths = [1, *map(len, convs)]
        norms = [np.stack([own[f"norms.{k}.weight"], own[f"norms.{k}.bias"]], 1) for k in range(count)]
        (eps,) = {norm.eps for norm in layer.norms if isinstance(norm, nn.LayerNorm)}
        scale, room = np.array([layer.time_scale, eps, layer.gaps == "log"], np.float64), np.zeros(layer.dim, np.float32)
        weights = plan.weights(time.GapWeights(np.concatenate(convs), np.concatenate(norms), scale, np.array(widths), room))
        gaps = plan.state(time.Gaps(np.zeros((sum(widths[:-1]), 2), np.float32), np.zeros(2, np.int64)))
        embedded = plan.features(tokens.domain, layer.dim)
        arguments: list[Argument] = [weights, gaps, tokens.state.array("t"), tokens.domain.sites, embedded.rows]
        plan.step(time.embed_gaps, arguments, tokens.domain, Cost(site=6 * sum(widths[1:])))
        return embedded


class AsyncTimeEmbedding(AsyncConverter):
    """Functions of the time since the first token, if it is measured in fixed units."""

    handles: ClassVar = (ScaledTime, Time2Vec, SinusoidalTime)

    def convert(self, plan: Plan, layer: TemporalEmbedding, *args: Any, **kwargs: Any) -> Features:
        """The embedded tokens."""
        tokens = _of_batch(args, kwargs)
        if layer.time_scale is None:
            raise Unsupported("it measures time by the recording's end, unlike one with a time_scale")
        rate, phase = np.ones(layer.dim, np.float32), np.zeros(layer.dim, np.float32)
        kind, scale, own = np.full(layer.dim, time.LINE), 1.0, _arrays(layer)
        if isinstance(layer, Time2Vec):
            rate, phase, kind[1:] = own["linear.weight"][:, 0], own["linear.bias"], time.SINE
        elif isinstance(layer, SinusoidalTime):
            rate, scale = np.repeat(layer.get_buffer("frequencies").float().cpu().numpy(), 2), float(own["scale"])
            kind[0::2], kind[1::2] = time.SINE, time.COSINE
        waves = plan.weights(time.Waves(rate, phase, kind, np.array([layer.time_scale, scale], np.float64)))
        origin, embedded = plan.state(time.Origin(np.zeros(2, np.int64))), plan.features(tokens.domain, layer.dim)
        arguments: list[Argument] = [waves, origin.array("first"), tokens.state.array("t"), tokens.domain.sites, embedded.rows]
        plan.step(time.embed_time, arguments, tokens.domain, Cost(site=2 * layer.dim))
        return embedded


class AsyncGatedLinearAttention(AsyncConverter):
    """Gated linear attention in one direction, by its recurrence."""

    handles: ClassVar = (GatedLinearAttention,)

    def convert(self, plan: Plan, layer: GatedLinearAttention, *args: Any, **kwargs: Any) -> Features:
        """What tokens see."""
        x, tokens = _given(args, kwargs)
        if layer.bidirectional:
            raise Unsupported("tokens see what comes after them, unlike those of a causal network")
        own = _arrays(layer)
        project = np.concatenate([own[f"{part}.weight"] for part in ("query", "key", "value", "gate", "decay.0")]).T
        up, output = own["decay.1.weight"].T, own["output.weight"].T
        (inner, dim), keys = output.shape, output.shape[0] // layer.heads
        room = [np.zeros((tokens.domain.capacity, size), np.float32) for size in (project.shape[1], inner, inner, dim)]
        settings = np.array([keys**-0.5, layer.eps], np.float32)
        weights = attention.Attention(project, up, own["decay.1.bias"], own["norm_weight"], output, settings, *room)
        memory = plan.state(attention.Memory(np.zeros((layer.heads, keys, keys), np.float32)))
        seen = plan.features(tokens.domain, dim)
        products = project.size + up.size + output.size
        arguments: list[Argument] = [plan.weights(weights), memory.array("state"), x.rows.array("rows"), tokens.domain.sites, seen.rows]
        plan.step(attention.attend, arguments, tokens.domain, Cost(site=2 * products + 5 * inner * keys))
        return seen


class AsyncNorm(AsyncConverter):
    """Normalisations of single rows."""

    handles: ClassVar = (nn.LayerNorm, nn.RMSNorm)

    def convert(self, plan: Plan, layer: nn.LayerNorm | nn.RMSNorm, *args: Any, **kwargs: Any) -> Features:
        """The normalised rows."""
        x = args[0] if args else kwargs["input"]
        if not isinstance(x, Features) or x.size is not None or tuple(layer.normalized_shape) != (x.channels,):
            raise Unsupported("it normalises something other than the features of each site")
        centred = isinstance(layer, nn.LayerNorm)
        eps = torch.finfo(torch.float32).eps if layer.eps is None else layer.eps
        own = {"weight": np.ones(x.channels, np.float32), "bias": np.zeros(x.channels, np.float32)} | _arrays(layer)
        norm = plan.weights(attention.Norm(own["weight"], own["bias"], np.array([eps, centred], np.float32)))
        return plan.refine(attention.normalise_row, [norm], x, cost=Cost(site=7 * x.channels))


class AsyncHalveTokens(AsyncConverter):
    """Means of two tokens each, when the second has come."""

    handles: ClassVar = (HalveTokens,)

    def convert(self, plan: Plan, layer: HalveTokens, *args: Any, **kwargs: Any) -> tuple[Features, Tokens]:
        """The means."""
        x, tokens = _given(args, kwargs)
        if not layer.causal:
            raise Unsupported("the last token of an odd number may change, which a causal network leaves out")
        into = _tokens(plan, tokens.stream, tokens.events, 2 * tokens.share)
        halved = plan.features(into.domain, x.channels)
        pending = plan.state(stream.Pending(np.zeros(x.channels, np.float32), np.zeros(1, np.int64)))
        arguments: list[Argument] = [pending, tokens.state, tokens.domain.sites, x.rows, into.state, into.domain.sites, halved.rows]
        plan.step(stream.halve, arguments, into.domain, Cost(site=2 * x.channels))
        return halved, into


class AsyncTokenMean(AsyncConverter):
    """The mean of all tokens, or of those whose last event is in the window."""

    handles: ClassVar = (TokenMean,)

    def convert(self, plan: Plan, layer: TokenMean, *args: Any, **kwargs: Any) -> Features:  # noqa: ARG002  # it has no settings
        """The vector."""
        x, tokens = _given(args, kwargs)
        pooled, cost = plan.vector(x.channels), Cost(site=x.channels)
        mean = plan.state(stream.Mean(np.zeros(x.channels, np.float64), np.zeros(2, np.int64)))
        counts, rows = tokens.domain.sites.array("counts"), x.rows.array("rows")
        if (plan.window.events, plan.window.microseconds) == (None, None):
            plan.step(stream.add_to_mean, [mean, counts, rows, pooled.domain.sites, pooled.rows], tokens.domain, cost)
            return pooled
        capacity = tokens.events.capacity
        empty = stream.Kept(np.zeros((capacity, x.channels), np.float32), np.zeros(capacity, np.bool_))
        kept = plan.state(empty, tokens.events, stream.KEPT_PER_SITE)
        arguments: list[Argument] = [mean, kept, tokens.stream.array("at"), tokens.state, counts, rows, pooled.domain.sites, pooled.rows]
        plan.step(stream.move_mean, arguments, tokens.domain, cost)
        return pooled


def _tokens(plan: Plan, track: State, events: Domain, share: int) -> Tokens:
    """Tokens of `share` events each."""
    state = plan.state(stream.make_tokens(CHUNK))
    return Tokens(plan.domain(CHUNK, ever=lambda: int(track.value.at[stream.LAST]) // share), state, track, events, share)


def _of_batch(args: Sequence[Any], kwargs: dict[str, Any]) -> Tokens:
    """The tokens of the batch that an embedding is called with."""
    tokens = getattr((args or (kwargs.get("batch"),))[0], "start", None)
    if not isinstance(tokens, Tokens):
        raise Unsupported("it is given something other than the batch")
    return tokens


def _given(args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[Features, Tokens]:
    """The features and the tokens that a layer is called with."""
    given = dict(zip(("x", "start"), args, strict=False)) | kwargs
    x, tokens = given["x"], given["start"]
    if not isinstance(x, Features) or not isinstance(tokens, Tokens) or x.domain is not tokens.domain:
        raise Unsupported("its features are not those of the tokens that it is given")
    return x, tokens


def _arrays(layer: nn.Module) -> dict[str, Floats]:
    """A layer's weights by name, in single precision."""
    return {name: tensor.detach().float().cpu().numpy() for name, tensor in layer.state_dict().items()}
