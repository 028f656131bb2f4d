"""Pooling of streams into voxels, and their pyramid, against literal loops."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eventzoo.errors import EventZooError
from eventzoo.nn.event_stream import HalvingConv3d, StreamLevel, VoxelMean

WIDTH, HEIGHT = SIZE = (3, 2)


def level(samples):
    """A level without edges. Each sample has the times of its events."""
    rng = np.random.default_rng(0)
    t = torch.tensor([time for times in samples for time in times], dtype=torch.int64)
    x, y = (torch.from_numpy(rng.integers(0, side, len(t)).astype(np.int16)) for side in SIZE)
    sample = torch.repeat_interleave(torch.arange(len(samples)), torch.tensor([len(times) for times in samples]))
    return StreamLevel(t, x, y, sample, None, None, None), torch.from_numpy(rng.standard_normal((len(t), 4)))


def literal_means(x, of, durations, frames, horizon):
    voxels = np.zeros((len(durations), 4, frames, HEIGHT, WIDTH))
    for sample, duration in enumerate(durations):
        last_bin = max(duration * frames // horizon, frames - 1)
        for frame in range(frames):
            for row in range(HEIGHT):
                for column in range(WIDTH):
                    inside = [
                        features.numpy()
                        for features, t, *place in zip(x, *(part.tolist() for part in of[:4]), strict=True)
                        if place == [column, row, sample] and t * frames // horizon == last_bin - frames + 1 + frame
                    ]
                    if inside:
                        voxels[sample, :, frame, row, column] = np.mean(inside, 0)
    return voxels


times = st.lists(st.integers(0, 250), max_size=25).map(sorted)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(times, st.integers(0, 60)), min_size=1, max_size=3), st.sampled_from([1, 2, 4]), st.sampled_from([7, 60, 1000]))
def test_voxels_hold_the_means_of_their_events(samples, frames, horizon):
    """Recordings are shorter and longer than the horizon, and go on after the level's last event."""
    durations = [(times[-1] if times else 0) + later for times, later in samples]
    of, x = level([times for times, _ in samples])
    means = VoxelMean(frames, horizon, SIZE)(x, of, torch.tensor(durations))
    np.testing.assert_allclose(means, literal_means(x, of, durations, frames, horizon), rtol=1e-12, atol=1e-12)


@settings(deadline=None, max_examples=50)
@given(times.filter(bool), st.data())
def test_later_events_change_no_earlier_voxel(times, data):
    frames, horizon = 4, 60
    of, x = level([times])
    whole = VoxelMean(frames, horizon, SIZE)(x, of, torch.tensor([times[-1]]))[0]
    known = data.draw(st.integers(0, len(times) - 1))
    now = data.draw(st.integers(times[known - 1] if known else 0, times[known]))
    part = StreamLevel(*(column[:known] for column in of[:4]), None, None, None)
    before = VoxelMean(frames, horizon, SIZE)(x[:known], part, torch.tensor([now]))[0]
    first, first_before = (max(end * frames // horizon, frames - 1) - frames + 1 for end in (times[-1], now))
    for time_bin in range(first, min(times[known] * frames // horizon, first_before + frames)):
        assert torch.equal(whole[:, time_bin - first], before[:, time_bin - first_before])


def test_streams_without_events_are_zero():
    of, x = level([[], []])
    assert torch.equal(VoxelMean(2, 100, SIZE)(x.float(), of, torch.tensor([0, 500])), torch.zeros(2, 4, 2, HEIGHT, WIDTH))


@pytest.mark.parametrize(("frames", "horizon"), [(0, 100), (4, 3)])
def test_frames_that_cannot_be_are_refused(frames, horizon):
    with pytest.raises(EventZooError, match="at least 1"):
        VoxelMean(frames, horizon, SIZE)


@pytest.mark.parametrize("sides", [(4, 2, 6), (1, 5, 3), (2, 1, 1)])
def test_halving_equals_a_literal_loop(sides):
    torch.manual_seed(0)
    conv, volume = HalvingConv3d(3, 5).double(), torch.randn(2, 3, *sides, dtype=torch.float64)
    halves = [(side + 1) // 2 for side in sides]
    expected = conv.bias.detach().view(1, 5, 1, 1, 1).repeat(2, 1, *halves)
    for place in np.ndindex(*halves):
        for offset in np.ndindex(2, 2, 2):
            at = tuple(2 * cell + step for cell, step in zip(place, offset, strict=True))
            if all(cell < side for cell, side in zip(at, sides, strict=True)):
                expected[:, :, *place] += volume[:, :, *at] @ conv.weight.detach()[:, :, *offset].T
    torch.testing.assert_close(conv(volume).detach(), expected)
