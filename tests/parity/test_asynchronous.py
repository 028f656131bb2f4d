"""Trained weights and real recordings, event by event, against the synchronous network on all events so far."""

import numpy as np
import pytest

import eventzoo
from eventzoo.asynchronous import Window
from eventzoo.data.dataset import Sample
from eventzoo.data.transforms import CentreCrop
from eventzoo.testing import check_async_converter, synchronous_output

pytestmark = pytest.mark.slow  # a network has to be compiled


def compare(model, events, window, every, tolerance=1e-4):
    """Answers after every event; those after some of them are compared."""
    outputs = model.asynchronous(window, strict=True).push_each(events)
    assert len(outputs) == len(events)
    for count in [*range(1, len(events), every), len(events)]:
        expected = synchronous_output(model, events[:count], window)
        np.testing.assert_allclose(outputs[count - 1], expected, rtol=0, atol=tolerance * np.abs(expected).max(), err_msg=f"event {count}")


def cropped(path, count, **options):
    """Events of the middle of a recording's sensor, as many as N-Cars' sensor has pixels to a side."""
    events = eventzoo.read(path, **options)
    return CentreCrop((120, 100))(Sample(events, -1, "real"), np.random.default_rng(0)).events[:count]


def test_the_trained_network(trained):
    """Event by event over the beginning of the recording, and all of it at once."""
    compare(trained.model, trained.events[:1_000], Window(), every=50)
    answers = trained.answers["logits"]
    last = trained.model.asynchronous().push(trained.events).logits
    np.testing.assert_allclose(last, answers[0], rtol=0, atol=1e-4 * np.abs(answers).max())


def test_the_trained_network_over_all_of_the_recording(trained):
    compare(trained.model, trained.events, Window(), every=30)


@pytest.mark.parametrize("window", [Window(events=300), Window(microseconds=5_000)], ids=str)
def test_the_trained_network_on_a_window(trained, window):
    compare(trained.model, trained.events[:2_000], window, every=100)


RECORDINGS = ["formats/davis240.events.txt", "formats/dvs.es", "Gen1/gen1_20s_td.dat"]


@pytest.mark.parametrize("name", RECORDINGS)
def test_other_cameras(trained, realdata, name):
    events = cropped(realdata / name, 1_000)
    assert len(events) == 1_000
    for window in (Window(events=200), Window(microseconds=5_000)):
        compare(trained.model, events, window, every=100)


@pytest.mark.parametrize("name", RECORDINGS)
def test_all_windows_on_other_cameras(trained, realdata, name):
    check_async_converter(trained.model, cropped(realdata / name, 1_500))
