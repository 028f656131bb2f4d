import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eventzoo.nn.tokens.batch import HalveTokens, TokenMean, padded, reversal, sample_of

of_lengths = given(lengths=st.lists(st.integers(0, 7), max_size=5))


def batch_of(lengths):
    """Where recordings begin, the tokens of all, and those of each."""
    start = torch.tensor([0, *lengths]).cumsum(0)
    x = torch.randn(int(start[-1]), 3, generator=torch.Generator().manual_seed(len(lengths)))
    return start, x, list(x.split(lengths)) if lengths else []


@of_lengths
@settings(deadline=None, max_examples=30)
def test_what_belongs_to_which_recording_and_its_reversal(lengths):
    start, x, recordings = batch_of(lengths)
    assert sample_of(start).tolist() == [number for number, length in enumerate(lengths) for _ in range(length)]
    assert torch.equal(x[reversal(start)], torch.cat([recording.flip(0) for recording in recordings]) if lengths else x)
    assert torch.equal(reversal(start)[reversal(start)], torch.arange(len(x)))


@of_lengths
@settings(deadline=None, max_examples=30)
def test_padding_adds_zeros_after_the_shorter_ones_and_nothing_else(lengths):
    start, x, recordings = batch_of(lengths)
    dense, mask = padded(x, start)
    assert dense.shape == (len(lengths), max(lengths, default=0), 3)
    for row, seen, recording in zip(dense, mask, recordings, strict=True):
        assert torch.equal(row[: len(recording)], recording)
        assert row[len(recording) :].count_nonzero() == 0
        assert seen.tolist() == [True] * len(recording) + [False] * (len(row) - len(recording))
    assert torch.equal(dense[mask], x)


@pytest.mark.parametrize("causal", [True, False])
@of_lengths
@settings(deadline=None, max_examples=30)
def test_halving(causal, lengths):
    start, x, recordings = batch_of(lengths)
    pooled, begin = HalveTokens(causal)(x, start)
    expected = []
    for recording in recordings:
        pairs = [recording[i : i + 2] for i in range(0, len(recording), 2)]
        expected.append([pair.mean(0) for pair in pairs if len(pair) == 2 or not causal])
    assert begin.tolist() == torch.tensor([0, *map(len, expected)]).cumsum(0).tolist()
    rows = [row for rows in expected for row in rows]
    torch.testing.assert_close(pooled, torch.stack(rows) if rows else x[:0])


@of_lengths
@settings(deadline=None, max_examples=30)
def test_the_mean_of_no_tokens_is_zero(lengths):
    start, x, recordings = batch_of(lengths)
    found = TokenMean()(x, start)
    assert found.shape == (len(lengths), 3)
    for row, recording in zip(found, recordings, strict=True):
        torch.testing.assert_close(row, recording.mean(0) if len(recording) else torch.zeros(3))
