"""eventzoo models: the models of the zoo, as a table."""

import argparse

from eventzoo.commands import tables
from eventzoo.commands.plugins import warnings_told
from eventzoo.zoo import list_models
from eventzoo.zoo.cards import readable

_COLUMNS = ("model", "task", "dataset", "weights", "measured by us", "reported")


def run(args: list[str]) -> None:
    """Print the table."""
    given = _parser().parse_args(args)
    with warnings_told():
        cards = readable(list_models(given.pattern, task=given.task, dataset=given.dataset, pretrained=given.pretrained))
    if not cards:
        print("no model is like that; `eventzoo models` shows all")
        return
    rows = []
    for described in cards:
        where = "none" if described.weights is None else "Hub" if described.weights.hub else "installed"
        measured = ", ".join(f"{metric.name} {metric.value:.3f} ({metric.split})" for metric in described.measured)
        reported = ", ".join(f"{metric.name} {metric.value:.3f}" for metric in described.reported)
        rows.append((described.name, described.task, described.dataset, where, measured, reported))
    tables.show(f"{len(rows)} of {len(list_models())} models", _COLUMNS, rows, text=len(_COLUMNS))
    print("eventzoo info NAME tells all about one; eventzoo.load(NAME) loads one with weights")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "eventzoo models",
        description="The models of the zoo: what they are for, whether their weights are published, what we measured with these weights, "
        "and what publications report.",
        epilog='example: eventzoo models "aegnn*" --task classification --pretrained',
        allow_abbrev=False,
    )
    parser.add_argument("pattern", nargs="?", default="*", help='a shell pattern of names, such as "aegnn*"; default: all')
    parser.add_argument("--task", choices=("classification", "detection"), help="only those for this task")
    parser.add_argument("--dataset", metavar="NAME", help="only those trained on this dataset, such as NMNIST")
    parser.add_argument(
        "--pretrained", action=argparse.BooleanOptionalAction, help="only those with published weights, or only those without"
    )
    return parser
