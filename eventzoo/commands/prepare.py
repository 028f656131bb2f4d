"""eventzoo prepare: build the prepared samples of a recipe."""

import argparse
import time
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from eventzoo.commands.train import Parser, load_plugins, with_shipped_configs
from eventzoo.data.datamodule import EventDataModule, Stage
from eventzoo.data.preparing import Prepared, prepare
from eventzoo.errors import EventZooError
from eventzoo.specs import refusal

_DESCRIPTION = (
    "Build what a recipe's samples have in common in every epoch, once: decoded and transformed events up to the first random "
    "transform, or whole representations where nothing is random or data.realisations is set. "
    "`eventzoo fit` with the same recipe then reads them. Interrupted, it goes on where it stopped."
)


def run(args: list[str]) -> None:
    """Prepare the splits of a recipe.

    Raises:
        EventZooError: Samples could not be prepared; all others were, and are kept.
    """
    load_plugins()
    parser = _parser()
    config = parser.parse_args(with_shipped_configs(args))
    data = _instantiated(parser, config)
    failed = [prepared for stage in config.splits if (prepared := _prepare(data, stage, config)).failures]
    if failed:
        raise EventZooError("\n".join(_account(prepared) for prepared in failed))


def data_of(args: list[str]) -> EventDataModule:
    """The data that a recipe describes, its arguments given as on the command line."""
    parser = _recipe_parser("eventzoo", "The data of a recipe.")
    return _instantiated(parser, parser.parse_args(with_shipped_configs(args)))


def _instantiated(parser: ArgumentParser, config: Namespace) -> EventDataModule:
    try:
        data: EventDataModule = parser.instantiate(Namespace(data=config.data)).data  # type: ignore[no-untyped-call]
    except ValueError as error:
        if (reason := refusal(error)) is None:
            raise
        raise EventZooError(reason) from error
    return data


def _parser() -> ArgumentParser:
    parser = _recipe_parser("eventzoo prepare", _DESCRIPTION)
    parser.add_argument("--splits", type=list[Stage], default=["train", "val"], help="which splits to prepare")
    parser.add_argument("--jobs", type=int, default=-1, help="processes; -1: one a core")
    parser.add_argument("--backend", type=str, default="loky", help="joblib's: loky for this machine, dask or ray for a cluster")
    parser.add_argument("--repair", type=bool, default=False, help="check complete stores too, and build damaged samples anew")
    return parser


def _recipe_parser(command: str, description: str) -> ArgumentParser:
    """A parser of a recipe's data."""
    parser = Parser(prog=command, description=description, exit_on_error=False)
    parser.add_argument("--config", action="config", help="a recipe, as for fit; only its data section counts")
    parser.add_class_arguments(EventDataModule, "data", sub_configs=True)
    for section in ("model", "trainer", "checkpoint", "seed_everything", "ckpt_path", "weights_only"):  # of what fit takes and writes
        parser.add_argument(f"--{section}", type=Any, help=argparse.SUPPRESS)
    return parser


def _prepare(data: EventDataModule, stage: Stage, config: Namespace) -> Prepared:
    started = time.monotonic()
    pipeline = data.pipeline(stage)
    kept = "samples" if pipeline.realisations is None else f"{type(data.representation).__name__} values"
    try:
        result = prepare(data.store, pipeline, jobs=config.jobs, backend=config.backend, repair=config.repair, progress=True)
    except KeyboardInterrupt as error:
        raise EventZooError("interrupted; what is prepared is kept, and the same command goes on where this one stopped") from error
    there = result.slots - len(result.failures)
    print(f"{stage}: {there:,} of {result.slots:,} {kept}, {result.built:,} built in {time.monotonic() - started:.1f} s → {result.folder}")
    return result


def _account(prepared: Prepared) -> str:
    reasons = list(dict.fromkeys(prepared.failures.values()))
    more = f"\n  and {len(reasons) - 10:,} more" if len(reasons) > 10 else ""
    return f"{len(prepared.failures):,} of {prepared.slots:,} samples could not be prepared:\n  " + "\n  ".join(reasons[:10]) + more
