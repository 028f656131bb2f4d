"""Which parameters weight decay leaves alone, and how a schedule of two groups of parameters goes."""

from functools import partial

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import LearningRateMonitor
from lightning.pytorch.cli import ReduceLROnPlateau
from lightning.pytorch.loggers import TensorBoardLogger
from torch import nn

import eventzoo
from eventzoo.data.datamodule import EventDataModule
from eventzoo.nn.backbone import Backbone
from eventzoo.tasks.classification import Classification

pytestmark = pytest.mark.filterwarnings(  # as the command line does
    "ignore:Attribute '(backbone|head)' is an instance of", "ignore:.*does not have many workers", "ignore:.*treespec, LeafSpec"
)


class Scaled(Backbone):
    """A convolution whose outputs are scaled; scale and bias are not to be pulled to zero."""

    accepts = "image"

    def __init__(self, spared=("conv.bias", "scale")):
        super().__init__()
        self.sensor_size, self.out_channels, self.out_size, self.spared = (64, 64), 2, None, set(spared)
        self.conv, self.scale = nn.Conv2d(2, 2, 8, 8), nn.Parameter(torch.ones(2, 1, 1))

    def no_weight_decay(self):
        return self.spared

    def forward(self, batch):
        return (self.conv(batch) * self.scale).mean((2, 3))


def task(backbone, optimizer=torch.optim.SGD, schedule="constant", **settings):
    return Classification(backbone, 5, optimizer=partial(optimizer, **settings), schedule=schedule)


def shrunken(model):
    """Names of the parameters that change where the loss has no gradient."""
    optimizer = model.configure_optimizers()
    for parameter in model.parameters():
        nn.init.ones_(parameter)
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    return {name for name, parameter in model.named_parameters() if not (parameter == 1).all()}


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW])
def test_it_shrinks_what_it_may(optimizer):
    settings = {"lr": 0.1, "weight_decay": 0.5}
    assert shrunken(task(Scaled(), optimizer, **settings)) == {"backbone.conv.weight", "head.linear.weight"}
    everything = {name for name, _ in task(Scaled()).named_parameters()}
    assert shrunken(task(Scaled(spared=()), optimizer, **settings)) == everything  # and so the head's bias


def test_ecn_spares_biases_norms_and_its_decays():
    settings = {"lr": 0.1, "weight_decay": 0.5}
    names = shrunken(task(eventzoo.backbones.ECN((34, 34), levels=2, filters=2, first_pooled=1), torch.optim.Adam, **settings))
    assert {name.rpartition(".")[2] for name in names} == {"weight"}
    assert not [name for name in names if "norm" in name or name.endswith(("tail.0.weight", "tail.4.weight"))]
    assert {"backbone.levels.0.strided.weight", "backbone.levels.1.expand.weight", "backbone.widen.weight", "head.linear.weight"} <= names


def test_an_optimizer_without_it_has_one_group():
    for made in (task(Scaled(), lr=0.1), task(Scaled(), torch.optim.Rprop, lr=0.1), task(Scaled(), torch.optim.LBFGS, lr=0.1)):
        (group,) = made.configure_optimizers().param_groups
        assert len(group["params"]) == len(list(made.parameters()))


def trained(folder, schedule, epochs=3):
    torch.manual_seed(0)
    dataset = eventzoo.datasets.MovingShapes(size=10)
    data = EventDataModule(dataset, eventzoo.representations.Histogram(), batch_size=5)
    trainer = Trainer(
        max_epochs=epochs,
        limit_train_batches=2,
        limit_val_batches=1,
        num_sanity_val_steps=0,
        accelerator="cpu",
        logger=TensorBoardLogger(folder, version=""),
        callbacks=[LearningRateMonitor("epoch")],
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        log_every_n_steps=1,
    )
    model = task(Scaled(), torch.optim.SGD, schedule, lr=0.1, weight_decay=1e-3)
    trainer.fit(model, data)
    return trainer


@pytest.mark.parametrize(
    "schedule", ["constant", "one_cycle", partial(ReduceLROnPlateau, monitor="train/loss", patience=0, threshold=1e9, threshold_mode="abs")]
)
def test_both_groups_have_the_rate_and_a_name(tmp_path, scalars, schedule):
    """The plateau's threshold lets no epoch be an improvement, so that the rate falls after each but the first."""
    trainer = trained(tmp_path, schedule)
    logged = {name: list(values.values()) for name, values in scalars(tmp_path / "lightning_logs").items() if name.startswith("lr-")}
    assert set(logged) == {"lr-SGD/decayed", "lr-SGD/not_decayed"}
    rates = logged["lr-SGD/decayed"]
    assert rates == logged["lr-SGD/not_decayed"]
    if schedule == "constant":
        assert rates == pytest.approx([0.1] * 3)
    elif schedule == "one_cycle":
        assert rates[0] == pytest.approx(0.004)
        assert max(rates) > 0.05
    else:
        assert rates == pytest.approx([0.1, 0.1, 0.01])
    assert [group["weight_decay"] for group in trainer.optimizers[0].param_groups] == [1e-3, 0]
