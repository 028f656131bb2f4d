"""Forgetting attention: softmax attention whose scores fall by what the tokens between two make it forget."""

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, rms_norm
from torch.utils.checkpoint import checkpoint

from eventzoo.errors import EventZooError
from eventzoo.nn.tokens.batch import padded, reversal
from eventzoo.nn.tokens.gated_linear_attention import HAS_FLA

_SCORES = 1 << 22  # that are in memory at once
_EPS = 1e-5


class ForgettingAttention(nn.Module):
    """Softmax attention in both directions, in which tokens forget what is behind them.

    The score of token i for a token j before it is, for each head of d features,

        q(i) · k(j) / √d + log f(j + 1) + … + log f(i),    f = sigmoid(W_f x + b).

    q and k are normalised by their root mean square, head by head. Pairs of heads share keys and values. The same is done in the
    opposite order, and both results are concatenated and multiplied by a matrix.

    Source: Lin, Nikishin, He and Courville, "Forgetting Transformer: Softmax Attention with a Forget Gate", ICLR 2025, in the form that
    Event2Vec's third version has (Fang et al., arXiv:2504.15371).

    Args:
        dim: Features of a token.
        heads: Heads.

    Raises:
        EventZooError: The heads do not divide the features, or pairs do not divide the heads.

    Shapes:
        x: `[N, dim]`; start: where each recording's tokens begin, and where the last one's end, int64 `[B + 1]`.
        output: `[N, dim]`.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        shared = max(heads // 2, 1)
        if dim % heads or heads % shared:
            raise EventZooError(
                f"forgetting attention needs an even number of heads, or 1 or 3, that divides its {dim} features, not {heads}"
            )
        self.head_dim = dim // heads
        inner = shared * self.head_dim
        self.query, self.key, self.value = (nn.Linear(dim, width, bias=False) for width in (dim, inner, inner))
        self.query_norm, self.key_norm = nn.Parameter(torch.ones(dim)), nn.Parameter(torch.ones(inner))
        self.forget = nn.Linear(dim, heads)
        self.output = nn.Linear(2 * dim, dim, bias=False)

    def forward(self, x: Tensor, start: Tensor) -> Tensor:
        """Attend."""
        q, k, v = (part(x).unflatten(1, (-1, self.head_dim)) for part in (self.query, self.key, self.value))
        q, k = _normalised(q, self.query_norm), _normalised(k, self.key_norm)
        seen = forgetting_attention(q * self.head_dim**-0.5, k, v, logsigmoid(self.forget(x)), start)
        return self.output(seen.flatten(1))  # type: ignore[no-any-return]


def forgetting_attention(q: Tensor, k: Tensor, v: Tensor, forget: Tensor, start: Tensor) -> Tensor:
    """What forgetting attention finds in both directions; in float32 at least, whatever it is given.

    On CUDA devices it is flash-linear-attention's kernel, where that package is installed, the tensors are not float64 and heads have 16
    features at least; else blocks of queries at a time, in plain torch.

    Args:
        q: Queries `[N, heads, C]`, scaled.
        k: Keys `[N, shared, C]`, of as many heads or of a divisor of them, each for successive heads.
        v: Values `[N, shared, C]`.
        forget: Logarithms of the shares that tokens leave of what is behind them, at most 0, `[N, heads]`.
        start: Where each recording's tokens begin, and where the last one's end, int64 `[B + 1]`.

    Returns:
        `[N, 2, heads, C]`: from the tokens before and from those after, the token itself among either.
    """
    double = q.dtype == torch.float64
    q, k, v, forget = (tensor if double else tensor.float() for tensor in (q, k, v, forget))
    if HAS_FLA and q.is_cuda and not double and q.shape[-1] >= 16 and len(q):
        return _kernel(q, k, v, forget, start)
    (queries, mask), (keys, _), (values, _), (gates, _) = (padded(tensor, start) for tensor in (q, k, v, forget))
    queries, keys, values, gates = (tensor.transpose(1, 2) for tensor in (queries, keys, values, gates))
    copies = q.shape[1] // k.shape[1]
    keys, values = keys.repeat_interleave(copies, 1), values.repeat_interleave(copies, 1)
    since = gates.double().cumsum(2)  # of two such sums, the difference counts, however large they are
    block = max(_SCORES // max(queries[..., 0].numel(), 1), 1)
    with torch.autocast(q.device.type, enabled=False):
        found = [
            checkpoint(
                _attend, queries, keys, values, since, since - gates, mask, first, block, use_reentrant=False, preserve_rng_state=False
            )
            for first in range(0, max(queries.shape[2], 1), block)
        ]
    return torch.cat(found, 2).permute(0, 2, 3, 1, 4)[mask]


def _normalised(heads: Tensor, weight: Tensor) -> Tensor:
    """`[N, heads, C]`, each head by itself, times `[heads * C]`."""
    return rms_norm(heads, heads.shape[-1:], eps=_EPS) * weight.view(heads.shape[1:])


def _attend(q: Tensor, k: Tensor, v: Tensor, since: Tensor, until: Tensor, mask: Tensor, first: int, block: int) -> Tensor:
    """What a block of queries finds before and after itself.

    Tokens that only pad find themselves, so that no softmax is over nothing.

    Args:
        q: Queries of all tokens, `[B, heads, L, C]`, as are keys and values.
        k: Keys.
        v: Values.
        since: Sums of gates from the first token to each, `[B, heads, L]`.
        until: The same without the gate of the token itself.
        mask: Where there are tokens, `[B, L]`.
        first: The first query.
        block: How many, at most.

    Returns:
        `[B, heads, at most block, 2, C]`.
    """
    end = min(first + block, q.shape[2])
    at = torch.arange(q.shape[2], device=q.device)
    own = at[first:end, None]
    scores = q[:, :, first:end] @ k.mT
    fallen = (since[:, :, first:end, None] - since[:, :, None, :end]).to(q.dtype)
    before = (scores[..., :end] + fallen).masked_fill(at[:end] > own, -torch.inf)
    fallen = (until[:, :, None, first:] - until[:, :, first:end, None]).to(q.dtype)
    hidden = (at[first:] < own) | (~mask[:, None, None, first:] & (at[first:] > own))
    after = (scores[..., first:] + fallen).masked_fill(hidden, -torch.inf)
    return torch.stack([before.softmax(-1) @ v[:, :, :end], after.softmax(-1) @ v[:, :, first:]], 3)


def _kernel(q: Tensor, k: Tensor, v: Tensor, forget: Tensor, start: Tensor) -> Tensor:
    """The same by flash-linear-attention."""
    from fla.ops.forgetting_attn import parallel_forgetting_attn

    order, begin = reversal(start), start.unique_consecutive()  # type: ignore[no-untyped-call]
    both = [
        parallel_forgetting_attn(*(tensor[None] for tensor in direction), scale=1.0, cu_seqlens=begin)[0]
        for direction in ((q, k, v, forget), (q[order], k[order], v[order], forget[order]))
    ]
    return torch.stack([both[0], both[1][order]], 1)
