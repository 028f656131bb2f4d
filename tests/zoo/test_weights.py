"""The weights that are installed: that they are what their cards say, and answer and stream without network."""

import numpy as np
import pytest

import eventzoo
from eventzoo.testing import synchronous_output
from eventzoo.zoo import card

SHIPPED = [name for name in eventzoo.list_models(pretrained=True) if card(name).weights.hub is None]


ON_DIGITS = [name for name in SHIPPED if card(name).dataset == "NMNIST"]


def test_there_are_weights_of_every_system_and_dataset():
    systems = {type(eventzoo.load(name, pretrained=False).backbone).__name__ for name in SHIPPED}
    assert systems >= {"AEGNN", "SparseVGG", "ECN", "Event2Vec", "SpikingCNN"}
    assert {card(name).dataset for name in SHIPPED} >= {"MovingShapes", "NMNIST"}


def answers_and_streams(name, events):
    """Whether, without network, a model gives the same answers on a stream as it gives to the recordings so far."""
    model = eventzoo.load(name)
    assert str(model.predict(events))
    stream = model.asynchronous()
    for first in range(0, len(events), 700):
        stream.push(events[first : first + 700])
        expected = synchronous_output(model, events[: first + 700], stream.window)
        np.testing.assert_allclose(stream.head_output(), expected, rtol=0, atol=1e-4 * np.abs(expected).max())


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_):
        raise OSError("there is no network")

    monkeypatch.setattr("socket.socket.connect", refuse)


@pytest.mark.slow
@pytest.mark.parametrize("name", SHIPPED)
def test_they_answer_and_stream(name, make_events, no_network):
    answers_and_streams(name, make_events(1_500, (34, 34), duration=300_000))


@pytest.mark.slow
@pytest.mark.parametrize("name", ON_DIGITS)
def test_they_answer_and_stream_a_real_recording(name, realdata, no_network):
    (path, *_) = sorted((realdata / "N-MNIST" / "Train" / "3").glob("*.bin"))
    answers_and_streams(name, eventzoo.read(path, sensor_size=(34, 34)))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({*SHIPPED} - {*ON_DIGITS}))
def test_they_reproduce_the_numbers_of_their_cards(name, command_line):
    command_line("test", "--model", name)


@pytest.mark.slow
@pytest.mark.parametrize("name", ON_DIGITS)
def test_they_reproduce_the_numbers_of_their_cards_on_real_recordings(name, command_line, realdata, monkeypatch):
    monkeypatch.setenv("EVENTZOO_DATA", str(realdata))
    command_line("test", "--model", name)
