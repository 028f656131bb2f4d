import pytest
import torch

import eventzoo
from eventzoo.errors import EventZooError
from eventzoo.model import EventModel
from eventzoo.nn.backbone import Backbone
from eventzoo.specs import build, spec_of
from eventzoo.tasks.heads import ClassificationHead

Event2Vec = eventzoo.backbones.Event2Vec
SENSOR = 34, 34

FIRST = {"attention": "softmax", "spatial": "tables", "neighbours": 2, "cells": "rounded", "temporal": "time"}
THIRD = {"attention": "forgetting"}
VARIANTS = {
    "first": FIRST | {"dim": 16, "heads": 4, "feedforward": 24, "grid": (9, 7), "time_scale": 100_000},
    "one table": {"dim": 16, "spatial": "table", "grid": (5, 6), "neighbours": 1, "temporal": "time2vec", "norm": "rms"},
    "second": {"dim": 16, "inner": 8, "layers": (1, 2), "halving": "before"},
    "causal": {"dim": 16, "layers": (1, 2), "halving": "after", "causal": True, "time_scale": 10_000, "gaps": "log"},
    "third": THIRD | {"dim": 16, "heads": 4, "layers": (1, 1), "halving": "after"},
    "waves": THIRD | {"dim": 16, "temporal": "sinusoidal"},
}
variants = pytest.mark.parametrize("settings", VARIANTS.values(), ids=VARIANTS)


@pytest.fixture
def tokens(make_events):
    representation = eventzoo.representations.EventTokens()

    def made(*lengths):
        return representation.collate([representation(make_events(length, SENSOR, seed=length)) for length in lengths])

    return made


def randomised(settings):
    """A network with weights as if trained."""
    torch.manual_seed(0)
    network = Event2Vec(SENSOR, **settings)
    for parameter in network.parameters():
        if parameter.ndim < 2:
            torch.nn.init.normal_(parameter, std=0.5)
    return network


OF_ASL, OF_GESTURE = (240, 180), (128, 128)
PUBLISHED = FIRST | {"dim": 256, "heads": 16, "feedforward": 512, "grid": (48, 36)}


@pytest.mark.parametrize(
    ("sensor_size", "settings", "classes", "published"),
    [
        (OF_ASL, PUBLISHED, 24, 1_083_370),
        (OF_ASL, PUBLISHED | {"spatial": "table", "neighbours": 0}, 24, 1_946_136),
        (OF_ASL, PUBLISHED | {"neighbours": 0}, 24, 1_083_360),
        (OF_ASL, PUBLISHED | {"spatial": "table", "neighbours": 0, "grid": (96, 72)}, 24, 4_600_344),
        (OF_ASL, PUBLISHED | {"spatial": "table", "neighbours": 0, "grid": (24, 18)}, 24, 1_282_584),
        (OF_ASL, PUBLISHED | {"spatial": "table", "neighbours": 0, "grid": None}, 24, 23_179_800),
        (OF_ASL, PUBLISHED | {"spatial": "table", "neighbours": 0, "grid": (120, 90)}, 24, 6_591_000),
        (OF_ASL, PUBLISHED | {"spatial": "table", "neighbours": 0, "grid": (12, 9)}, 24, 1_116_696),
        (OF_ASL, PUBLISHED | {"temporal": "time2vec"}, 24, 1_083_882),
        (OF_ASL, PUBLISHED | {"layers": (1,)}, 24, 556_266),
        (OF_ASL, PUBLISHED | {"grid": (12, 9)}, 24, 1_066_900),
        (OF_ASL, PUBLISHED | {"grid": (96, 72)}, 24, 1_105_330),
        (OF_ASL, PUBLISHED | {"grid": None}, 24, 1_171_210),
        (OF_ASL, PUBLISHED | {"neighbours": 1}, 24, 1_083_366),
        (OF_ASL, PUBLISHED | {"neighbours": 3}, 24, 1_083_374),
        (OF_ASL, {}, 24, 91_800),
        (OF_GESTURE, {"dim": 128, "feedforward": 256, "heads": 4, "inner": 64, "layers": (1,) * 7, "halving": "before"}, 11, 843_579),
        (OF_ASL, THIRD, 24, 71_580),
        (OF_GESTURE, THIRD | {"layers": (1,) * 4, "halving": "after"}, 11, 137_619),
        (OF_GESTURE, THIRD | {"dim": 192, "feedforward": 384, "heads": 6, "layers": (16,)}, 100, 4_799_236),
    ],
)
def test_the_published_number_of_parameters(sensor_size, settings, classes, published):
    with torch.device("meta"):
        network = Event2Vec(sensor_size, **settings)
        head = ClassificationHead().connect(network, classes)
    padding = (
        settings["dim"] if settings.get("attention") == "softmax" else 0
    )  # rows of the tables, which tokens without padding do not need
    assert sum(parameter.numel() for module in (network, head) for parameter in module.parameters()) == published - padding


@variants
def test_a_recording_means_the_same_in_any_company(settings, tokens):
    """Recordings of many events, of one and of none; in training and in evaluation. Nothing is changed in the batch."""
    network, lengths = randomised(settings), (150, 1, 0, 33)
    batch = tokens(*lengths)
    before = [tensor.clone() for tensor in batch]
    together = network(batch)
    assert together.shape == (4, network.out_channels)
    assert together.isfinite().all()
    assert all(torch.equal(*pair) for pair in zip(batch, before, strict=True))
    network.eval()
    with torch.no_grad():
        torch.testing.assert_close(network(batch), together.detach(), rtol=1e-4, atol=1e-5)
        for length, features in zip(lengths, together.detach(), strict=True):
            torch.testing.assert_close(network(tokens(length))[0], features, rtol=1e-4, atol=1e-5)
        assert network(tokens(0, 0)).isfinite().all()
        assert network(batch._replace(t=torch.zeros_like(batch.t))).isfinite().all()


@variants
def test_every_parameter_learns(settings, tokens):
    network = randomised(settings)
    network(tokens(40, 0, 1, 90)).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.count_nonzero() > 0, name


@variants
def test_a_step_in_mixed_precision_is_near_that_in_single_precision(settings, tokens):
    network, steps = randomised(settings), []
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            features = network(tokens(40, 0, 1, 90))
        gradients = torch.autograd.grad(features.float().tanh().sum(), list(network.parameters()))
        steps.append((features.detach().float(), torch.cat([gradient.flatten() for gradient in gradients])))
    for single, mixed in zip(*steps, strict=True):
        assert 0 < (mixed - single).norm() < 0.1 * single.norm()


def test_what_a_causal_network_computes_for_a_token_depends_on_no_later_one(tokens):
    network, seen = randomised(VARIANTS["causal"]).eval(), []
    network.mean.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    batch = tokens(101)
    for length in (101, 100, 57, 4, 3, 0):
        columns = [column[:length] for column in batch[:4]]
        network(type(batch)(*columns, torch.tensor([0, length])))
        assert len(seen[-1]) == length // 2 // 2
        torch.testing.assert_close(seen[-1], seen[0][: len(seen[-1])])


@variants
def test_specified_and_saved_it_is_the_same(settings, make_events, tmp_path):
    network = randomised(settings)
    again = build(spec_of(network), Backbone)
    again.load_state_dict(network.state_dict())
    given, found = spec_of(network)["init_args"], spec_of(again)["init_args"]  # the other settings are defaults
    assert found == found | given
    head = ClassificationHead().connect(network, 3)
    model = EventModel(eventzoo.representations.EventTokens(), network, head, ("a", "b", "c"), SENSOR)
    model.save(tmp_path / "model")
    loaded = eventzoo.load(f"local-dir:{tmp_path / 'model'}")
    for count in (0, 1, 200):
        events = make_events(count)
        assert (loaded.predict(events).logits == model.predict(events).logits).all()


def test_layers_begin_with_weights_of_their_own_and_later_ones_are_left_out_more_often():
    network = Event2Vec(SENSOR, dim=16, layers=(1, 2), drop_path=0.5)
    layers = [layer for stage in network.stages for layer in stage.layers]
    assert [layer.drop_path.share for layer in layers] == [0, 0.25, 0.5]
    assert len({layer.widen.weight[0, 0].item() for layer in layers}) == 3


def test_weight_decay_is_for_matrices_that_are_no_tables():
    network = Event2Vec(SENSOR, **VARIANTS["first"])
    kept = {name for name, parameter in network.named_parameters() if parameter.ndim < 2}
    assert network.no_weight_decay() == kept | {"spatial.rows.table.weight", "spatial.columns.table.weight"}
    assert {"stages.0.class_token", "spatial.rows.weights"} < kept


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"in_channels": 3}, "in_channels is 4"),
        ({"layers": ()}, r"the layers of each stage are at least 1, not 4, 64, 128, 2 and \(\)"),
        ({"causal": True}, "cannot know a recording's duration; set its time_scale in microseconds"),
        (THIRD | {"causal": True, "time_scale": 1000}, "forgetting attention cannot be causal; gated attention can"),
        (THIRD | {"inner": 32}, "forgetting attention has as many inner features as dim; leave inner null"),
        (
            {"attention": "softmax", "layers": (1, 1)},
            "with softmax attention, there are one stage, no halving, no drop_path and layer norms",
        ),
        ({"attention": "softmax", "drop_path": 0.1}, "no drop_path"),
        ({"attention": "softmax", "norm": "rms"}, "layer norms"),
        ({"grid": (9, 7)}, "grid, neighbours, dilation and cells are for tables; set spatial to table or tables"),
        ({"temporal": "time", "gaps": "log"}, "with temporal time there are no gaps to count; leave them linear"),
        ({"drop_path": 1.0}, "drop_path is a share of at least 0 and less than 1, not 1.0"),
    ],
)
def test_what_makes_no_sense(settings, message):
    with pytest.raises(EventZooError, match=message):
        Event2Vec(SENSOR, **settings)
