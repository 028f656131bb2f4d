"""What is known to be wrong in the asynchronous form of AEGNN's authors, and must be right here.

Each is a difference between their asynchronous and their synchronous network, as measured on their code.
"""

import numpy as np
import pytest
import torch

from eventzoo.asynchronous import Window
from eventzoo.events import Events


def at(*events, size=(34, 34)):
    """Events at (x, y, t), ON."""
    x, y, t = zip(*events, strict=True)
    return Events(x, y, t, [True] * len(events), size)


def follow(model, events, window=None, start=0):
    """Push the first events at once and the others singly; the answers are the synchronous model's. Returns them."""
    stream = model.asynchronous(window, strict=True)
    answers = [stream.push(events[:start]).logits]
    for i in range(start, len(events)):
        answers.append(stream.push(events[i : i + 1]).logits)
        expected = stream.synchronous().logits
        np.testing.assert_allclose(answers[-1], expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    return np.stack(answers)


@pytest.mark.parametrize("causal", [True, False])
def test_the_second_event_is_not_forgotten(aegnn, rough, causal):
    events = rough(120, 1)
    answers = follow(aegnn(causal), events, start=100)
    changes = np.abs(np.diff(answers, axis=0)).max(1)
    assert (changes > 1e-6).sum() > 10  # otherwise there would be nothing to forget


def test_batch_norm_uses_the_running_statistics_and_the_standard_deviation(aegnn, rough):
    model = aegnn()
    with torch.no_grad():
        for name, buffer in model.named_buffers():
            if name.endswith("running_var"):
                buffer.fill_(9.0)
    follow(model, rough(60, 2), start=50)


def test_the_change_of_one_event_is_not_lost(aegnn, rough):
    """The change itself is compared: it is much smaller than the output, to which errors are compared elsewhere."""
    model, events = aegnn(), rough(301, 3)
    stream = model.asynchronous()
    change = -stream.push(events[:-1]).logits + stream.push(events[-1:]).logits
    expected = model.output(events) - model.output(events[:-1])
    assert np.abs(expected).max() > 1e-5
    np.testing.assert_allclose(change, expected, rtol=0, atol=0.02 * np.abs(expected).max())


@pytest.mark.parametrize("positions", ["mean", "centre"])
def test_an_event_that_opens_a_voxel(aegnn, positions):
    """Beside voxels that are there, joined to them and not, and in an empty image."""
    events = at((4, 4, 0), (4, 4, 100), (5, 4, 200), (30, 30, 300), (4, 5, 400), (5, 5, 500), (29, 30, 600))
    for causal in (True, False):
        follow(aegnn(causal, coarse_positions=positions), events)
        follow(aegnn(causal, coarse_positions=positions), events, Window(events=2))


@pytest.mark.parametrize("corner", [(20, 21), (0, 0), (33, 33)])
def test_an_object_that_does_not_touch_the_origin(aegnn, corner):
    """The grid of voxels is the sensor's, wherever the events are."""
    rng = np.random.default_rng(4)
    offsets = rng.integers(-8, 9, (60, 2)).clip(-np.array(corner), 33 - np.array(corner))
    follow(aegnn(), at(*((*(corner + offset), 50 * i) for i, offset in enumerate(offsets))), start=40)


@pytest.mark.parametrize("causal", [True, False])
def test_a_neighbour_exactly_at_the_radius_is_none(aegnn, causal):
    model = aegnn(causal, radius=3.0)
    at_radius, within = at((10, 10, 0), (13, 10, 0)), at((10, 10, 0), (12, 12, 0))
    assert model.representation(at_radius).num_edges == 0
    assert model.representation(within).num_edges > 0
    follow(model, at_radius)
    follow(model, within)
    in_time = at((10, 10, 0), (10, 10, 600_000), (10, 10, 1_199_999))  # 3 pixels later, and one microsecond less
    assert model.representation(in_time).num_edges == (1 if causal else 2)
    follow(model, in_time)


@pytest.mark.parametrize("causal", [True, False])
def test_the_limit_of_neighbours_holds_for_a_new_event(aegnn, causal):
    model = aegnn(causal, max_neighbors=2)
    events = at(*((10, 10, 10 * i) for i in range(12)))
    assert model.representation(events).num_edges == (1 + 2 * 10) * (1 if causal else 2)
    follow(model, events)
    follow(model, events, Window(events=5))


def test_trained_networks_with_bias_and_root_are_accepted(aegnn, rough):
    model = aegnn(bias=True, root_weight=True)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(".bias"):
                parameter.uniform_(0.5, 1)
    follow(model, rough(60, 5), start=50)


def test_an_event_may_come_twice(aegnn):
    follow(aegnn(), at(*[(7, 7, 100)] * 6, *[(8, 7, 100)] * 6), Window(events=4))
