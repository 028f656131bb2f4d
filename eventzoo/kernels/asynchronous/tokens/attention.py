"""Gated linear attention of tokens as they come, and the normalisations around it."""

from typing import NamedTuple

import numba
import numpy as np

from eventzoo.kernels.asynchronous.exponential import exponential
from eventzoo.kernels.asynchronous.products import multiply_four, multiply_row
from eventzoo.kernels.asynchronous.sites import ARRIVED, Floats, Rows, Sites, commit
from eventzoo.kernels.gated_recurrence import advance_state, read_state

_ONE = np.float32(1)
_STRONG = np.float32(-80)  # of a gate's logit, below which its logarithm is the logit itself to single precision


class Attention(NamedTuple):
    """Weights of a layer, and room for what it computes of the tokens of a transaction.

    Attributes:
        project: To queries, keys, values and gates, one after the other, and the inner features of the decay; float32 `[C, 4 D + 16]`.
        decay: From the latter to the decay's logits, float32 `[16, D]`.
        bias: Of these, float32 `[D]`.
        norm: Weights of the normalisation, float32 `[V]`.
        output: float32 `[D, C]`.
        settings: What queries are multiplied by, and the normalisation's epsilon, float32 `[2]`.
        projected: float32 `[capacity, 4 D + 16]`.
        forget: Logits of decays, then the shares of the state's rows that stay; float32 `[capacity, D]`.
        seen: What the tokens read, float32 `[capacity, D]`.
        out: float32 `[capacity, C]`.
    """

    project: Floats
    decay: Floats
    bias: Floats
    norm: Floats
    output: Floats
    settings: Floats
    projected: Floats
    forget: Floats
    seen: Floats
    out: Floats


class Memory(NamedTuple):
    """What a layer remembers of the tokens before: float32 `[heads, K, V]`."""

    state: Floats


class Norm(NamedTuple):
    """A normalisation of single rows: weights and biases, float32 `[C]`; epsilon, and whether the mean is subtracted, float32 `[2]`."""

    weight: Floats
    bias: Floats
    settings: Floats


@numba.njit(cache=True, nogil=True, error_model="numpy")
def attend(layer: Attention, state: Floats, x: Floats, sites: Sites, rows: Rows) -> int:
    """What new tokens see of themselves and those before; how many they are."""
    rows.counts[0] = 0
    count = sites.counts[ARRIVED]
    heads, keys, _ = state.shape
    inner = heads * keys
    projected, forget, seen, out = layer.projected, layer.forget, layer.seen, layer.out
    multiply_rows(projected, 0, projected.shape[1], x, 0, layer.project, count)
    multiply_rows(forget, 0, inner, projected, 4 * inner, layer.decay, count)
    for n in range(count):
        token, kept = projected[n], forget[n]
        _shares(kept, layer.bias)
        for c in range(inner):
            token[c] *= layer.settings[0]
        for h in range(heads):
            at, to = h * keys, (h + 1) * keys
            advance_state(state[h], kept[at:to], token[inner + at : inner + to], token[2 * inner + at : 2 * inner + to])
            read_state(seen[n, at:to], state[h], token[at:to])
            _gate(seen[n, at:to], layer.norm, token[3 * inner + at : 3 * inner + to], layer.settings[1])
    multiply_rows(out, 0, out.shape[1], seen, 0, layer.output, count)
    row = rows.row
    for n in range(count):
        for c in range(len(row)):
            row[c] = out[n, c]
        commit(sites, rows, n)
    return int(count)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def multiply_rows(outs: Floats, out_at: int, width: int, rows: Floats, at: int, matrix: Floats, count: int) -> None:
    """`outs[:count, out_at:out_at + width] = rows[:count, at:at + K] @ matrix`, each row with the same bits however many there are."""
    to, stop = out_at + width, at + len(matrix)
    whole = count // 4 * 4
    for n in range(0, whole, 4):
        multiply_four(
            (outs[n, out_at:to], outs[n + 1, out_at:to], outs[n + 2, out_at:to], outs[n + 3, out_at:to]),
            (rows[n, at:stop], rows[n + 1, at:stop], rows[n + 2, at:stop], rows[n + 3, at:stop]),
            matrix,
        )
    for n in range(whole, count):
        multiply_row(outs[n, out_at:to], rows[n, at:stop], matrix)


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _shares(logits: Floats, bias: Floats) -> None:
    """sigmoid(z)^(1/16) of logits and biases, in the logits' place: four square roots, or where z is far below zero e^(z/16).

    They are taken in double precision: a share so near 1 that the state remembers 100,000 tokens is applied as often, and what four
    roundings in single precision add to it, mostly of one sign, would be seen in the fourth digit.
    """
    for c in range(len(logits)):
        z = logits[c] + bias[c]
        weak = np.sqrt(np.sqrt(np.sqrt(np.sqrt(1.0 / (1.0 + np.float64(exponential(-max(z, _STRONG))))))))
        strong = exponential(z / np.float32(16))
        logits[c] = strong if z < _STRONG else np.float32(weak)


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc"})
def _gate(row: Floats, weight: Floats, gate: Floats, eps: float) -> None:
    """A head's output by its root mean square, times silu of the gate."""
    square = np.float32(0)
    for c in range(len(row)):
        square += row[c] * row[c]
    scale = _ONE / np.sqrt(square / np.float32(len(row)) + eps)
    for c in range(len(row)):
        row[c] *= scale * weight[c] * (gate[c] / (_ONE + exponential(-gate[c])))


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc"})
def normalise(row: Floats, weight: Floats, bias: Floats, eps: float, centred: bool) -> None:
    """A row's deviations from its mean, or with `centred` False the row itself, by their root mean square, in its place."""
    mean, square = np.float32(0), np.float32(0)
    if centred:
        for c in range(len(row)):
            mean += row[c]
        mean /= np.float32(len(row))
    for c in range(len(row)):
        away = row[c] - mean
        square += away * away
    scale = _ONE / np.sqrt(square / np.float32(len(row)) + np.float32(eps))
    for c in range(len(row)):
        row[c] = (row[c] - mean) * scale * weight[c] + bias[c]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def normalise_row(norm: Norm, row: Floats) -> None:
    """A row normalised in its place."""
    normalise(row, norm.weight, norm.bias, norm.settings[0], norm.settings[1] > 0)
