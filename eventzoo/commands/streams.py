"""eventzoo streams: what an EventStream makes of a recording, in figures and pictures."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

import numpy as np
import yaml
from jsonargparse import ArgumentParser, Namespace
from jsonargparse.typing import PositiveInt

from eventzoo import registry
from eventzoo.commands import tables
from eventzoo.commands.streaming.inputs import Recorded, add_reading_arguments
from eventzoo.data.dataset import Sample
from eventzoo.data.representation import Representation
from eventzoo.data.transforms import EventTransform, apply
from eventzoo.errors import EventZooError
from eventzoo.events import Events
from eventzoo.io import read
from eventzoo.nn.event_stream import StreamBatch
from eventzoo.plots.streams import Kind, Neighbourhood, animate_streams, draw_neighbourhoods, draw_streams, neighbourhood_of, streams_of
from eventzoo.specs import build
from eventzoo.zoo import load

_KINDS: tuple[Kind, ...] = get_args(Kind)
_NAME = "EventStream"


@dataclass(frozen=True)
class Source:
    """A model, or a recipe, whose streams they are.

    Attributes:
        settings: Of its EventStream.
        transforms: Of the recording, before.
        sensor_size: `(width, height)` that it is made for, None for any.
    """

    settings: Mapping[str, Any]
    transforms: Sequence[EventTransform]
    sensor_size: tuple[int, int] | None


def run(args: list[str]) -> None:
    """Print, and draw what is asked for.

    Raises:
        EventZooError: There is no such recording, model or recipe, they are not for each other, or a picture cannot be drawn.
    """
    stream = registry.get("representations", _NAME)
    parser = _parser(stream)
    given = parser.parse_args(args)
    for name in ("input", "output", "neighbourhoods"):
        given[name] = None if given[name] is None else Path(given[name])
    _check(given.output, (".gif", ".png", ".svg", ".pdf"))
    _check(given.neighbourhoods, (".png", ".svg", ".pdf"))
    source = _source(given)
    parser.set_defaults(dict(source.settings))
    settings = parser.parse_args(args)
    represent: Representation[Any] = stream(**{name: settings[name] for name in inspect.signature(stream).parameters})
    events = _events(given, source)
    batch: StreamBatch = represent.collate([represent(events)])
    if beyond := [level for level in given.at_levels or [] if level > len(batch.levels)]:
        raise EventZooError(f"--at-levels: there is no level {beyond[0]}, the streams have levels 1 to {len(batch.levels)}")
    streams, name = streams_of(events, batch), given.input.name
    neighbourhoods = [[neighbourhood_of(batch, level + 1, kind) for kind in _KINDS] for level in range(len(batch.levels))]
    _show(streams, neighbourhoods, name)
    if given.output is not None:
        _draw_streams(given, streams, f"The streams of {name}")
    if given.neighbourhoods is not None:
        last = max(level for level, stream in enumerate(streams) if len(stream))  # which may be the recording
        levels = given.at_levels or sorted({1, max(last, 1)})
        chosen = [[neighbourhoods[level - 1][_KINDS.index(kind)] for kind in given.edges] for level in levels]
        longest = settings.max_decays if settings.memory == "window" else None
        with _written(given.neighbourhoods) as path:
            draw_neighbourhoods(chosen, f"Which events look at which in {name}", longest).savefig(path, dpi=110)


def _parser(stream: type[Any]) -> ArgumentParser:
    parser = ArgumentParser(
        "eventzoo streams",
        description="Show what an EventStream, which ECN takes, makes of a recording: the stream of each level, and which events look at "
        "which.",
        epilog="example: eventzoo streams recording.bin --config ecn_nmnist --output streams.gif --neighbourhoods neighbourhoods.png",
    )
    parser.add_argument("input", metavar="FILE", help="in any format; `eventzoo inspect FILE` describes it")
    add_reading_arguments(parser)
    whose = parser.add_mutually_exclusive_group()
    whose.add_argument("--config", metavar="RECIPE", help="whose EventStream it is, with the recipe's eval_transforms before it")
    whose.add_argument("--model", help="whose EventStream it is: local-dir:FOLDER for a saved model, or a card's name")
    pictures = parser.add_argument_group("pictures")
    pictures.add_argument("--output", metavar="FILE", help="draw the streams side by side: moving in a .gif, else .png, .svg or .pdf")
    pictures.add_argument("--frames", type=PositiveInt, metavar="N", help="parts of the recording; default: 20 frames of a GIF, 5 rows")
    pictures.add_argument("--fps", type=PositiveInt, metavar="N", default=4, help="frames of a GIF in a second")
    pictures.add_argument(
        "--neighbourhoods",
        metavar="FILE",
        help="draw which events look at which, and the weights of the edges between them: .png, .svg or .pdf",
    )
    pictures.add_argument(
        "--at-levels", type=PositiveInt, nargs="+", metavar="LEVEL", help="of the neighbourhoods; default: 1 and the last with events"
    )
    pictures.add_argument("--edges", choices=_KINDS, nargs="+", default=list(_KINDS), help="kinds of neighbourhoods")
    parser.add_class_arguments(stream)
    return parser


def _check(picture: Path | None, suffixes: Sequence[str]) -> None:
    """Refuse, before the work, what could only fail after it."""
    if picture is None:
        return
    if picture.suffix.lower() not in suffixes:
        raise EventZooError(f"{picture} must end in {', '.join(suffixes[:-1])} or {suffixes[-1]}, so that it is clear what to draw")
    if not picture.absolute().parent.is_dir():
        raise EventZooError(f"{picture} cannot be written: there is no folder {picture.parent}")
    if find_spec("matplotlib") is None:
        raise EventZooError("pictures need matplotlib: pip install eventzoo[viz]")


def _draw_streams(given: Namespace, streams: Sequence[Events], title: str) -> None:
    with _written(given.output) as path:
        if path.suffix.lower() == ".gif":
            animate_streams(streams, title, path, given.frames or 20, given.fps)
        else:
            draw_streams(streams, title, given.frames or 5).savefig(path, dpi=110)


@contextmanager
def _written(picture: Path) -> Iterator[Path]:
    """A path to draw to, for a picture that appears whole or not at all."""
    try:
        with TemporaryDirectory(dir=picture.absolute().parent) as folder:
            yield Path(folder) / picture.name
            (Path(folder) / picture.name).replace(picture)
    except OSError as error:
        raise EventZooError(f"{picture} cannot be written: {error.strerror}") from error
    print(f"picture: {picture}")


def _source(given: Namespace) -> Source:
    """What the arguments name, without the settings that they replace."""
    if given.model is not None:
        model = load(given.model)
        return Source(_settings(model.representation, given.model), model.transforms, model.sensor_size)
    if given.config is None:
        return Source({}, (), None)

    from eventzoo.commands.train import with_shipped_configs

    (_, path) = with_shipped_configs(["--config", given.config])
    recipe = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    data = recipe.get("data") if isinstance(recipe, Mapping) else None
    if not isinstance(data, Mapping) or not {"dataset", "representation"} <= data.keys():
        raise EventZooError(f"{path} has no data.dataset and data.representation: it is no recipe")
    represent = build(_long(data["representation"]), Representation, f"{path}, data.representation")
    transforms = [build(_long(spec), EventTransform, f"{path}, data.eval_transforms") for spec in data.get("eval_transforms") or []]
    dataset = registry.get("datasets", _long(data["dataset"])["class_path"].split(".")[-1])  # whose recordings need not be here
    return Source(_settings(represent, path), transforms, dataset.sensor_size)


def _long(spec: Any) -> dict[str, Any]:
    """A specification in full, of one that may be a name."""
    return {"init_args": {}, **(spec if isinstance(spec, Mapping) else {"class_path": spec})}


def _settings(represent: Representation[Any], where: str) -> dict[str, Any]:
    if type(represent).__name__ != _NAME:
        raise EventZooError(f"{where} has {type(represent).__name__} for a representation; only an {_NAME} has streams to show")
    return represent.init_args


def _events(given: Namespace, source: Source) -> Events:
    """The recording after the transforms.

    Raises:
        EventZooError: It is of a larger sensor than the source's, or has no events, or the transforms leave none.
    """
    if source.sensor_size is None:
        size = None if given.sensor_size is None else (given.sensor_size[0], given.sensor_size[1])
        events = read(given.input, sensor_size=size, start=given.start, stop=given.stop, encoding=given.encoding)
        if len(events) == 0:
            raise Recorded(given.input, given.encoding, events.sensor_size, events.sensor_size, given.start, given.stop).empty()
        return events
    events = Recorded.of(given, source.sensor_size).whole()
    left = apply(source.transforms, Sample(events, -1, "streams"), np.random.default_rng(0)).events
    if len(left) == 0:
        raise EventZooError(f"{', '.join(type(transform).__name__ for transform in source.transforms)} leaves no event of {given.input}")
    return left


def _show(streams: Sequence[Events], neighbourhoods: Sequence[Sequence[Neighbourhood]], name: str) -> None:
    rows = []
    for level, stream in enumerate(streams):
        below = streams[level - 1] if level else stream
        rows.append(
            (
                str(level) if level else "recording",
                "×".join(map(str, stream.sensor_size)),
                f"{len(stream):,}",
                f"{len(stream) / len(below):.1%}" if level and len(below) else "–",
                f"{(stream.t[-1] - stream.t[0]) / (len(stream) - 1) / 1e3:,.3f} ms" if len(stream) > 1 else "–",
            )
        )
    tables.show(f"Streams of {name}", ("level", "grid", "events", "of the level below", "mean interval"), rows)
    print()
    tables.show(
        "Edges: from the events that are looked at to those that look",
        ("level", "kind", "from", "to", "edges", "an event", "of all pairs"),
        [
            (
                str(found.level),
                found.kind,
                f"{found.inputs:,}",
                f"{found.outputs:,}",
                f"{len(found.row):,}",
                f"{found.per_event:,.1f}" if found.outputs else "–",
                f"{found.filled:.3%}" if found.outputs else "–",
            )
            for level in neighbourhoods
            for found in level
        ],
    )
