"""eventzoo flops --mode all: what the four ways to process events cost that asynet's paper compares."""

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from eventzoo import registry
from eventzoo.commands import tables
from eventzoo.commands.streaming import inputs
from eventzoo.errors import EventZooError
from eventzoo.events import Events

if TYPE_CHECKING:
    from eventzoo.asynchronous import AsyncModel
    from eventzoo.model import EventModel

WINDOW = 25_000  # events, as in the paper
STEP, SAMPLES = 1, 10
_ALL = "all layers"
COLUMNS = ("layer", "mode", *(f"{way}_{figure}" for way in ("formula", "counted") for figure in ("flops", "flops_std", "sites")))

Work = dict[tuple[str, str], tuple[float, float]]
"""Operations of each layer in each mode, and the sites that it computed, in one window."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to count, and where in the recording."""
    parser.add_argument(
        "--mode",
        choices=("own", "all"),
        default="own",
        help="own: the model as it is, event by event and synchronous. all: a SparseVGG or DenseVGG in the four ways that asynet's paper "
        "compares, asynchronous and synchronous, sparse and dense, by the formulas published with it and by counted work. Default: own",
    )
    protocol = parser.add_argument_group(
        "with --mode all", f"windows have {WINDOW:,} events or those of --window-events, whatever the model's own"
    )
    protocol.add_argument("--step", type=inputs.positive, metavar="N", help=f"events that come, and as many that leave; default: {STEP}")
    protocol.add_argument("--samples", type=inputs.positive, metavar="K", help=f"windows, spread over the recording; default: {SAMPLES}")


def check(given: argparse.Namespace) -> None:
    """Refuse options that do not go together.

    Raises:
        EventZooError: They do not.
    """
    if given.mode == "own" and (given.step or given.samples):
        raise EventZooError("--step and --samples say what --mode all counts; give that too, or leave them out")
    if given.mode == "all" and (given.window_us or given.history):
        raise EventZooError("with --mode all a window is that of asynet's paper, a number of events: give --window-events, or nothing")
    if given.mode == "all" and given.plot:
        raise EventZooError("--plot draws the cost of a growing window, and --mode all has none; --csv writes its figures")


def run(given: argparse.Namespace) -> None:
    """Count, and print and write what was found.

    Raises:
        EventZooError: The model is neither a SparseVGG nor a DenseVGG, nothing of it runs event by event, or the recording is too short.
    """
    from eventzoo.asynchronous import Window
    from eventzoo.asynchronous.window import with_own_window

    wanted, step = given.window_events or WINDOW, given.step or STEP
    given.window_events = None  # it is no part of the model's own window, which may be counted otherwise
    events, model, _ = inputs.prepared(given)
    model.transforms, _ = with_own_window(model.transforms, Window())
    forms = both_forms(model)
    length = min(wanted, len(events) - step)
    if length < 1:
        raise EventZooError(f"{given.input} has {len(events):,} events, too few for a window and a step of {step:,}; give a smaller --step")
    if length < wanted:
        print(f"{given.input} has {len(events):,} events: windows have {length:,}, so that {step:,} can come and leave", file=sys.stderr)
    streams = [inputs.compiled(form, Window(length)) for form in forms]
    if not all(stream.flops for stream in streams):
        raise EventZooError("operations are counted where a model runs event by event; nothing of this one does")
    last = len(events) - length - step
    starts = [int(first) for first in np.linspace(0, last, min(given.samples or SAMPLES, last + 1))]
    formulas = [by_formulas(forms[0], events, start, length, step) for start in starts]
    counted = by_work(streams, events, starts, length, step)
    print(f"a window of {length:,} events, {step:,} further than the one before it; means of {len(starts)} spread over the recording")
    _show("FLOPs by the formulas of asynet's code", formulas)
    print()
    _show("FLOPs counted", counted)
    if any(stream.fallbacks for stream in streams):
        print("layers that run densely at every push are not counted")
    if given.csv is not None:
        tables.write_csv(given.csv, COLUMNS, _rows(formulas, counted))


def both_forms(model: "EventModel") -> "tuple[EventModel, EventModel]":
    """A model with a SparseVGG, and the one of the same weights with a DenseVGG; it is one of them.

    Raises:
        EventZooError: It is neither.
    """
    sparse, dense = (registry.get("backbones", name) for name in ("SparseVGG", "DenseVGG"))
    own = type(model.backbone)
    if own not in (sparse, dense):
        raise EventZooError(
            f"--mode all compares sparse and dense forms of one network, which SparseVGG and DenseVGG have and {own.__name__} does not; "
            "leave out --mode for what it costs event by event and synchronously"
        )
    return (model, _with_backbone(model, dense)) if own is sparse else (_with_backbone(model, sparse), model)


def _with_backbone(model: "EventModel", form: type) -> "EventModel":
    """The model with its backbone's weights in another form of it."""
    from torch import nn

    from eventzoo.model import EventModel

    backbone = form(**model.backbone.init_args)
    weights = model.backbone.state_dict().values()  # the layers are the same, one by one, though some are called otherwise
    backbone.load_state_dict(dict(zip(backbone.state_dict(), weights, strict=True)))
    norms = ([part for part in of.modules() if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d)] for of in (backbone, model.backbone))
    for made, given in zip(*norms, strict=True):
        made.eps = given.eps
    return EventModel(model.representation, backbone, model.head, model.classes, model.sensor_size, model.transforms)


def by_formulas(model: "EventModel", events: Events, start: int, length: int, step: int) -> Work:
    """The cost of the window that follows the one from `start` on, by asynet's formulas.

    Args:
        model: The sparse form.
        events: The recording.
        start: First event of the window before.
        length: Events of a window.
        step: Events from one window to the next.
    """
    from eventzoo.asynchronous.capture import Network
    from eventzoo.evaluation import processing_modes

    represent = model.representation
    images = (represent.collate([represent(events[first : first + length])]) for first in (start, start + step))
    layers = processing_modes.by_formulas(Network(model).eval(), *images)
    modes = processing_modes.MODES
    return {(layer.name.removeprefix("backbone."), mode): (layer.flops[mode], layer.sites[mode]) for layer in layers for mode in modes}


def by_work(streams: "Sequence[AsyncModel]", events: Events, starts: Sequence[int], length: int, step: int) -> list[Work]:
    """The cost of the windows that follow those from `starts` on, as it was counted.

    Args:
        streams: The sparse and the dense form.
        events: The recording.
        starts: First events of the windows before.
        length: Events of a window, which is also that of the streams.
        step: Events from one window to the next.
    """
    found: list[Work] = [{} for _ in starts]
    for stream, name in zip(streams, ("sparse", "dense"), strict=True):
        for start, work in zip(starts, found, strict=True):
            stream.reset()
            stream.push(events[start : start + length])
            before = dict(_done(stream))
            stream.push(events[start + length : start + length + step])
            inputs.progress(start + length + step, len(events))
            after = dict(_done(stream))
            for layer in stream.flops:
                flops, sites = (round(now - then) for now, then in zip(after[layer.name], before[layer.name], strict=True))
                work[layer.name, f"asynchronous {name}"] = flops, sites
                work[layer.name, name] = layer.synchronous, layer.sites
    return found


def _done(stream: "AsyncModel") -> Iterator[tuple[str, tuple[float, float]]]:
    """Operations, and sites that were computed, of each layer since the stream began."""
    for layer in stream.flops:
        yield layer.name, (layer.per_event * stream.num_events, layer.sites_per_event * stream.num_events)


def _figures(samples: Sequence[Work]) -> dict[str, dict[str, tuple[float, float, float]]]:
    """Mean and standard deviation of operations, and mean of sites, of each layer in each mode, and of all layers together."""
    found: dict[str, dict[str, tuple[float, float, float]]] = {}
    modes = dict.fromkeys(mode for _, mode in samples[0])
    for layer, mode in samples[0]:
        flops, sites = zip(*(sample[layer, mode] for sample in samples), strict=True)
        found.setdefault(layer, {})[mode] = float(np.mean(flops)), float(np.std(flops)), float(np.mean(sites))
    totals = {mode: [sum(flops for (_, of), (flops, _) in sample.items() if of == mode) for sample in samples] for mode in modes}
    found[_ALL] = {mode: (float(np.mean(flops)), float(np.std(flops)), math.nan) for mode, flops in totals.items()}
    return found


def _show(title: str, samples: Sequence[Work]) -> None:
    from eventzoo.evaluation.processing_modes import MODES

    figures = _figures(samples)
    rows = [(layer, *(f"{of[mode][0]:,.0f}" if mode in of else "–" for mode in MODES)) for layer, of in figures.items()]
    rows.append(("standard deviation", *(f"{figures[_ALL][mode][1]:,.0f}" for mode in MODES)))
    tables.show(title, ("layer", *MODES), rows, closing=2)


def _rows(formulas: Sequence[Work], counted: Sequence[Work]) -> Iterator[tuple[object, ...]]:
    """What the CSV file has: a layer and a mode a row; a figure that there is none of is left out."""
    ways = _figures(formulas), _figures(counted)
    for layer in sorted(ways[0].keys() | ways[1].keys(), key=[*ways[1], *ways[0]].index):
        for mode in dict.fromkeys(mode for way in ways for mode in way.get(layer, {})):
            figures = (figure for way in ways for figure in way.get(layer, {}).get(mode, (math.nan,) * 3))
            yield layer, mode, *("" if math.isnan(figure) else figure for figure in figures)
