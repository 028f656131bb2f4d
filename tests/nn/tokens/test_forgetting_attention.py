import itertools

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch.nn.functional import logsigmoid

from eventzoo.errors import EventZooError
from eventzoo.nn.tokens import forgetting_attention as module
from eventzoo.nn.tokens.forgetting_attention import ForgettingAttention, forgetting_attention
from eventzoo.nn.tokens.gated_linear_attention import HAS_FLA


def inputs(lengths, strength, heads=4, shared=2, width=3):
    """Queries, keys, values and logarithms of gates, some of which are `strength` times as strong as the others; where recordings begin."""
    random = torch.Generator().manual_seed(0)
    start = torch.tensor([0, *lengths]).cumsum(0)
    tokens = int(start[-1])
    logits = torch.randn(tokens, heads, generator=random, dtype=torch.float64)
    logits *= torch.where(torch.rand(tokens, heads, generator=random) < 0.3, strength, 1)
    qkv = [torch.randn(tokens, count, width, generator=random, dtype=torch.float64) for count in (heads, shared, shared)]
    return *qkv, logsigmoid(logits), start


def literally(q, k, v, forget, start):
    """As the formula has it: of the gates, those between two tokens enter their score, and no others."""
    out, copies = torch.stack([q, q], 1) * 0, q.shape[1] // k.shape[1]
    for (low, high), head in itertools.product(itertools.pairwise(start.tolist()), range(q.shape[1])):
        queries, keys, values = q[low:high, head], k[low:high, head // copies], v[low:high, head // copies]
        at = torch.arange(high - low)
        i, j = at[:, None, None], at[:, None]
        for side, hidden, between in ((0, at > at[:, None], (j < at) & (at <= i)), (1, at < at[:, None], (i <= at) & (at < j))):
            scores = queries @ keys.T + between.double() @ forget[low:high, head]
            out[low:high, side, head] = scores.masked_fill(hidden, -torch.inf).softmax(1) @ values
    return out


def results(attention, tensors, start, dtype):
    """What it puts out, and the gradients of a loss."""
    tensors = [tensor.to(dtype, copy=True).requires_grad_() for tensor in tensors]
    out = attention(*tensors, start)
    weight = torch.randn(out.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return [out.detach(), *torch.autograd.grad((out * weight).sum(), tensors, materialize_grads=True)]


@given(lengths=st.lists(st.integers(0, 8), min_size=1, max_size=3), strength=st.floats(-2, 4).map(lambda power: 10**power))
@example(lengths=[0], strength=1.0)
@example(lengths=[20, 0, 1, 3], strength=1e4)
@settings(deadline=None, max_examples=4)
def test_blocks_of_queries_are_the_formula(lengths, strength):
    """Forward and backward, to 1e-5, in float32; in float64, to its own precision."""
    *tensors, start = inputs(lengths, strength)
    expected = results(literally, tensors, start, torch.float64)
    scores = module._SCORES
    try:
        for module._SCORES in (600, scores):  # some or all of the queries at a time
            for dtype, tolerance in ((torch.float32, 1e-5), (torch.float64, 1e-10)):
                for found, value in zip(results(forgetting_attention, tensors, start, dtype), expected, strict=True):
                    assert found.dtype == dtype
                    largest = value.abs().max().clamp(min=1) if len(value) else 1
                    torch.testing.assert_close(found.double() / largest, value / largest, rtol=0, atol=tolerance)
    finally:
        module._SCORES = scores


def test_weak_gates_long_after_strong_ones_keep_their_digits():
    """The sum of 2,000 gates of -1e4 is -2e7, near which float32 knows no differences below 2."""
    forget = torch.full((2010, 1), -1e4)
    forget[2000:] = -0.1
    q, k, v = torch.zeros(2010, 1, 1), torch.zeros(2010, 1, 1), torch.arange(2010.0).view(-1, 1, 1)
    found = forgetting_attention(q, k, v, forget, torch.tensor([0, 2010]))
    weights = torch.exp(-0.1 * torch.arange(11.0))  # of the last token, and of those behind it up to the last strong gate's
    expected = (weights * torch.arange(2009.0, 1998, -1)).sum() / weights.sum()
    torch.testing.assert_close(found[-1, 0, 0, 0], expected, rtol=1e-6, atol=0)


def test_half_precision_is_taken_as_single_precision():
    *tensors, start = inputs([30], 3.0)
    halves = [tensor.bfloat16() for tensor in tensors]
    with torch.autocast("cpu", torch.bfloat16):
        found = forgetting_attention(*halves, start)
    torch.testing.assert_close(found, forgetting_attention(*(tensor.float() for tensor in halves), start))


def test_gradients():
    *tensors, start = inputs([4, 0, 2], 3.0, heads=2, shared=1, width=2)
    assert torch.autograd.gradcheck(lambda *given: forgetting_attention(*given, start), [tensor.requires_grad_() for tensor in tensors])


def test_the_layer_is_its_formula_for_each_recording():
    torch.manual_seed(0)
    layer = ForgettingAttention(24, 6).double()  # 6 heads of 4 features, 3 for keys and values
    for weight in (layer.query_norm, layer.key_norm):
        torch.nn.init.uniform_(weight, 0.5, 2)
    start, x = torch.tensor([0, 5, 5, 6, 14]), torch.randn(14, 24, dtype=torch.float64)
    q, k, v = (tokens.view(14, -1, 4) for tokens in (x @ part.weight.T for part in (layer.query, layer.key, layer.value)))
    assert (q.shape[1], k.shape[1], v.shape[1]) == (6, 3, 3)
    q, k = (
        heads / (heads.square().mean(2, keepdim=True) + 1e-5).sqrt() * weight.view(-1, 4)
        for heads, weight in ((q, layer.query_norm), (k, layer.key_norm))
    )
    seen = literally(q / 2, k, v, (x @ layer.forget.weight.T + layer.forget.bias).sigmoid().log(), start)
    torch.testing.assert_close(layer(x, start), seen.flatten(1) @ layer.output.weight.T)


@pytest.mark.parametrize(("dim", "heads"), [(10, 4), (20, 5)])
def test_heads_that_cannot_share(dim, heads):
    with pytest.raises(EventZooError, match=f"an even number of heads, or 1 or 3, that divides its {dim} features, not {heads}"):
        ForgettingAttention(dim, heads)


@pytest.mark.skipif(not (HAS_FLA and torch.cuda.is_available()), reason="needs flash-linear-attention and a CUDA device")
def test_the_kernel_on_cuda_devices():
    *tensors, start = inputs([40, 0, 1, 30], 3.0, width=16)
    expected = results(literally, tensors, start, torch.float64)
    found = results(lambda *given: forgetting_attention(*(t.cuda() for t in given)).cpu(), tensors, start, torch.float32)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.double() / other.abs().max(), other / other.abs().max(), rtol=0, atol=5e-3)  # products are TF32
