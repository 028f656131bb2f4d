"""The recurrence of gated linear attention, and its gradients.

For each sequence and head, with a state S of K × V,

    S(t) = diag(f(t)) S(t - 1) + k(t) v(t)ᵀ,    o(t) = S(t)ᵀ q(t),    S(0) = 0.

To have its gradients, states are kept at the beginning of each block of tokens, and those between are computed again.
"""

import numba
import numpy as np

from eventzoo.kernels.asynchronous.sites import Floats, Integers

BLOCK = 64
"""Tokens of a block: their states fit a core's second-level cache."""


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def advance_state(state: Floats, forget: Floats, k: Floats, v: Floats) -> None:
    """`S = diag(f) S + k vᵀ`, for a state `[K, V]`."""
    for i in range(len(k)):
        kept, added = forget[i], k[i]
        for j in range(len(v)):
            state[i, j] = kept * state[i, j] + added * v[j]


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def read_state(out: Floats, state: Floats, q: Floats) -> None:
    """`o = Sᵀ q`."""
    for j in range(len(out)):
        out[j] = np.float32(0)
    for i in range(len(q)):
        asked = q[i]
        for j in range(len(out)):
            out[j] += asked * state[i, j]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def gated_recurrence(q: Floats, k: Floats, v: Floats, forget: Floats, start: Integers) -> Floats:
    """What the recurrence puts out.

    Args:
        q: Queries, float32 `[N, heads, K]`.
        k: Keys, float32 `[N, heads, K]`.
        v: Values, float32 `[N, heads, V]`.
        forget: Share of each of the state's rows that stays, in [0, 1], float32 `[N, heads, K]`.
        start: Where each sample's tokens begin, and where the last one's end; int64 `[B + 1]`.

    Returns:
        float32 `[N, heads, V]`.
    """
    heads, keys, values = q.shape[1], q.shape[2], v.shape[2]
    out = np.empty((len(q), heads, values), np.float32)
    state = np.empty((keys, values), np.float32)
    for sample in range(len(start) - 1):
        for head in range(heads):
            state[:] = np.float32(0)
            for n in range(start[sample], start[sample + 1]):
                advance_state(state, forget[n, head], k[n, head], v[n, head])
                read_state(out[n, head], state, q[n, head])
    return out


@numba.njit(cache=True, nogil=True, error_model="numpy")
def gated_recurrence_backward(
    q: Floats, k: Floats, v: Floats, forget: Floats, start: Integers, grad: Floats
) -> tuple[Floats, Floats, Floats, Floats]:
    """Gradients of a loss with respect to q, k, v and forget.

    Args:
        q: As in `gated_recurrence`, as are the next four.
        k: Keys.
        v: Values.
        forget: Shares that stay.
        start: Where samples begin.
        grad: Gradient with respect to the output, float32 `[N, heads, V]`.
    """
    heads, keys, values = q.shape[1], q.shape[2], v.shape[2]
    tokens = len(q)
    grad_q, grad_k = np.empty((tokens, heads, keys), np.float32), np.empty((tokens, heads, keys), np.float32)
    grad_v, grad_forget = np.empty((tokens, heads, values), np.float32), np.empty((tokens, heads, keys), np.float32)
    most = np.int64(1)
    for sample in range(len(start) - 1):
        most = max(most, (start[sample + 1] - start[sample] + BLOCK - 1) // BLOCK)
    kept = np.empty((most, keys, values), np.float32)  # the state before each block
    states = np.empty((BLOCK + 1, keys, values), np.float32)  # before the first token of a block, and after each
    future = np.empty((keys, values), np.float32)  # gradient with respect to the state, as what comes after it asks for
    for sample in range(len(start) - 1):
        low, high = start[sample], start[sample + 1]
        for head in range(heads):
            state = states[0]
            state[:] = np.float32(0)
            for n in range(low, high):
                if (n - low) % BLOCK == 0:
                    kept[(n - low) // BLOCK] = state
                advance_state(state, forget[n, head], k[n, head], v[n, head])
            future[:] = np.float32(0)
            for block in range((high - low + BLOCK - 1) // BLOCK - 1, -1, -1):
                head_of, end = low + block * BLOCK, min(low + (block + 1) * BLOCK, high)
                states[0] = kept[block]
                for n in range(head_of, end):
                    at = n - head_of
                    states[at + 1] = states[at]
                    advance_state(states[at + 1], forget[n, head], k[n, head], v[n, head])
                for n in range(end - 1, head_of - 1, -1):
                    at = n - head_of
                    _step_back(
                        (states[at], states[at + 1], future),
                        (q[n, head], k[n, head], v[n, head], forget[n, head], grad[n, head]),
                        (grad_q[n, head], grad_k[n, head], grad_v[n, head], grad_forget[n, head]),
                    )
    return grad_q, grad_k, grad_v, grad_forget


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz"})
def _step_back(
    states: tuple[Floats, Floats, Floats],
    given: tuple[Floats, Floats, Floats, Floats, Floats],
    found: tuple[Floats, Floats, Floats, Floats],
) -> None:
    """Gradients of one token, and of the state before it."""
    before, after, future = states
    q, k, v, forget, grad = given
    grad_q, grad_k, grad_v, grad_forget = found
    zero = np.float32(0)
    for j in range(len(v)):
        grad_v[j] = zero
    for i in range(len(k)):
        asked, added, kept = q[i], k[i], forget[i]
        of_q, of_k, of_forget = zero, zero, zero
        for j in range(len(v)):
            ahead = future[i, j] + asked * grad[j]
            of_q += after[i, j] * grad[j]
            of_k += ahead * v[j]
            of_forget += ahead * before[i, j]
            grad_v[j] += added * ahead
            future[i, j] = kept * ahead
        grad_q[i], grad_k[i], grad_forget[i] = of_q, of_k, of_forget
