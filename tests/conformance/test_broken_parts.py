"""The checks find what is wrong, and say what."""

import hashlib
import importlib
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

import eventzoo
from eventzoo import registry, shipped
from eventzoo.events import Events
from eventzoo.testing import check_backbone, check_dataset, check_model_card, check_representation
from eventzoo.zoo.cards import read_card

RNG = np.random.default_rng(0)
EVENTS = Events(RNG.integers(0, 8, 60), RNG.integers(0, 6, 60), np.arange(60) * 100, RNG.random(60) < 0.5, (8, 6))


@pytest.fixture(scope="module")
def broken():
    """The package of broken parts, installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parent / "packages")
        registry.entries.cache_clear()
        yield importlib.import_module("broken_parts")
    registry.entries.cache_clear()
    registry.get.cache_clear()
    del sys.modules["broken_parts"]


def test_parts_that_keep_their_promises(broken):
    check_dataset(broken.Dots())
    check_representation(broken.Image(channels=1), EVENTS)
    check_backbone(broken.Net(width=3), broken.Image(), EVENTS)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("NamedTwice", "NamedTwice.classes has a name twice: ('dot', 'dot')"),
        ("Endless", "Endless has 5 samples by its length, and one more at index 5"),
        ("Shuffled", "Shuffled, made anew, has 'train/"),
        ("Augmented", "Augmented, read again, gives another sample 'train/0': a sample must always be the same"),
        ("WithoutSplit", "WithoutSplit: '0' is the key of sample 0 of val and of sample 0 of train"),
        ("CountedFromOne", "CountedFromOne: sample 'train/1' has the label 2 of 2 classes"),
        ("WithOpenFile", "WithOpenFile cannot be pickled, so that no other process could have it: TypeError: cannot pickle"),
        (
            "OffTheSensor",
            "OffTheSensor: sample 'train/0' has boxes that reach beyond the sensor of (8, 6), or are empty: [[0.0, 0.0, 9.0, 5.0]]",
        ),
        ("Unsorted", "Unsorted: sample 'train/0' has events that are none: EventZooError: "),
    ],
)
def test_broken_datasets(broken, name, sentence):
    with pytest.raises(AssertionError, match=re.escape(sentence)):
        check_dataset(getattr(broken, name)())


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("NeedsEvents", "NeedsEvents cannot represent no event: IndexError: "),
        ("Mean", "Mean makes numbers of no event that are not finite"),
        ("Transposed", "Transposed: an image of its batch must be float32 [4, 1, 6, 8], not torch.float32 [4, 1, 8, 6]"),
        ("Remembering", "Remembering makes something else of the recording when it is asked again: it must be a pure function"),
        ("Sharing", "Sharing.collate must copy, as samples may be views of a store, and its batch shares memory with them"),
    ],
)
def test_broken_representations(broken, name, sentence):
    with pytest.raises(AssertionError, match=re.escape(sentence)):
        check_representation(getattr(broken, name)(), EVENTS)


def test_a_representation_that_forgets_its_settings(broken):
    sentence = "Forgetful, made anew from its specification, makes something else of the same events"
    with pytest.raises(AssertionError, match=sentence):
        check_representation(broken.Forgetful(scale=3), EVENTS)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("TakesAnything", "TakesAnything accepts image and does not refuse FrameSequence, which yields frames"),
        ("WrongWidth", "WrongWidth: features must be float32 [4, 4], with out_channels 4 and out_size None, not torch.float32 [4, 3]"),
        ("Divided", "Divided: in training, features of recordings of [0] events are not finite"),
        ("OfTheBatch", "OfTheBatch: features of a recording of 30 events differ by "),
        ("Unused", "Unused: no gradient reaches spare.weight; what is not trained must not require one"),
        ("Counting", "Counting changes calls in evaluation"),
        ("Noisy", "Noisy: in evaluation, features of the same batch differ from one call to the next"),
        ("AlwaysEvaluating", "AlwaysEvaluating leaves training by itself, when it is called"),
        ("DifferentWhenMadeAnew", "DifferentWhenMadeAnew, made anew from its specification, has other parameters: {'extra"),
        ("Misnamed", "Misnamed.no_weight_decay names ['convolution.bias'], which are none of its parameters"),
        ("WithUnsavedState", "WithUnsavedState: a model with it gives other answers after it was saved and loaded"),
    ],
)
def test_broken_backbones(broken, name, sentence):
    with pytest.raises(AssertionError, match=re.escape(sentence)):
        check_backbone(getattr(broken, name)(), broken.Image(), EVENTS)


def test_a_part_that_nobody_registers(tmp_path, monkeypatch):
    (tmp_path / "homeless.py").write_text((Path(__file__).parent / "packages" / "broken_parts.py").read_text())
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(AssertionError, match=r"Dots cannot be made from its specification, as configurations, .* refusing to import"):
        check_dataset(importlib.import_module("homeless").Dots())


@pytest.fixture
def card(tmp_path):
    """A card of ours with changed entries, and its weights beside it."""
    own = yaml.safe_load((shipped.folders("zoo")["eventzoo"] / "asynet-nmnist.yaml").read_text())

    def changed(**entries):
        path = tmp_path / "net.yaml"
        path.write_text(yaml.safe_dump({**own, **entries}))
        read_card.cache_clear()
        return path

    yield changed
    read_card.cache_clear()


PUBLISHED = {
    "seed": 3,
    "command": "eventzoo fit --config configs/asynet_nmnist.yaml --seed_everything 3",
    "licence": "MIT",
    "sha256": {"config.json": "0" * 64, "model.safetensors": "1" * 64},
}
MEASURED = {"dataset": "NMNIST", "split": "val", "name": "accuracy", "value": 0.9, "protocol": "all", "seeds": {3: 0.9}}
SEED_IN_A_WORD = "eventzoo fit --config=configs/asynet_nmnist.yaml --seed_everything=4"


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        ({"extra": 1}, "net.yaml: unknown entry: extra"),
        ({"summary": " "}, "net: summary is empty"),
        ({"dataset": "NMIST"}, "net: dataset NMIST is not registered"),
        ({"config": "configs/none.yaml"}, "net: its recipe configs/none.yaml is not installed"),
        ({"dataset": "NCars"}, "net: the card says that it is trained on NCars, configs/asynet_nmnist.yaml on NMNIST"),
        ({"task": "detection"}, "net: the card is for detection, and configs/asynet_nmnist.yaml trains a Classification"),
        ({"weights": {**PUBLISHED, "command": "python train.py"}}, "net: the command that trained its weights must be `eventzoo fit …`"),
        ({"weights": {**PUBLISHED, "seed": 4}}, "net: the command trains with seed 3, the weights' seed is 4"),
        ({"weights": {**PUBLISHED, "command": SEED_IN_A_WORD}}, "net: the command trains with seed 4, the weights' seed is 3"),
        (
            {"weights": {**PUBLISHED, "command": "eventzoo fit --config asl_dvs"}},
            "net: the command runs the config 'asl_dvs', the card's is ",
        ),
        (
            {"weights": {**PUBLISHED, "data": {"first": 9}}},
            "net: the command does not say --data.dataset.first 9, as the weights' data does",
        ),
        ({"weights": PUBLISHED}, "net: its weights cannot be loaded: EventZooError: "),
        ({"weights": None, "measured": [MEASURED]}, "net: it has measured values and no published weights that anyone could measure"),
        ({"reported": [{"dataset": "NMNIST", "name": "accuracy", "value": 0.9, "source": ""}]}, "net: the reported accuracy has no source"),
    ],
)
def test_cards_that_are_not_true(card, entries, sentence):
    with pytest.raises(AssertionError, match=re.escape(sentence)):
        check_model_card(card(**{"weights": None, "measured": [], **entries}))


def with_weights(card, model, **entries):
    """A card with this model's weights."""
    folder = card().parent / "weights" / "net"
    model.save(folder)
    sums = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("config.json", "model.safetensors")}
    return card(weights={**PUBLISHED, "sha256": sums}, measured=[MEASURED], **entries)


def test_a_card_with_weights(card):
    path = with_weights(card, eventzoo.load("asynet-nmnist", pretrained=False))
    check_model_card(path)
    weights = read_card(path).weights.sha256
    for entries, sentence in (
        ({"seeds": {4: 0.9}}, "net: accuracy on val: seed 3 of the published weights is not among the seeds [4]"),
        ({"seeds": {3: 0.8}}, "net: accuracy on val: the value is 0.9, that of the published weights' seed 0.8"),
        ({"value": 91.0, "seeds": {3: 91.0}}, "net: accuracy on val: 91 is no share from 0 to 1, nor a loss"),
        ({"protocol": ""}, "net: accuracy on val: it does not say how it was measured"),
    ):
        with pytest.raises(AssertionError, match=re.escape(sentence)):
            check_model_card(card(weights={**PUBLISHED, "sha256": weights}, measured=[{**MEASURED, **entries}]))
    (path.parent / "weights" / "net" / "model.safetensors").write_bytes(b"another")
    with pytest.raises(
        AssertionError, match=r"net: its weights cannot be loaded: EventZooError: .* is not the file that the card of net means"
    ):
        check_model_card(path)


def test_a_card_whose_weights_are_of_another_recipe(card):
    model = eventzoo.load("asynet-nmnist", pretrained=False)
    model.transforms = []
    with pytest.raises(AssertionError, match=r"net: the transforms of its weights is \[\], of configs/asynet_nmnist.yaml \[{'class_path'"):
        check_model_card(with_weights(card, model))


def test_a_card_whose_weights_are_no_numbers(card):
    model = eventzoo.load("asynet-nmnist", pretrained=False)
    next(model.parameters()).data[0] = float("nan")
    with pytest.raises(AssertionError, match=r"net: backbone\.\S+ of its weights is not finite"):
        check_model_card(with_weights(card, model))


def test_a_card_whose_model_answers_no_numbers(card):
    model = eventzoo.load("asynet-nmnist", pretrained=False)
    for name, statistic in model.backbone.named_buffers():
        if name.endswith("running_var"):
            statistic.fill_(-1)
    with pytest.raises(AssertionError, match="net: what it says of a recording of 0 events is not finite"):
        check_model_card(with_weights(card, model))
