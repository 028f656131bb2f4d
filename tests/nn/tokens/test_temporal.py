import pytest
import torch
from torch.nn.functional import conv1d, layer_norm, pad

from eventzoo.errors import EventZooError
from eventzoo.nn.tokens.batch import TokenBatch
from eventzoo.nn.tokens.temporal import GapConv, ScaledTime, SinusoidalTime, Time2Vec

each = pytest.mark.parametrize("embedding", [GapConv, ScaledTime, SinusoidalTime, Time2Vec])
scales = pytest.mark.parametrize("time_scale", [None, 3_000])


def scaled(t, time_scale):
    return (t / (time_scale or max(int(t[-1]), 1)) if len(t) else t)[:, None].float()


def recordings(batch):
    return batch.t.split(batch.start.diff().tolist())


@scales
def test_time_as_it_is(make_tokens, time_scale):
    batch = make_tokens(20, 0, 1, 7)
    expected = torch.cat([scaled(t, time_scale) for t in recordings(batch)])
    torch.testing.assert_close(ScaledTime(5, time_scale)(batch), expected.repeat(1, 5))


@scales
def test_time2vec(make_tokens, time_scale):
    torch.manual_seed(0)
    embedding, batch = Time2Vec(6, time_scale), make_tokens(20, 0, 1, 7)
    for tokens, t in zip(embedding(batch).split([20, 0, 1, 7]), recordings(batch), strict=True):
        expected = scaled(t, time_scale) @ embedding.linear.weight.T + embedding.linear.bias
        torch.testing.assert_close(tokens, torch.cat([expected[:, :1], expected[:, 1:].sin()], 1))


def test_sinusoids(make_tokens):
    batch, embedding = make_tokens(4, 9), SinusoidalTime(6, 50_000)
    assert embedding.scale.item() == 1000
    for time, features in zip(batch.t.tolist(), embedding(batch).detach().double(), strict=True):
        for j in range(3):
            phase = torch.tensor(time / 50_000 * 1000 / 10000 ** (2 * j / 6), dtype=torch.float64)
            torch.testing.assert_close(features[2 * j : 2 * j + 2], torch.stack([phase.sin(), phase.cos()]), rtol=0, atol=2e-4)


@scales
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("gaps", ["linear", "log"])
def test_gaps_in_convolutions(make_tokens, time_scale, causal, gaps):
    """torch's convolutions, grouped by input, of each recording by itself."""
    torch.manual_seed(0)
    embedding, batch = GapConv(8, time_scale, gaps, causal), make_tokens(20, 0, 1, 7)
    for parameter in embedding.parameters():
        torch.nn.init.normal_(parameter)
    for tokens, t in zip(embedding(batch).split([20, 0, 1, 7]), recordings(batch), strict=True):
        if not len(t):
            continue
        x = scaled(t, time_scale).T.diff(dim=1, prepend=torch.zeros(1, 1))
        x = x.log1p() if gaps == "log" else x
        for number, (conv, norm) in enumerate(zip(embedding.convs, embedding.norms, strict=True)):
            x = pad(x.relu() if number else x, (2, 0) if causal else (1, 1))
            x = conv1d(x, conv.weight, groups=len(x))
            x = layer_norm(x.T, norm.normalized_shape, norm.weight, norm.bias).T
        torch.testing.assert_close(tokens, x.T, rtol=1e-4, atol=1e-4)


def test_the_gap_across_events_that_were_dropped_is_their_sum():
    """Only gaps enter: two recordings with the same gaps, however many events were between."""
    columns = torch.zeros(3, 4, dtype=torch.int16)
    full, thinned = (TokenBatch(*columns[:, : len(t)], torch.tensor(t), torch.tensor([0, len(t)])) for t in ([0, 10, 25, 70], [0, 25, 70]))
    seen = []
    embedding = GapConv(4, 100)
    embedding.convs[0].register_forward_pre_hook(lambda _, args: seen.append(args[0].flatten().tolist()))
    embedding(full), embedding(thinned)
    assert seen == [pytest.approx([0, 0.1, 0.15, 0.45]), pytest.approx([0, 0.25, 0.45])]


@each
@scales
def test_events_all_at_once_or_none(make_tokens, embedding, time_scale):
    module, batch = embedding(8, time_scale), make_tokens(6, 0, 1)
    together = batch._replace(t=torch.zeros_like(batch.t))
    assert module(together).isfinite().all()
    assert module(make_tokens(0, 0)).shape == (0, 8)


@each
def test_settings_out_of_range(embedding):
    with pytest.raises(EventZooError, match="time_scale is in whole microseconds, at least 1, or null, not 0"):
        embedding(8, 0)


def test_widths_that_cannot_be_shared_out():
    with pytest.raises(EventZooError, match="sines and cosines of time need an even dim, not 7"):
        SinusoidalTime(7)
    with pytest.raises(EventZooError, match="the embedding of gaps needs a dim divisible by 4, not 6"):
        GapConv(6)
