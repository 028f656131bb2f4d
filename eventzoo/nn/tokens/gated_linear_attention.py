"""Gated linear attention: a recurrence over tokens whose state has a constant size."""

from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, rms_norm, silu

from eventzoo.errors import EventZooError
from eventzoo.kernels.gated_recurrence import gated_recurrence, gated_recurrence_backward
from eventzoo.nn.tokens.batch import padded, reversal

HAS_FLA = find_spec("fla") is not None
"""Whether flash-linear-attention is installed, whose kernels run on CUDA devices."""

_CHUNK = 16
_TEMPERATURE = 16.0  # by which the gates' logarithms are divided
_EPS = 1e-5


class GatedLinearAttention(nn.Module):
    """Attention without softmax, with a state that forgets as each token says.

    For each head, with the log-decay a(t) = logsigmoid(W₂ W₁ x(t) + b) / 16,

        S(t) = diag(exp a(t)) S(t - 1) + k(t) v(t)ᵀ,    o(t) = S(t)ᵀ q(t) / √K,

    then y(t) = W (RMSNorm(o(t)) ⊙ silu(g(t))), the norm of each head by itself. If bidirectional, the same queries, keys, values, decays
    and gates are gone through in the opposite order, too, and both results are concatenated before W.

    Source: Yang, Wang, Shen, Panda and Kim, "Gated Linear Attention Transformers with Hardware-Efficient Training", ICML 2024, in the form
    that Event2Vec's second version has (Fang et al., 2025). There, the gates of the backward direction were in forward order, and
    recordings of a batch were mixed up with each other; here, no recording knows of another.

    Args:
        dim: Features of a token.
        heads: Heads.
        inner: Features of the queries, keys, values and gates of all heads together.
        bidirectional: Whether tokens see what comes after them.

    Raises:
        EventZooError: The heads do not divide the inner features.

    Shapes:
        x: `[N, dim]`; start: where each recording's tokens begin, and where the last one's end, int64 `[B + 1]`.
        output: `[N, dim]`.
    """

    def __init__(self, dim: int, heads: int, inner: int, bidirectional: bool) -> None:
        super().__init__()
        if inner % heads:
            raise EventZooError(f"{heads} heads cannot share {inner} features equally")
        self.heads, self.bidirectional, self.eps = heads, bidirectional, _EPS
        self.query, self.key, self.value = (nn.Linear(dim, inner, bias=False) for _ in range(3))
        self.gate = nn.Linear(dim, inner, bias=False)
        self.decay = nn.Sequential(nn.Linear(dim, 16, bias=False), nn.Linear(16, inner))
        self.norm_weight = nn.Parameter(torch.ones(inner // heads))
        self.output = nn.Linear(2 * inner if bidirectional else inner, dim, bias=False)

    def forward(self, x: Tensor, start: Tensor) -> Tensor:
        """Attend."""
        q, k, v, decay = (part(x).unflatten(1, (self.heads, -1)) for part in (self.query, self.key, self.value, self.decay))
        q, decay = q * q.shape[-1] ** -0.5, logsigmoid(decay) / _TEMPERATURE
        seen = [gated_linear_attention(q, k, v, decay, start)]
        if self.bidirectional:
            order = reversal(start)
            seen.append(gated_linear_attention(q[order], k[order], v[order], decay[order], start)[order])
        gate = silu(self.gate(x))
        return self.output(torch.cat([self.normalised(part).flatten(1) * gate for part in seen], 1))  # type: ignore[no-any-return]

    def normalised(self, x: Tensor) -> Tensor:
        """`[N, heads, V]`, each head by its root mean square."""
        return rms_norm(x, x.shape[-1:], self.norm_weight, self.eps)


def gated_linear_attention(q: Tensor, k: Tensor, v: Tensor, decay: Tensor, start: Tensor) -> Tensor:
    """What gated linear attention puts out, before its normalisation; in float32 at least, whatever it is given.

    On the CPU it is the recurrence itself, compiled. On CUDA devices it is flash-linear-attention's kernel, where that package is installed
    and heads have 16 features at least. Else, and in float64, it is chunks of tokens at a time, in plain torch.

    Args:
        q: Queries `[N, heads, K]`, scaled.
        k: Keys `[N, heads, K]`.
        v: Values `[N, heads, V]`.
        decay: Logarithms of the shares of the state's rows that stay, at most 0, `[N, heads, K]`.
        start: Where each recording's tokens begin, and where the last one's end, int64 `[B + 1]`.

    Returns:
        `[N, heads, V]`.
    """
    double = q.dtype == torch.float64
    q, k, v, decay = (tensor if double else tensor.float() for tensor in (q, k, v, decay))
    if q.device.type == "cpu" and not double:
        return _Recurrence.apply(q, k, v, decay.exp(), start)  # type: ignore[no-any-return,no-untyped-call]
    if HAS_FLA and q.is_cuda and not double and min(q.shape[-1], v.shape[-1]) >= 16 and len(q):
        from fla.ops.gla import chunk_gla

        begin = start.unique_consecutive()  # type: ignore[no-untyped-call]
        return chunk_gla(*(tensor[None] for tensor in (q, k, v, decay)), scale=1.0, cu_seqlens=begin)[0][0]  # type: ignore[no-any-return]
    (q, mask), (k, _), (v, _), (decay, _) = (padded(tensor, start) for tensor in (q, k, v, decay))
    with torch.autocast(q.device.type, enabled=False):
        return chunked_gated_linear_attention(*(tensor.transpose(1, 2) for tensor in (q, k, v, decay))).transpose(1, 2)[mask]


def chunked_gated_linear_attention(q: Tensor, k: Tensor, v: Tensor, decay: Tensor) -> Tensor:
    """The same of sequences of one length, in chunks: what tokens of a chunk give each other, and the state for what comes from before.

    Every decay between two tokens of a chunk is the exponential of a sum of the logarithms between them, none of which is positive, and no
    others enter it. So nothing overflows, and strong gates before or after take no digits from weak ones.

    Shapes:
        q, k, decay: `[B, heads, L, K]`; v: `[B, heads, L, V]`.
        output: `[B, heads, L, V]`.
    """
    if q.shape[2] == 0:
        return v
    state = q.new_zeros(*q.shape[:2], q.shape[3], v.shape[3])
    outputs = []
    chunks = (torch.split(tensor, _CHUNK, 2) for tensor in (q, k, v, decay))  # slices would each have a gradient of the whole's size
    for queries, keys, values, decays in zip(*chunks, strict=True):
        length = queries.shape[2]
        past = torch.ones(length, length, dtype=torch.bool, device=q.device).tril()
        before = past.tril(-1)[:, :, None]
        since = torch.where(before, decays[..., :, None, :], 0).cumsum(2)  # from each token (second axis) to each later one (first)
        weights = torch.einsum("bhik,bhjk,bhijk->bhij", queries, keys, since.exp()).masked_fill(~past, 0)
        whole = decays.cumsum(2)
        outputs.append(weights @ values + (queries * whole.exp()) @ state)
        state = whole[:, :, -1].exp()[..., None] * state + (keys * since[:, :, -1].exp()).mT @ values
    return torch.cat(outputs, 2)


class _Recurrence(torch.autograd.Function):
    """The compiled recurrence, on the CPU in float32."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, forget: Tensor, start: Tensor) -> Tensor:
        """What it puts out."""
        ctx.save_for_backward(q, k, v, forget, start)
        arrays: Any = [tensor.detach().contiguous().numpy() for tensor in (q, k, v, forget, start)]
        return torch.from_numpy(gated_recurrence(*arrays))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients."""
        arrays: Any = [tensor.detach().contiguous().numpy() for tensor in (*ctx.saved_tensors, grad)]
        return (*map(torch.from_numpy, gated_recurrence_backward(*arrays)), None)
