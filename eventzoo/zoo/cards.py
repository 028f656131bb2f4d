"""Model cards: one YAML file a model, read into a typed record."""

import difflib
import fnmatch
import math
import re
import reprlib
import types
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import yaml

from eventzoo import shipped
from eventzoo.errors import EventZooError, PluginWarning

T = TypeVar("T")

FORMAT = 1


@dataclass(frozen=True)
class Measured:
    """A number that we measured ourselves, with the published weights.

    Attributes:
        dataset: The dataset's class name.
        split: Its split, `val` or `test`.
        name: What was measured, as `eventzoo test` calls it.
        value: The number.
        protocol: How: which recordings the split has, and how the weights were chosen.
        seeds: The same of each training with the card's command, by its seed; the published weights' among them.
    """

    dataset: str
    split: str
    name: str
    value: float
    protocol: str
    seeds: dict[int, float]


@dataclass(frozen=True)
class Reported:
    """A number that a publication reports of this model, which we did not measure.

    Attributes:
        dataset: The dataset's class name.
        name: What was measured.
        value: The number.
        source: Where it stands: publication and table.
    """

    dataset: str
    name: str
    value: float
    source: str


@dataclass(frozen=True)
class HubFolder:
    """A repository of the Hugging Face Hub at one commit.

    Attributes:
        repo_id: `organisation/name`.
        revision: The full commit, 40 hexadecimal digits.
    """

    repo_id: str
    revision: str


@dataclass(frozen=True)
class Weights:
    """Published weights: a saved model, and how it was trained.

    Attributes:
        seed: Seed of the training.
        command: The command that trained them.
        licence: SPDX identifier of their licence.
        sha256: Checksums of `config.json` and `model.safetensors`.
        data: Settings of the dataset besides the recipe's that they were trained and measured with, as the command has them.
        hub: Where they are; None where they ship beside the card, in `weights/<name>`.
    """

    seed: int
    command: str
    licence: str
    sha256: dict[str, str]
    data: dict[str, int] = field(default_factory=dict)
    hub: HubFolder | None = None


@dataclass(frozen=True)
class ModelCard:
    """What is known of a model.

    Representation, transforms, network and training are those of its recipe.

    Attributes:
        name: Its name: the file's.
        path: The file.
        summary: One sentence.
        task: What it is trained for: `classification` or `detection`.
        dataset: Class name of the dataset that it is trained on.
        config: The shipped recipe that trains it: `configs/….yaml`.
        paper: The publication that the architecture comes from.
        weights: Published weights; None if there are none.
        measured: What we measured with these weights.
        reported: What publications report.
    """

    name: str
    path: Path
    summary: str
    task: str
    dataset: str
    config: str
    paper: str
    weights: Weights | None = None
    measured: tuple[Measured, ...] = ()
    reported: tuple[Reported, ...] = ()

    @property
    def folder(self) -> Path:
        """Where the weights are if they ship beside the card."""
        return self.path.parent / "weights" / self.name

    def __str__(self) -> str:
        lines = [f"{self.name} — {self.task} model for {self.dataset}", "", self.summary, "", f"Paper: {self.paper}"]
        if self.weights is None:
            lines.append(f"Weights: none are published; train them: eventzoo fit --config {self.config}")
        else:
            where = f"hf-hub:{self.weights.hub.repo_id}@{self.weights.hub.revision}" if self.weights.hub else "installed with this card"
            lines += [f"Weights: {where} ({self.weights.licence}); eventzoo.load({self.name!r})", f"Trained by: {self.weights.command}"]
        for measured in self.measured:
            seeds = ", ".join(f"{value:g} (seed {seed})" for seed, value in measured.seeds.items())
            lines += ["", f"Measured by us: {measured.name} {measured.value:g} on {measured.dataset}, split {measured.split}"]
            lines += [f"  {measured.protocol}", f"  trainings by this command: {seeds}"]
        lines += [""] * bool(self.reported)
        lines += [f"Reported: {r.name} {r.value:g} on {r.dataset} ({r.source})" for r in self.reported]
        return "\n".join(lines)


def list_models(pattern: str = "*", *, task: str | None = None, dataset: str | None = None, pretrained: bool | None = None) -> list[str]:
    """Names of the models of the zoo. A card that does not read is warned of where it would have to be, and left out.

    Args:
        pattern: A shell pattern that the name matches, such as `"aegnn*"`.
        task: Only those for this task, `classification` or `detection`.
        dataset: Only those trained on the dataset of this class name.
        pretrained: Only those with published weights, or only those without.
    """
    names = fnmatch.filter(shipped.files("zoo"), pattern)
    if task is None and dataset is None and pretrained is None:
        return names
    return [
        described.name
        for described in readable(names)
        if task in (None, described.task)
        and (dataset is None or described.dataset.lower() == dataset.lower())
        and pretrained in (None, described.weights is not None)
    ]


def readable(names: Iterable[str]) -> list[ModelCard]:
    """The cards of these models, but for those that do not read: one package's damaged card must not hide the others'."""
    found = []
    for name in names:
        try:
            found.append(card(name))
        except EventZooError as error:
            warnings.warn(f"the model {name} is left out: {error}", PluginWarning, stacklevel=3)
    return found


def card(name: str) -> ModelCard:
    """The card of a model.

    Raises:
        EventZooError: There is none of this name or more than one, or it does not read as a card.
    """
    path = shipped.find("zoo", name)
    if path is None:
        known = list_models()
        close = difflib.get_close_matches(name, known, n=3)
        hint = f" Did you mean {' or '.join(close)}?" if close else ""
        raise EventZooError(f"no model named {name!r}.{hint} Known models: {', '.join(known)}. A folder is loaded as 'local-dir:FOLDER'.")
    return read_card(path)


@cache
def read_card(path: Path) -> ModelCard:
    """The card in a YAML file. Unknown, missing and mistyped entries are refused.

    Raises:
        EventZooError: It does not read as a card, or is of a newer version of eventzoo.
    """
    try:
        entries = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506  # it is a SafeLoader
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise EventZooError(f"{path} cannot be read: {error}") from error
    if not isinstance(entries, dict) or type(entries.get("format")) is not int:
        raise EventZooError(f"{path} is not a model card: it names no format")
    if (written := entries.pop("format")) < 1:
        raise EventZooError(f"{path}: format must be 1 or more, not {written}")
    if written > FORMAT:
        raise EventZooError(f"{path} is a model card of a newer version; upgrade eventzoo, which reads format {FORMAT}")
    if reserved := {"name", "path"} & set(entries):
        raise EventZooError(f"{path}: unknown entry: {', '.join(sorted(reserved))}; a card's name is its file's")
    read: ModelCard = _read({"name": path.stem, "path": path, **entries}, ModelCard, str(path))
    if read.task not in ("classification", "detection"):
        raise EventZooError(f"{path}: task must be classification or detection, not {read.task!r}")
    if not read.config.startswith("configs/") or not read.config.endswith(".yaml"):
        raise EventZooError(f"{path}: config must be configs/NAME.yaml, not {read.config!r}")
    if read.weights is not None:
        if set(read.weights.sha256) != {"config.json", "model.safetensors"} or not all(
            re.fullmatch("[0-9a-f]{64}", checksum) for checksum in read.weights.sha256.values()
        ):
            raise EventZooError(f"{path}: weights.sha256 must have the SHA-256 of config.json and of model.safetensors")
        if read.weights.hub is not None and not re.fullmatch("[0-9a-f]{40}", read.weights.hub.revision):
            raise EventZooError(f"{path}: weights.hub.revision must be a full commit of 40 hexadecimal digits, which cannot move")
    return read


class _Loader(yaml.SafeLoader):
    """YAML whose entries are there once: of two, the first would be lost without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for name in names:
            if names.count(name) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"{name} is there twice", node.start_mark)
        return super().construct_mapping(node, deep)


def _read(value: Any, kind: Any, where: str) -> Any:
    """A value as the type says, records from mappings; refuses everything else, in words."""
    if is_dataclass(kind) and isinstance(kind, type):
        return _record(value, kind, where)
    if isinstance(kind, types.UnionType):
        (inner,) = (argument for argument in get_args(kind) if argument is not types.NoneType)
        return None if value is None else _read(value, inner, where)
    if get_origin(kind) is tuple and isinstance(value, list):
        return tuple(_read(item, get_args(kind)[0], f"{where}[{number}]") for number, item in enumerate(value))
    if get_origin(kind) is dict and isinstance(value, dict):
        of_key, of_value = get_args(kind)
        return {_read(key, of_key, where): _read(item, of_value, f"{where}.{key}") for key, item in value.items()}
    if kind is float and type(value) in (int, float) and math.isfinite(value):
        return float(value)
    if isinstance(kind, type) and kind is not float and isinstance(value, kind) and not isinstance(value, bool):
        return value
    words = {tuple: "a list", dict: "a mapping", float: "a number"}
    wanted = words.get(get_origin(kind) or kind, getattr(kind, "__name__", str(kind)))
    raise EventZooError(f"{where} must be {wanted}, not {reprlib.repr(value)[:200]}")


def _record(entries: Any, kind: type[T], where: str) -> T:
    if not isinstance(entries, Mapping):
        raise EventZooError(f"{where} must be a mapping, not {reprlib.repr(entries)[:200]}")
    known = {entry.name: entry for entry in fields(kind)}  # type: ignore[arg-type]  # T is a dataclass
    unknown = sorted(str(name) for name in set(entries) - set(known))
    missing = [name for name, entry in known.items() if entry.default is entry.default_factory is MISSING and name not in entries]
    if unknown or missing:
        found = [f"unknown entry: {', '.join(unknown)}"] * bool(unknown) + [f"missing: {', '.join(missing)}"] * bool(missing)
        raise EventZooError(f"{where}: {'; '.join(found)}")
    types_by_name = get_type_hints(kind)
    return kind(**{name: _read(value, types_by_name[name], f"{where}: {name}") for name, value in entries.items()})
