"""Frames of equal length equal their definition, event by event."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eventzoo.data.pipeline import Pipeline
from eventzoo.data.preparing import find_store, prepare
from eventzoo.data.transforms import EvenSubsample
from eventzoo.errors import EventZooError
from eventzoo.events import Events
from eventzoo.plugins.datasets.moving_shapes import MovingShapes
from eventzoo.representations import FrameSequence
from eventzoo.specs import build, spec_of

WIDTH, HEIGHT = SIZE = (4, 3)
FORMS = ("counts", "voxels")

few = settings(deadline=None, max_examples=40)
each_form = pytest.mark.parametrize("form", FORMS)


@st.composite
def recordings(draw):
    """A few pixels, events of one time, pauses of less than a frame and of several; the clock may begin anywhere."""
    event = st.tuples(st.integers(0, WIDTH - 1), st.integers(0, HEIGHT - 1), st.sampled_from([0, 0, 1, 7, 20, 150]), st.booleans())
    x, y, gaps, p = np.array(draw(st.lists(event, max_size=30)), np.int64).reshape(-1, 4).T
    return Events(x, y, gaps.cumsum() + draw(st.sampled_from([-1000, -7, 0, 3, 10**15])), p, SIZE)


def literal(events, step, form):
    listed = [(int(x), int(y), int(t - events.t[0]), int(p)) for x, y, t, p in zip(events.x, events.y, events.t, events.p, strict=True)]
    count = listed[-1][2] // step + 1 if listed else 0
    frames = np.full((count, 2 if form == "counts" else 1, HEIGHT, WIDTH), Fraction(0))
    for x, y, t, p in listed:
        for k in range(count):
            if form == "voxels":
                frames[k, 0, y, x] += (2 * p - 1) * max(0, 1 - abs(Fraction(t, step) - k))
            elif k * step <= t < (k + 1) * step:
                frames[k, p, y, x] += 1
    return frames.astype(np.float32)


@few
@given(recordings(), st.sampled_from([1, 7, 20, 10**6]), st.sampled_from(FORMS))
def test_equals_a_literal_loop(events, step, form):
    frames = FrameSequence(step, form)(events)
    assert frames.dtype == torch.float32
    np.testing.assert_array_equal(frames.numpy(), literal(events, step, form))


@few
@given(recordings(), st.integers(0, 30), st.sampled_from(FORMS))
def test_what_comes_later_changes_no_frame_but_the_last(events, count, form):
    representation = FrameSequence(20, form)
    before, after = representation(events[:count]), representation(events)
    torch.testing.assert_close(before[:-1], after[: max(len(before) - 1, 0)], rtol=0, atol=0)


@few
@given(recordings(), st.sampled_from(FORMS))
def test_sums_do_not_depend_on_what_is_added_together(events, form):
    representation = FrameSequence(20, form)
    frames = representation(events)
    sums = np.zeros((len(frames) + 1, *frames.shape[1:]), np.int64)
    for i in reversed(range(len(events))):
        representation.add(events[i : i + 1], int(events.t[0]), sums)
    torch.testing.assert_close(representation.frames(sums[:-1]), frames, rtol=0, atol=0)


def test_a_worked_example():
    events = Events([0, 0, 1, 0], [0, 0, 2, 0], [100, 104, 109, 125], [True, False, True, True], SIZE)
    counts = FrameSequence(10)(events)
    assert counts.shape == (3, 2, HEIGHT, WIDTH)
    assert counts[:, :, 0, 0].tolist() == [[1, 1], [0, 0], [0, 1]]
    assert counts[:, :, 2, 1].tolist() == [[0, 1], [0, 0], [0, 0]]
    voxels = FrameSequence(10, "voxels")(events)
    np.testing.assert_allclose(voxels[:, 0, 0, 0], [1 - 0.6, -0.4, 0.5])
    np.testing.assert_allclose(voxels[:, 0, 2, 1], [0.1, 0.9, 0])
    assert voxels.count_nonzero() == 5


@each_form
def test_batches(form):
    representation = FrameSequence(10, form)
    events = Events([0, 1, 2], [0, 1, 2], [0, 5, 25], [True, False, True], SIZE)
    samples = [representation(events), representation(events[:0]), representation(events[:1])]
    batch = representation.collate(samples).to("cpu")
    assert batch.lengths.tolist() == [3, 0, 1]
    assert batch.frames.shape == (3, 3, representation.channels, HEIGHT, WIDTH)
    for i, frames in enumerate(samples):
        torch.testing.assert_close(batch.frames[: len(frames), i], frames, rtol=0, atol=0)
        assert not batch.frames[len(frames) :, i].any()
    alone = representation.collate(samples[:1])
    samples[0].zero_()
    assert alone.frames.any()  # a copy
    assert representation.collate([samples[1]]).frames.shape == (0, 1, representation.channels, HEIGHT, WIDTH)


def test_rebuilt_and_prepared(tmp_path):
    representation = build(spec_of(FrameSequence(50_000, "voxels")), FrameSequence)
    pipeline = Pipeline(MovingShapes(size=2), [EvenSubsample(300)], representation)
    fresh = [pipeline[0, i].value for i in range(2)]
    prepare(tmp_path, pipeline, jobs=1, backend="sequential")
    pipeline.store = find_store(tmp_path, pipeline)
    for i in range(2):
        assert torch.equal(pipeline[0, i].value, fresh[i])
        assert torch.equal(
            fresh[i], FrameSequence(50_000, "voxels")(pipeline.fixed[0](pipeline.dataset[i], np.random.default_rng(0)).events)
        )
        assert fresh[i].any()


@pytest.mark.parametrize("arguments", [(0,), (-5,), (10, "surfaces")])
def test_settings_that_make_no_sense(arguments):
    with pytest.raises(EventZooError, match="step >= 1 µs and a form counts or voxels are needed, not"):
        FrameSequence(*arguments)
