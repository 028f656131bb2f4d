"""Pre-training that recovers hidden events, and what begins with its weights."""

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer

import eventzoo
from eventzoo.data.datamodule import EventDataModule
from eventzoo.data.transforms import EveryKth
from eventzoo.errors import EventZooError
from eventzoo.tasks.masked_events import MaskedEvents, _means

pytestmark = pytest.mark.filterwarnings("ignore:Attribute '(backbone|head)' is an instance of")  # as the command line does

SIZE = (34, 34)


def batch_of(make_events, *counts):
    represent = eventzoo.representations.EventTokens()
    return represent.collate([represent(make_events(count, SIZE, seed=count)) for count in counts])


def task(**settings):
    torch.manual_seed(0)
    return MaskedEvents(eventzoo.backbones.Event2Vec(SIZE, dim=16, feedforward=16, layers=(1,), **settings)).eval()


@torch.no_grad()
def test_what_is_hidden_is_not_seen(make_events):
    """Where hidden events were and of which polarity changes nothing but what they are compared with; where the others were does."""
    batch = batch_of(make_events, 20, 7)
    hidden = torch.rand(27, generator=torch.Generator().manual_seed(0)) < 0.3
    model = task()
    first = model(batch, hidden)
    turned = batch._replace(x=torch.where(hidden, 33 - batch.x, batch.x), p=batch.p ^ hidden)
    second = model(turned, hidden)
    assert torch.equal(first.output, second.output)
    torch.testing.assert_close(first.target[:, [0, 2]], -second.target[:, [0, 2]])
    assert torch.equal(first.target[:, 1], second.target[:, 1])
    others = model(batch._replace(x=torch.where(hidden, batch.x, 33 - batch.x)), hidden)
    assert (others.output != first.output).any(1).all()


@torch.no_grad()
def test_when_hidden_events_were_is_seen(make_events):
    batch = batch_of(make_events, 20)
    model, hidden = task(), torch.ones(20, dtype=torch.bool)
    assert (model(batch, hidden).output != model(batch._replace(t=batch.t**2), hidden).output).any()


def test_targets_and_guesses(make_events):
    batch = batch_of(make_events, 5, 3)
    hidden = torch.tensor([0, 1, 0, 0, 0, 1, 1, 1], dtype=torch.bool)
    recovered = task()(batch, hidden)
    expected = torch.stack([batch.x * 2 / 33 - 1, batch.y * 2 / 33 - 1, batch.p * 2 - 1], 1)
    torch.testing.assert_close(recovered.target, expected[hidden])
    torch.testing.assert_close(recovered.guess[0], expected[[0, 2, 3, 4]].mean(0))
    assert (recovered.guess[1:] == 0).all()  # nothing of the second recording was seen
    assert _means(expected[:0], hidden[:0], torch.tensor([0, 0])).shape == (0, 3)


def test_it_learns_what_can_be_known():
    """Events are bright in one corner and dark in the other, which comes first in some recordings and last in others: neighbours tell."""
    represent, late = eventzoo.representations.EventTokens(), np.arange(32) >= 16
    columns = [np.where(late != first, 29, 4) for first in (True, False)] * 4
    events = [eventzoo.Events(x, 33 - x, np.arange(32) * 1000, x > 9, SIZE) for x in columns]
    batch, model = represent.collate([represent(recording) for recording in events]), task().train()
    optimizer, generator = torch.optim.Adam(model.parameters(), 1e-2), torch.Generator().manual_seed(0)
    ratios = []
    for _ in range(60):
        recovered = model(batch, model._hidden(batch, generator))
        loss, guessed = ((found - recovered.target).square().mean() for found in (recovered.output, recovered.guess))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        ratios.append(float(loss.detach() / guessed))
    assert sum(ratios[-10:]) / 10 < 0.4


@pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:.*treespec, LeafSpec")
def test_metrics_of_a_validation():
    """They do not depend on chance; guesses have theirs; a network that is the guess explains nothing."""
    data = EventDataModule(
        eventzoo.datasets.MovingShapes(size=10),
        eventzoo.representations.EventTokens(),
        eval_transforms=[EveryKth(20)],
        batch_size=5,
    )
    backbone = eventzoo.backbones.Event2Vec((64, 64), dim=16, feedforward=16, layers=(1,))
    model = MaskedEvents(backbone)
    trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False)
    (first,), (second,) = (trainer.validate(model, data, verbose=False) for _ in range(2))
    assert first == second
    assert first["val/explained"] == pytest.approx(1 - first["val/loss"] / first["val/guess_loss"])
    assert 0 < first["val/guess_pixel_error"] < 32
    assert 0.4 <= first["val/guess_polarity_accuracy"] <= 1
    assert first["val/pixel_error"] > 0
    model.decoder = torch.nn.Sequential(model.decoder, torch.nn.Threshold(2.0, 0.0))  # the centre, always
    (centre,) = trainer.validate(model, data, verbose=False)
    assert centre["val/guess_loss"] == first["val/guess_loss"]
    assert centre["val/polarity_accuracy"] == pytest.approx(1 - share_brighter(data, model), abs=1e-6)


def share_brighter(data, model):
    """Of the events that are hidden in validation."""
    found = []
    for number, batch in enumerate(data.val_dataloader()):
        found.append(batch.inputs.p[model._hidden(batch.inputs, torch.Generator().manual_seed(number))])
    return float(torch.cat(found).float().mean())


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: task(halving="before"), "halving: null"),
        (lambda: MaskedEvents(eventzoo.backbones.Event2Vec(SIZE, layers=(1, 1))), "one stage"),
        (lambda: MaskedEvents(eventzoo.backbones.Event2Vec(SIZE, attention="softmax")), "no softmax attention"),
        (lambda: MaskedEvents(eventzoo.backbones.Event2Vec(SIZE, dim=8)), "dim of 16 at least, .* not 8"),
        (lambda: MaskedEvents(eventzoo.backbones.Event2Vec(SIZE), share=1.0), "share must be between 0 and 1, not 1.0"),
        (lambda: MaskedEvents(eventzoo.backbones.SparseVGG(SIZE)), "trains an Event2Vec, .* no SparseVGG"),
    ],
)
def test_what_cannot_be_trained_so(made, said):
    with pytest.raises(EventZooError, match=said):
        made()


def test_decay_spares_the_token_and_biases():
    model = task()
    spared = {id(parameter) for group in model._optimizer().param_groups if not group["weight_decay"] for parameter in group["params"]}
    assert {name for name, parameter in model.named_parameters() if id(parameter) not in spared} == {
        name for name, parameter in model.named_parameters() if parameter.ndim > 1
    }


@pytest.mark.slow
def test_from_the_command_line(tmp_path, monkeypatch, command_line, capsys):
    """A detector's recordings will do; a classifier begins with what was learnt, and nobody asks for answers."""
    monkeypatch.chdir(tmp_path)
    recipe = ["--data.dataset", "MovingShapes", "--data.dataset.init_args.size", 10, "--data.representation", "EventTokens"]
    thinned = '[{"class_path": "RandomSubsample", "init_args": {"count": 64}}]'
    recipe += ["--data.train_transforms", thinned, "--data.eval_transforms", thinned, "--data.batch_size", 5]
    recipe += ["--trainer.enable_progress_bar", "false", "--trainer.accelerator", "cpu", "--trainer.logger", "CSVLogger"]
    recipe += ["--trainer.logger.save_dir", "runs", "--trainer.max_epochs", 1]
    backbone = ["--model.backbone", "Event2Vec", "--model.backbone.init_args.sensor_size", "[64,64]"]
    detection = ["--data.dataset.init_args.task", "detection"]
    command_line("fit", *recipe, *detection, "--model", "MaskedEvents", *backbone, "--trainer.callbacks", "[PredictionPictures]")
    printed = capsys.readouterr().out
    assert "no pictures of predictions: MaskedEvents predicts nothing that could be drawn" in printed
    assert "best epoch, val/explained " in printed
    (weights,) = tmp_path.rglob("model.safetensors")
    assert f"--model.pretrained {weights.relative_to(tmp_path).parent}" in printed
    (best,) = tmp_path.rglob("best.ckpt")
    command_line("validate", *recipe, *detection, "--model", "MaskedEvents", *backbone, "--ckpt_path", best)
    with pytest.raises(SystemExit, match="MaskedEvents answers nothing that test could use"):
        command_line("test", *recipe, *detection, "--model", "MaskedEvents", *backbone, "--ckpt_path", best)
    with pytest.raises(EventZooError, match="is not a saved model"):
        eventzoo.load(f"local-dir:{weights.parent}")
    command_line("fit", *recipe, "--model", "Classification", *backbone, "--model.pretrained", weights.parent)
    assert f" weights of the backbone are those of {weights.parent}" in capsys.readouterr().out
