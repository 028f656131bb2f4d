"""eventzoo anytime: how good a model's answers are after the first events of recordings."""

import argparse
from pathlib import Path

from eventzoo.commands import evaluating, tables
from eventzoo.commands.streaming.inputs import positive


def run(args: list[str]) -> None:
    """Ask, print, write and draw."""
    given, rest = _parser().parse_known_args(args)
    tables.check_outputs(given.csv, given.plot)

    from eventzoo.evaluation.prefixes import STEPS, Prefixes, evaluate, loader_of

    model, data = evaluating.model_and_data(given, rest)
    dataset = data.dataset.at_split(given.split)
    steps = sorted(set(given.events)) if given.events else STEPS
    loader = loader_of(Prefixes(dataset, model, steps), data.batch_size, data.num_workers)
    curve = evaluate(model, evaluating.followed(loader, len(loader), f"{given.split} split"), steps)

    name = type(dataset).__name__
    tables.show(
        f"After the first events of a recording: {len(dataset):,} recordings of {name}, {given.split} split",
        ("events", "in the network", "whole recordings", *curve.scores),
        [
            (f"{events:,}", f"{seen:,.1f}", f"{whole:.1%}", *(f"{values[at]:.4f}" for values in curve.scores.values()))
            for at, (events, seen, whole) in enumerate(zip(curve.events, curve.seen, curve.whole, strict=True))
        ],
    )
    print("a recording with fewer events counts with all it has; in the network: what the model's transforms leave, on average")
    if given.csv is not None:
        rows = zip(curve.events, curve.seen, curve.whole, *curve.scores.values(), strict=True)
        tables.write_csv(given.csv, ("events", "events_in_network", "share_of_whole_recordings", *curve.scores), rows)
    if given.plot is not None:
        from eventzoo.plots import draw_by_events

        title = f"{type(model.backbone).__name__}, {len(dataset):,} recordings of {name}, {given.split} split"
        draw_by_events(curve.events, curve.scores, title).savefig(given.plot, dpi=110)
        print(f"picture: {given.plot}")


def _parser() -> argparse.ArgumentParser:
    parser = evaluating.parser_of(
        "anytime",
        "Ask a model about the first n events of each recording of a split, in time order, as if no more had come yet, and say how good "
        "its answers are by n: accuracy, in detection AP50 and mAP. A recording with fewer events counts with all it has.",
        "eventzoo anytime --model local-dir:runs/aegnn_shapes/version_0/model --config aegnn_shapes --plot accuracy_by_events.png",
    )
    parser.add_argument("--split", choices=("train", "val", "test"), default="test", help="default: test")
    parser.add_argument(
        "--events",
        type=positive,
        nargs="+",
        metavar="N",
        help="numbers of events, before the model's transforms; default: 100, 200, 400, …; the longest recording's is always the last",
    )
    output = parser.add_argument_group("output")
    output.add_argument("--csv", type=Path, metavar="FILE", help="the table")
    output.add_argument("--plot", type=Path, metavar="FILE", help="draw it: .png, .svg or .pdf")
    return parser
