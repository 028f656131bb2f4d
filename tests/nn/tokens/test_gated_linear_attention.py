import itertools

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch.nn.functional import logsigmoid, silu

from eventzoo.errors import EventZooError
from eventzoo.nn.tokens.batch import padded
from eventzoo.nn.tokens.gated_linear_attention import (
    HAS_FLA,
    GatedLinearAttention,
    chunked_gated_linear_attention,
    gated_linear_attention,
)

HEADS, K, V = 2, 3, 4


def inputs(lengths, strength, seed=0, heads=HEADS, k=K, v=V):
    """Queries, keys, values and logarithms of gates, some of which are `strength` times as strong as the others; where recordings begin."""
    random = torch.Generator().manual_seed(seed)
    start = torch.tensor([0, *lengths]).cumsum(0)
    shape = int(start[-1]), heads
    logits = torch.randn(*shape, k, generator=random, dtype=torch.float64)
    logits *= torch.where(torch.rand(*shape, k, generator=random) < 0.3, strength, 1)
    qkv = [torch.randn(*shape, width, generator=random, dtype=torch.float64) for width in (k, k, v)]
    return *qkv, logsigmoid(logits) / 16, start


def literally(q, k, v, decay, start):
    """The recurrence as its formula has it."""
    out = []
    for low, high in itertools.pairwise(start):
        state = q.new_zeros(q.shape[1], q.shape[2], v.shape[2])
        for n in range(low, high):
            state = decay[n].exp()[..., None] * state + k[n][..., None] * v[n][:, None]
            out.append(torch.einsum("hkv,hk->hv", state, q[n]))
    return torch.stack(out) if out else v


def chunked(q, k, v, decay, start):
    dense, mask = zip(*(padded(tensor, start) for tensor in (q, k, v, decay)), strict=True)
    return chunked_gated_linear_attention(*(tensor.transpose(1, 2) for tensor in dense)).transpose(1, 2)[mask[0]]


def results(attention, tensors, start, dtype):
    """What it puts out, and the gradients of a loss."""
    tensors = [tensor.to(dtype, copy=True).requires_grad_() for tensor in tensors]
    out = attention(*tensors, start)
    weight = torch.randn(out.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return [out.detach(), *torch.autograd.grad((out * weight).sum(), tensors, materialize_grads=True)]


@given(lengths=st.lists(st.integers(0, 40), min_size=1, max_size=4), strength=st.floats(-2, 6).map(lambda power: 10**power))
@example(lengths=[0], strength=1.0)
@example(lengths=[130, 0, 1, 64], strength=1e3)
@example(lengths=[150], strength=1e-3)
@settings(deadline=None, max_examples=12)
def test_chunks_and_the_compiled_recurrence_are_the_recurrence(lengths, strength):
    """Forward and backward, to 1e-5 of the largest value."""
    *tensors, start = inputs(lengths, strength)
    expected = results(literally, tensors, start, torch.float64)
    for attention, dtype in (
        (gated_linear_attention, torch.float32),  # compiled
        (gated_linear_attention, torch.float64),
        (chunked, torch.float32),
    ):
        for found, value in zip(results(attention, tensors, start, dtype), expected, strict=True):
            assert found.dtype == dtype
            largest = value.abs().max().clamp(min=1) if len(value) else 1
            torch.testing.assert_close(found.double() / largest, value / largest, rtol=0, atol=1e-5)


def test_gradients_of_chunks():
    *tensors, start = inputs([18, 2], 3.0, heads=1, k=2, v=2)
    assert torch.autograd.gradcheck(lambda *given: gated_linear_attention(*given, start), [tensor.requires_grad_() for tensor in tensors])


@pytest.mark.parametrize("bidirectional", [True, False])
def test_the_layer_is_its_formula_for_each_recording(bidirectional):
    torch.manual_seed(0)
    layer = GatedLinearAttention(8, 2, 12, bidirectional).double()
    torch.nn.init.uniform_(layer.norm_weight, 0.5, 2)
    start, x = torch.tensor([0, 5, 5, 6, 20]), torch.randn(20, 8, dtype=torch.float64)
    expected = []
    for recording in x.split(start.diff().tolist()):
        seen = []
        for tokens in (recording, recording.flip(0))[: 2 if bidirectional else 1]:
            q, k, v = (tokens @ part.weight.T for part in (layer.query, layer.key, layer.value))
            decay = logsigmoid(tokens @ layer.decay[0].weight.T @ layer.decay[1].weight.T + layer.decay[1].bias) / 16
            q, k, v, decay = (tensor.view(-1, 2, 6) for tensor in (q / 6**0.5, k, v, decay))
            out = literally(q, k, v, decay, [0, len(tokens)])
            out = out / (out.square().mean(2, keepdim=True) + 1e-5).sqrt() * layer.norm_weight
            seen.append(out.flatten(1) * silu(tokens @ layer.gate.weight.T))
        if bidirectional:
            seen[1] = seen[1].flip(0)
        expected.append(torch.cat(seen, 1) @ layer.output.weight.T)
    torch.testing.assert_close(layer(x, start), torch.cat(expected), rtol=1e-5, atol=1e-6)  # the norm is float32's


def test_heads_that_cannot_share_the_features():
    with pytest.raises(EventZooError, match="3 heads cannot share 16 features equally"):
        GatedLinearAttention(16, 3, 16, bidirectional=True)


@pytest.mark.skipif(not (HAS_FLA and torch.cuda.is_available()), reason="needs flash-linear-attention and a CUDA device")
def test_the_kernel_on_cuda_devices():
    *tensors, start = inputs([300, 0, 1, 70], 10.0, heads=2, k=32, v=32)
    expected = results(literally, tensors, start, torch.float64)
    found = results(lambda *given: gated_linear_attention(*(t.cuda() for t in given)).cpu(), tensors, start, torch.float32)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.double() / other.abs().max(), other / other.abs().max(), rtol=0, atol=5e-3)  # products are TF32
