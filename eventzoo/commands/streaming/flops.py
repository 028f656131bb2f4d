"""eventzoo flops: operations that an event costs, beside those of a synchronous forward."""

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from eventzoo.commands import tables
from eventzoo.commands.streaming import inputs, modes
from eventzoo.errors import EventZooError
from eventzoo.events import Events

if TYPE_CHECKING:
    from eventzoo.asynchronous import AsyncModel
    from eventzoo.asynchronous.accounting import LayerFlops

SINGLE = 200
"""Events, spread over the recording, whose operations are counted singly."""
_COLUMNS = ("first_event", "last_event", "events_in_graph", "layer", "flops_per_event", "synchronous_flops", "sites_per_event", "sites")


@dataclass(frozen=True)
class Counted:
    """Operations of a run of events, each answered before the next one came.

    Attributes:
        first: The events that were pushed before the run.
        last: The events that were pushed when it ended.
        in_graph: Events in the window then.
        layers: Operations of an event on average, and of one synchronous forward on the window as it was at the end.
    """

    first: int
    last: int
    in_graph: int
    layers: "list[LayerFlops]"

    @property
    def per_event(self) -> float:
        """Operations of an event on average, of all layers."""
        return sum(layer.per_event for layer in self.layers)

    @property
    def synchronous(self) -> float:
        """Operations of one synchronous forward on the window as it was at the end, of all layers."""
        return sum(layer.synchronous for layer in self.layers)


def run(args: list[str]) -> None:
    """Count, and print, write and draw what was found.

    Raises:
        EventZooError: Nothing of the model runs event by event.
    """
    given = _parser().parse_args(args)
    modes.check(given)
    tables.check_outputs(given.csv, given.plot)
    if given.mode == "all":
        modes.run(given)
        return
    events, stream = inputs.measured(given)
    if not stream.flops:
        raise EventZooError("operations are counted where a model runs event by event; nothing of this one does")
    runs, single = count(stream, events)
    whole = Counted(0, len(events), runs[-1].in_graph, stream.flops)
    _show(whole, runs, single, dense=len(stream.fallbacks))
    if given.csv is not None:
        rows = [
            (part.first, part.last, part.in_graph, layer.name, layer.per_event, layer.synchronous, layer.sites_per_event, layer.sites)
            for part in (*runs, whole)
            for layer in part.layers
        ]
        tables.write_csv(given.csv, _COLUMNS, rows)
    if given.plot is not None:
        from eventzoo.plots import draw_cost

        picture = draw_cost(
            given.plot,
            "FLOPs",
            [part.last for part in runs],
            [part.per_event for part in runs],
            [part.synchronous for part in runs],
            title=inputs.subject(stream, given.input),
            xlabel=inputs.axis(stream),
        )
        print(f"picture: {picture}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "eventzoo flops",
        description="Count the floating-point operations (a multiply-add is 2) that a model does for each event of a recording, by layer, "
        "with its answer brought up to date after every event, beside those of one synchronous forward on the same window.",
        epilog="example: eventzoo flops --model local-dir:runs/aegnn_shapes/version_0/model --input recording.dat --plot flops.png",
    )
    inputs.add_arguments(parser)
    modes.add_arguments(parser)
    output = parser.add_argument_group("output")
    output.add_argument(
        "--csv",
        type=Path,
        metavar="FILE",
        help=f"the figures of every layer while the graph grows, and last over the whole recording: {', '.join(_COLUMNS)}; "
        f"with --mode all, of every layer in every mode: {', '.join(modes.COLUMNS)}",
    )
    output.add_argument("--plot", type=Path, metavar="FILE", help="draw FLOPs an event against events in the graph: .png, .svg or .pdf")
    return parser


def count(stream: "AsyncModel", events: Events) -> tuple[list[Counted], NDArray[np.float64]]:
    """Push a recording to a model that is new or reset, each event on its own.

    Returns:
        The operations of runs of events that join without a gap, as the graph grows; and those of single events, all layers
        together, spread evenly over the recording.
    """
    ends = inputs.growing(len(events))
    singles = np.unique(np.linspace(0, len(events) - 1, SINGLE).astype(int)).tolist()
    totals = {0: np.zeros((len(stream.flops), 2))}  # operations and sites of each layer, by the number of events
    runs: list[Counted] = []
    done = 0
    for stop in sorted({*ends, *singles, *(at + 1 for at in singles)} - {0}):
        stream.push_each(events[done:stop])
        done = stop
        inputs.progress(done, len(events))
        layers = stream.flops
        totals[stop] = np.array([(layer.per_event, layer.sites_per_event) for layer in layers]) * stop
        if stop in ends:
            first = runs[-1].last if runs else 0
            means = ((totals[stop] - totals[first]) / (stop - first)).tolist()
            of_run = [replace(layer, per_event=flops, sites_per_event=sites) for layer, (flops, sites) in zip(layers, means, strict=True)]
            runs.append(Counted(first, stop, len(stream), of_run))
    return runs, np.array([(totals[at + 1] - totals[at])[:, 0].sum() for at in singles])


def _show(whole: Counted, runs: list[Counted], single: NDArray[np.float64], dense: int) -> None:
    rows = [
        (layer.name, *_figures(layer.per_event, layer.synchronous), f"{layer.sites_per_event:,.1f}", f"{layer.sites:,}")
        for layer in whole.layers
    ]
    rows.append(("all layers", *_figures(whole.per_event, whole.synchronous), "", ""))
    tables.show(
        f"FLOPs by layer: mean of {whole.last:,} events, and one synchronous forward on the {whole.in_graph:,} in the window at the end",
        ("layer", "an event", "synchronous", "ratio", "sites", "of"),
        rows,
        closing=1,
    )
    middle, high, highest = np.percentile(single, (50, 90, 99))
    print(f"an event: median {middle:,.0f}, 90 % within {high:,.0f}, 99 % within {highest:,.0f} ({len(single):,} events of the recording)")
    print("sites: events, voxels or cells that a layer computed for an event, of those that a forward computes")
    if dense:
        print("layers that run densely at every push are not counted")
    print()
    tables.show(
        "FLOPs while the graph grows",
        ("events", "in the graph", "an event", "synchronous", "ratio"),
        [(f"{part.first + 1:,} to {part.last:,}", f"{part.in_graph:,}", *_figures(part.per_event, part.synchronous)) for part in runs],
    )


def _figures(done: float, synchronous: float) -> tuple[str, str, str]:
    return f"{done:,.0f}", f"{synchronous:,.0f}", f"{synchronous / done:,.1f}" if done else "–"
