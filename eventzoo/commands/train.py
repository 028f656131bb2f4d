"""fit, validate, test and predict: LightningCLI over the registered parts."""

import csv
import difflib
import inspect
import itertools
import logging
import os
import re
import warnings
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
import yaml
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities import rank_zero_only

from eventzoo import registry, shipped
from eventzoo.commands.plugins import warnings_told
from eventzoo.data import transforms
from eventzoo.data.datamodule import EventDataModule, Stage, of_all_processes
from eventzoo.data.preparing import find_store
from eventzoo.errors import EventZooError, PluginError
from eventzoo.evaluation.report import Report
from eventzoo.model import EventModel
from eventzoo.plots import draw_predictions
from eventzoo.plots.prediction_pictures import PredictionPictures
from eventzoo.specs import refusal
from eventzoo.tasks.callbacks import EpochLine, ExactResume, LastCheckpoint, Throughput
from eventzoo.tasks.classification import Classification
from eventzoo.tasks.detection import Detection
from eventzoo.tasks.heads import YOLOHead, YOLOXHead
from eventzoo.tasks.masked_events import MaskedEvents
from eventzoo.tasks.results import ClassificationResult, Result
from eventzoo.tasks.task import Task
from eventzoo.tasks.training import Training
from eventzoo.tasks.transfer import save_backbone


def run(args: list[str]) -> None:
    """Run one of the Trainer's commands.

    Args:
        args: The command and its arguments, as on the command line.
    """
    for library in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(library).setLevel(logging.WARNING)  # its tips and device list say nothing that we do not
    for pattern in _SILENCED:
        warnings.filterwarnings("ignore", message=pattern)
    load_plugins()
    torch.serialization.clear_safe_globals()  # torch-geometric has added a class that unpickles any other file without restriction
    EventZooCLI(
        Training,
        EventDataModule,
        subclass_mode_model=True,
        auto_configure_optimizers=False,
        parser_class=Parser,
        seed_everything_default=0,
        trainer_defaults={"callbacks": [ExactResume(), Throughput(), EpochLine(), Report()], "enable_model_summary": False},
        save_config_kwargs={"overwrite": True},
        args=[args[0], *with_shipped_configs(args[1:])],
    )


def load_plugins() -> None:
    """Import every registered part, by which configs may then name it; say which cannot be imported."""
    with warnings_told():
        registry.load_all()


_SILENCED = {
    r".*does not have many workers.*": "a matter of the recipe, which sets num_workers on purpose",
    r".*Checkpoint directory .* exists and is not empty.*": "a resumed training goes on in its own folder",
    r".*isinstance\(treespec, LeafSpec\).*": "lightning's own use of a name that torch deprecates",
    r".*Attribute '(backbone|head)' is an instance of `nn.Module`.*": "inside the command line, specifications are saved, not modules",
    r".*using the WeightAveraging callback, but loading a checkpoint outside the 'fit' stage.*": "what it holds is the average",
    r".*LearningRateMonitor.*no learning rate schedulers.*": "a constant rate is seen as such",
    r".*The number of training batches .* is smaller than the logging interval.*": "we log epochs",
    r".*LightningCLI's args parameter is intended to run from within Python.*": "main() takes args, as every main() here does",
}


class Parser(LightningArgumentParser):
    """A parser whose errors are a sentence that names near misses, instead of the usage of a hundred options."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise; `main` prints the message."""
        cause: BaseException | None = ex
        while cause is not None:  # a part's own refusal says more than the parser's account of it
            if isinstance(cause, EventZooError):
                raise cause
            cause = cause.__cause__ or cause.__context__
        raise EventZooError(_explained(message))


class EventZooCLI(LightningCLI):
    """LightningCLI with the two links between data and model, one checkpoint callback, and results that last."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Link what the data decides, and make the checkpoints configurable."""
        parser.link_arguments("data.num_classes", "model.init_args.num_classes", apply_on="instantiate")
        parser.link_arguments("data.in_channels", "model.init_args.backbone.init_args.in_channels", apply_on="instantiate")
        parser.add_lightning_class_args(ModelCheckpoint, "checkpoint")
        parser.set_defaults({"checkpoint.mode": "max"})
        parser.set_defaults({"checkpoint.filename": "best", "checkpoint.enable_version_counter": False})

    def before_instantiate_classes(self) -> None:
        """Save each command's configuration under its own name, and refuse to evaluate an untrained network."""
        command = str(self.subcommand)
        self.save_config_kwargs["config_filename"] = f"{command}.yaml"
        checkpoint = self.config[command].get("ckpt_path")
        if checkpoint is None and command != "fit":
            raise EventZooError(f"{command} needs a trained network: give --ckpt_path runs/…/checkpoints/best.ckpt")
        if command != "fit":  # which needs no callbacks but those that it is given
            warnings.filterwarnings("ignore", message=".*callbacks used to create the checkpoint need to be provided.*")
        if checkpoint is not None:
            if not Path(checkpoint).is_file():
                raise EventZooError(f"there is no checkpoint {Path(checkpoint).absolute()}")
            _say(f"settings of the model come from {checkpoint}")
            if self.config[command].checkpoint.dirpath is None:
                self.config[command].checkpoint.dirpath = str(Path(checkpoint).parent)  # so that the best epoch so far still counts

    def instantiate_classes(self) -> None:
        """Make the parts; what a part refuses is reported in its own words."""
        try:
            super().instantiate_classes()
        except ValueError as error:
            if (reason := refusal(error)) is None:
                raise
            if reason.startswith("Requirement 'wandb"):
                reason = "WandbLogger needs wandb, which is not installed: pip install eventzoo[wandb]"
            raise EventZooError(reason) from error

    def after_instantiate_classes(self) -> None:
        """Choose the best epoch by the task's metric, keep the last one too, and log the learning rate.

        The checkpoints' folder is made absolute, by which a resumed training recognises its own.
        """
        if self.subcommand in ("test", "predict") and not isinstance(self.model, Task):
            raise EventZooError(
                f"{type(self.model).__name__} answers nothing that {self.subcommand} could use; fit a task with its weights"
            )
        if self.trainer.loggers and not any(isinstance(callback, LearningRateMonitor) for callback in self.trainer.callbacks):  # type: ignore[attr-defined]
            self.trainer.callbacks.append(LearningRateMonitor("epoch"))  # type: ignore[attr-defined]
        callback, folder = self.trainer.checkpoint_callback, self.trainer.log_dir
        if not isinstance(callback, ModelCheckpoint):
            return
        callback.monitor = callback.monitor or self.model.monitor
        if callback.dirpath is None and folder is not None:
            callback.dirpath = os.path.realpath(os.path.join(folder, "checkpoints"))
        self.trainer.callbacks.append(LastCheckpoint(callback.dirpath))  # type: ignore[attr-defined]  # after the best's, whose state it keeps

    def before_fit(self) -> None:
        """Say what is about to be trained."""
        parameters = sum(parameter.numel() for parameter in self.model.parameters())
        data = self.datamodule.dataset.at_split("train")
        _say(f"{type(self.model.backbone).__name__}, {parameters:,} parameters, on {len(data):,} recordings of {type(data).__name__}")
        stages: tuple[Stage, ...] = ("train", "val")
        for stage in stages:
            if store := find_store(self.datamodule.store, self.datamodule.pipeline(stage)):
                _say(f"{stage}: prepared in {store.folder}")

    def after_fit(self) -> None:
        """Save the best epoch's model, draw its predictions, and say where they are."""
        trainer, data, callback = self.trainer, self.datamodule, self.trainer.checkpoint_callback
        folder = Path(trainer.log_dir or trainer.default_root_dir)  # which every process has to ask for
        if not trainer.is_global_zero or not isinstance(callback, ModelCheckpoint):
            return
        best = Path(callback.best_model_path or callback.last_model_path)
        if not best.is_file():
            print("no checkpoint was written, so no model is saved")
            return
        self.model.load_state_dict(torch.load(best, weights_only=True, map_location="cpu")["state_dict"])
        score = "" if callback.best_model_score is None else f", {callback.monitor} {callback.best_model_score:.4f}"
        held_out = data.dataset.at_split("val")
        evaluated = min(len(held_out), data.batch_size * trainer.world_size * int(sum(trainer.num_val_batches)))
        print(f"\nbest epoch{score} on {evaluated:,} held-out recordings")
        if not isinstance(self.model, Task):
            saved = save_backbone(self.model.backbone, _free(folder / "model"))
            print(f"weights of the backbone: {saved}\n                         for a task that is given --model.pretrained {saved}")
            return
        model = EventModel(
            data.representation, self.model.backbone, self.model.head, data.dataset.classes, data.dataset.sensor_size, data.eval_transforms
        )
        saved = model.save(_free(folder / "model"))
        print(f"model:   {saved}\n         eventzoo.load('local-dir:{saved}').predict(eventzoo.read(FILE))")
        picture = draw_predictions(model, held_out, folder / "predictions.png")
        print(f"picture: {picture}" if picture else "picture: install eventzoo[viz] to have predictions drawn")

    def predict(self, model: LightningModule, datamodule: EventDataModule, **kwargs: Any) -> None:
        """Run the Trainer's predict and write what the model says: in classification a line a sample, in detection a line a box."""
        path = Path(self.trainer.log_dir or ".") / "predictions.csv"
        batches = self.trainer.predict(model, datamodule=datamodule, **kwargs) or []
        answers = of_all_processes([answer for keys, results in batches for answer in zip(keys, results, strict=True)], self.trainer)
        if not self.trainer.is_global_zero:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            task = self.model.head.task
            writer.writerow(
                ["key", "label", *(datamodule.dataset.classes if task == "classification" else ("score", "x1", "y1", "x2", "y2"))]
            )
            for key, result in answers:
                writer.writerows(_rows(key, result))
        print(f"predictions: {path}")


_say = rank_zero_only(print)


def _rows(key: str, result: Result) -> list[list[str]]:
    """The lines of a sample in the file of predictions."""
    if isinstance(result, ClassificationResult):
        return [[key, result.label, *(f"{share:.6g}" for share in result.probabilities)]]
    numbers = np.column_stack([result.scores, result.boxes])
    return [[key, label, *(f"{number:.6g}" for number in row)] for label, row in zip(result.labels, numbers, strict=True)]


def _free(path: Path) -> Path:
    """The path itself, or with the first number behind it that is not taken."""
    numbered = (path.with_name(f"{path.name}-{number}") for number in itertools.count(1))
    return next(candidate for candidate in itertools.chain([path], numbered) if not candidate.exists())


def with_shipped_configs(args: list[str]) -> list[str]:
    """A command's arguments with recipes that are not in the working folder replaced by those that ship with eventzoo."""
    result, after_flag = [], False
    for arg in args:
        flag, equals, value = arg.partition("=")
        if after_flag:
            result.append(_config_path(arg))
        elif flag in ("--config", "-c") and equals:
            result.append(f"{flag}={_config_path(value)}")
        else:
            result.append(arg)
        after_flag = arg in ("--config", "-c")
    return result


def _config_path(given: str) -> str:
    path = Path(given)
    if not path.is_file():
        found = shipped.find("configs", path.with_suffix("").name)
        if found is None:
            raise EventZooError(f"there is no config {given}; recipes that are installed: {', '.join(shipped.files('configs'))}")
        path = found
    try:
        yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise EventZooError(f"{path} is not YAML: {error}") from error
    return str(path)


def _explained(message: str) -> str:
    """A parser's message with the registry's answer to an unknown part, and near misses for an unknown option."""
    key = re.search(r'Parser key "([\w.]+)"', message)
    name = re.search(r"Expected a dot import path string: (\w+)$", message, re.MULTILINE)
    if key and name:
        argument = key[1].split(".")[-1]
        if f"{argument}s" in registry.GROUPS:
            return f"{key[1]}: {registry.unknown(f'{argument}s', name[1])}"
        all_transforms = [part for part in transforms.__all__ if part[0].isupper() and part not in ("EventTransform", "EventMix")]
        kinds = {
            "model": ("task", [Classification.__name__, Detection.__name__, MaskedEvents.__name__]),
            "head": ("head", [YOLOHead.__name__, YOLOXHead.__name__]),
        }
        kind, names = ("transform", all_transforms) if argument.endswith("transforms") else kinds.get(argument, ("", []))
        if names:
            close = difflib.get_close_matches(name[1], names, n=2)
            hint = f" Did you mean {' or '.join(close)}?" if close else ""
            return f"{key[1]}: there is no {kind} named {name[1]!r}.{hint} There are {', '.join(names)}"
    option = re.search(r"(?:Option '|unrecognized arguments: --)([\w.]+)", message)
    if option:
        owners: dict[str, list[str]] = {}
        for cls in _configurable():
            for argument in inspect.signature(cls).parameters:
                owners.setdefault(argument, []).append(cls.__name__)
        close = difflib.get_close_matches(option[1].split(".")[-1], owners, n=2, cutoff=0.7)
        hints = " or ".join(f"{argument} (of {', '.join(owners[argument])})" for argument in close)
        return f"{message.rstrip('.')}." + (f" Did you mean {hints}?" if hints else " `eventzoo info NAME` shows what a part takes.")
    return re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", message)


def _configurable() -> list[type]:
    parts = [registry.get(group, name) for group in registry.GROUPS for name in registry.entries(group) if _usable(group, name)]
    return [Trainer, EventDataModule, Classification, Detection, MaskedEvents, YOLOHead, YOLOXHead, PredictionPictures, *parts]


def _usable(group: str, name: str) -> bool:
    try:
        registry.get(group, name)
    except PluginError:
        return False
    return True
