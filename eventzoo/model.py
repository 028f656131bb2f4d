"""EventModel: what is saved, loaded and asked."""

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

import eventzoo
from eventzoo.asynchronous import AsyncModel, Window, make_asynchronous
from eventzoo.data.dataset import Sample, TaskName
from eventzoo.data.representation import Representation
from eventzoo.data.transforms import EventTransform, apply
from eventzoo.errors import EventZooError
from eventzoo.events import Events
from eventzoo.nn.backbone import Backbone
from eventzoo.specs import build, not_installed, packages_of, spec_of
from eventzoo.tasks.heads import Head
from eventzoo.tasks.results import Result

FORMAT = 3  # 1, which had no head, and 2, which had no checksum, were never released
CONFIG, WEIGHTS = "config.json", "model.safetensors"
_KEYS = {"format", "eventzoo", "task", "classes", "sensor_size", "representation", "transforms", "backbone", "head", "sha256"}


class EventModel(nn.Module):
    """A trained network with all that is needed to ask it about a recording. Needs no Trainer.

    Args:
        representation: What the backbone is given.
        backbone: What computes the features.
        head: What computes the answer from them, connected to the backbone.
        classes: Names of the classes.
        sensor_size: `(width, height)` in pixels of the recordings that it was trained on.
        transforms: Transforms of a recording before it is represented; they must not depend on chance.

    Raises:
        EventZooError: The backbone does not take what the representation yields.
    """

    def __init__(
        self,
        representation: Representation[Any],
        backbone: Backbone,
        head: Head,
        classes: Sequence[str],
        sensor_size: tuple[int, int],
        transforms: Sequence[EventTransform] = (),
    ) -> None:
        super().__init__()
        backbone.check_representation(representation)
        self.representation, self.transforms = representation, list(transforms)
        self.backbone, self.head = backbone, head
        self.classes, self.sensor_size = tuple(classes), (int(sensor_size[0]), int(sensor_size[1]))
        self.eval()

    def predict(self, events: Events) -> Result:
        """What the model says of one recording, of any number of events: a `ClassificationResult`, or `Detections`.

        Raises:
            EventZooError: The recording is of a larger sensor than the model's, or is no `Events`.
        """
        if not isinstance(events, Events):
            raise EventZooError(f"predict takes Events, not {type(events).__name__}; a file is read with eventzoo.read(path)")
        width, height = self.sensor_size
        if events.sensor_size[0] > width or events.sensor_size[1] > height:
            given = "×".join(map(str, events.sensor_size))
            raise EventZooError(f"the model is made for a {width}×{height} sensor, the recording has {given}; crop or scale it first")
        events = Events(events.x, events.y, events.t, events.p, self.sensor_size, trusted=True)
        sample = apply(self.transforms, Sample(events, -1, "predict"), np.random.default_rng(0))
        return self.result(self.output(sample.events))

    @torch.inference_mode()
    def output(self, events: Events) -> NDArray[np.float32]:
        """What the head returns for one recording as it is, without the model's transforms: float32, in classification `[classes]`."""
        device = next(self.parameters()).device
        batch = self.representation.collate([self.representation(events)]).to(device)
        was_training = self.training
        self.eval()
        output: NDArray[np.float32] = self.head(self.backbone(batch))[0].float().cpu().numpy()
        self.train(was_training)
        return output

    def result(self, output: NDArray[np.float32]) -> Result:
        """What the head's output for one recording says, in the model's words. The array is kept, not copied."""
        return self.head.result(output, self.classes)

    def asynchronous(self, window: Window | None = None, strict: bool = False) -> AsyncModel:
        """The asynchronous form of the model: takes events as they come, and answers after each. See `eventzoo.make_asynchronous`.

        Args:
            window: The events that count. Default: the window that the model's transforms end with; all events if there is none.
            strict: Whether a layer that has to be run densely is an error.

        Raises:
            EventZooError: `strict`, and a layer has to be run densely; or the window's features cannot be final.
        """
        return make_asynchronous(self, window, strict)

    def save(self, folder: str | Path, half: bool = False) -> Path:
        """Write `config.json` and `model.safetensors` to a folder, which appears whole or not at all.

        Args:
            folder: A new folder.
            half: Store parameters of two or more dimensions as float16, in half the space. They are float32 again when they are loaded.

        Raises:
            EventZooError: The folder exists already and is not empty, a part cannot be described, or a weight is too large for float16.
        """
        with new_folder(Path(folder)) as scratch:
            config: dict[str, Any] = {
                "format": FORMAT,
                "eventzoo": eventzoo.__version__,
                "task": self.head.task,
                "classes": list(self.classes),
                "sensor_size": list(self.sensor_size),
                "representation": spec_of(self.representation),
                "transforms": [spec_of(transform) for transform in self.transforms],
                "backbone": spec_of(self.backbone),
                "head": spec_of(self.head),
            }
            if packages := packages_of(config):
                config["packages"] = packages
            tensors = self.state_dict()
            if half:
                tensors |= {name: _halved(name, weight) for name, weight in self.named_parameters() if weight.dim() >= 2}
            weights = save({name: tensor.contiguous() for name, tensor in tensors.items()})
            config["sha256"] = hashlib.sha256(weights).hexdigest()
            (scratch / CONFIG).write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
            (scratch / WEIGHTS).write_bytes(weights)
        return Path(folder)

    @classmethod
    def from_folder(cls, folder: str | Path) -> Self:
        """The model that `save` wrote. Executes nothing from the folder: the parts are named, the weights are safetensors.

        Raises:
            EventZooError: The folder is not a saved model, is of a newer version, or its weights are not those that it was saved with.
        """
        folder = Path(folder)
        config = _read_config(folder)
        where = str(folder / CONFIG)
        try:
            backbone = build(config["backbone"], Backbone, f"{where}: backbone")
            head = build(config["head"], Head, f"{where}: head").connect(backbone, len(config["classes"]))
            representation = build(config["representation"], Representation, f"{where}: representation")
            transforms = [build(spec, EventTransform, f"{where}: transforms") for spec in config["transforms"]]
        except EventZooError as error:
            if missing := not_installed(config.get("packages", {})):
                raise EventZooError(f"{error} {missing}") from error
            raise
        width, height = config["sensor_size"]
        model = cls(representation, backbone, head, config["classes"], (width, height), transforms)
        if head.task != config["task"]:
            raise EventZooError(f"{where}: task is {config['task']}, but {type(head).__name__} is a head for {head.task}")
        try:
            weights = (folder / WEIGHTS).read_bytes()
            if (found := hashlib.sha256(weights).hexdigest()) != config["sha256"]:
                raise EventZooError(
                    f"{folder / WEIGHTS} is truncated, damaged or another model's: {len(weights):,} bytes with SHA-256 {found}, not the "
                    f"{config['sha256']} that {CONFIG} names; fetch or save the model anew"
                )
            model.load_state_dict(load(weights))
        except (OSError, SafetensorError, RuntimeError) as error:
            raise EventZooError(f"{folder / WEIGHTS} does not hold the weights of this model: {error}") from error
        return model


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder to fill, which takes its name and place when that is done, and goes without trace when it fails.

    Raises:
        EventZooError: There is a folder of this name already, and it is not empty.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise EventZooError(f"{folder} exists already; save to another folder, or remove it first")
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield scratch
        scratch.chmod(0o755)
        if folder.exists():
            folder.rmdir()
        os.replace(scratch, folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _halved(name: str, weight: torch.Tensor) -> torch.Tensor:
    half = weight.detach().half()
    if not half.isfinite().all():
        raise EventZooError(f"the model cannot be stored in half precision: {name} has weights beyond ±65,504; store it as it is")
    return half


def _read_config(folder: Path) -> dict[str, Any]:
    """A saved model's config, with every key present and of its kind."""
    path = folder / CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise EventZooError(f"{folder.absolute()} is not a saved model: it has no {CONFIG}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise EventZooError(f"{path} cannot be read: {error}") from error
    if not isinstance(config, dict) or not isinstance(config.get("format"), int):
        raise EventZooError(f"{path} is not the config of a saved model: it names no format")
    if config["format"] > FORMAT:
        raise EventZooError(f"{path} is of format {config['format']}, written by eventzoo {config.get('eventzoo')}; upgrade eventzoo")
    if config["format"] < FORMAT:
        raise EventZooError(f"{path} is of format {config['format']}, of a development version; save the model anew")
    kinds = {"classes": list, "sensor_size": list, "representation": dict, "transforms": list, "backbone": dict, "head": dict}
    wrong = {*_KEYS ^ (set(config) - {"packages"}), *(key for key, kind in kinds.items() if not isinstance(config.get(key), kind))}
    if config.get("task") not in get_args(TaskName):
        wrong.add("task")
    packages = config.get("packages", {})
    if not isinstance(packages, dict) or not all(re.fullmatch(r"\w[\w.-]*", name) and isinstance(packages[name], str) for name in packages):
        wrong.add("packages")
    if not isinstance(config.get("sha256"), str):
        wrong.add("sha256")
    if "sensor_size" not in wrong and not ([type(side) for side in config["sensor_size"]] == [int, int] and min(config["sensor_size"]) > 0):
        wrong.add("sensor_size")
    if "classes" not in wrong and not (config["classes"] and all(isinstance(name, str) for name in config["classes"])):
        wrong.add("classes")
    if wrong:
        raise EventZooError(f"{path} is damaged; look at: {', '.join(sorted(wrong))}")
    return config
