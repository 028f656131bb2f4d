"""Model cards: one YAML file a model, read into a typed record."""

import difflib
import fnmatch
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import yaml

from eventzoo import shipped
from eventzoo.errors import EventZooError

T = TypeVar("T")


@dataclass(frozen=True)
class Metric:
    """A number that we measured ourselves.

    Attributes:
        dataset: The dataset's class name.
        split: Its split, and how it is made where the dataset publishes none.
        name: What was measured.
        value: The number.
    """

    dataset: str
    split: str
    name: str
    value: float


@dataclass(frozen=True)
class ModelCard:
    """What is known of a model.

    Attributes:
        name: Its name: the file's.
        summary: One sentence.
        task: What it is trained for.
        config: The shipped recipe that trains it.
        paper: The publication that the architecture comes from.
        measured: What we measured, with that recipe.
    """

    name: str
    summary: str
    task: str
    config: str
    paper: str
    measured: tuple[Metric, ...]

    def __str__(self) -> str:
        numbers = "\n".join(f"  {m.name} {m.value:g} on {m.dataset}, {m.split}" for m in self.measured)
        return (
            f"{self.name} — {self.task} model\n\n{self.summary}\n\nPaper: {self.paper}\n"
            f"Train it: eventzoo fit --config {self.config}\nMeasured by us:\n{numbers}"
        )


def list_models(pattern: str = "*") -> list[str]:
    """Names of the models whose name matches a shell pattern such as `"aegnn*"`."""
    return fnmatch.filter(shipped.names("zoo"), pattern)


def card(name: str) -> ModelCard:
    """The card of a model.

    Raises:
        EventZooError: There is none of this name, or it does not read as a card.
    """
    known = list_models()
    if name not in known:
        close = difflib.get_close_matches(name, known, n=3)
        hint = f" Did you mean {' or '.join(close)}?" if close else ""
        raise EventZooError(f"no model named {name!r}.{hint} Known models: {', '.join(known)}. A folder is loaded as 'local-dir:FOLDER'.")
    path = shipped.shipped("zoo") / f"{name}.yaml"
    return read_card(path)


def read_card(path: Path) -> ModelCard:
    """The card in a YAML file. Unknown, missing and mistyped entries are refused.

    Raises:
        EventZooError: It does not read as a card.
    """
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise EventZooError(f"{path} cannot be read: {error}") from error
    if not isinstance(entries, dict) or not isinstance(entries.get("measured", []), list):
        raise EventZooError(f"{path} is not a model card")
    measured = tuple(_record(Metric, metric, path) for metric in entries.pop("measured", []))
    return _record(ModelCard, {"name": path.stem, "measured": measured, **entries}, path)


def _record(kind: type[T], entries: Any, path: Path) -> T:
    expected = {field.name: field.type for field in fields(kind)}  # type: ignore[arg-type]  # T is a dataclass
    if not isinstance(entries, dict) or set(entries) != set(expected):
        odd = sorted(set(entries) ^ set(expected)) if isinstance(entries, dict) else entries
        raise EventZooError(f"{path}: missing or unknown in {kind.__name__}: {odd}")
    for name, value in entries.items():
        for plain in (str, float):
            if expected[name] is plain and not isinstance(value, plain):
                raise EventZooError(f"{path}: {name} must be a {plain.__name__}, not {value!r}")
    return kind(**entries)
