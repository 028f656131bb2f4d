"""eventzoo data verify | stats | clean: look after recordings and prepared stores."""

import argparse
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import lmdb
from rich.console import Console
from rich.table import Table

from eventzoo.commands.prepare import data_of
from eventzoo.commands.train import load_plugins
from eventzoo.data.dataset import Split
from eventzoo.data.preparing import default_root
from eventzoo.data.provenance import staleness
from eventzoo.data.store import MANIFEST, Store, damaged_slots, read_manifest
from eventzoo.errors import DatasetNotFoundError, EventZooError


def run(args: list[str]) -> None:
    """Run one of the three.

    Raises:
        EventZooError: Something is damaged.
    """
    parser = argparse.ArgumentParser("eventzoo data", description="Look after recordings and prepared stores.")
    parser.add_argument("action", choices=list(_ACTIONS), help=" ".join(f"{name}: {action.__doc__}" for name, action in _ACTIONS.items()))
    parser.add_argument("--store", type=Path, default=default_root(), help="folder of the stores (default: %(default)s)")
    parser.add_argument("--config", help="for verify: a recipe, whose recordings are read, every one")
    parser.add_argument("--all", action="store_true", help="for clean: delete every store, not only what is stale")
    given = parser.parse_args(args)
    load_plugins()
    _ACTIONS[given.action](given)


def verify(given: argparse.Namespace) -> None:
    """Read every value of every store, or with `--config` every recording of a recipe, and say what is damaged."""
    if given.config is not None:
        _verify_recordings(given.config)
        return
    damaged = 0
    for folder in _stores(given.store, complete=True):
        slots = damaged_slots(Store(folder))
        damaged += len(slots)
        print(f"{folder.name}: {f'damaged: slots {slots[:20]}' if slots else 'intact'}")
    if damaged:
        raise EventZooError(f"{damaged:,} values are damaged; `eventzoo prepare --config RECIPE --repair true` builds them anew")


def _verify_recordings(config: str) -> None:
    dataset = data_of(["--config", config]).dataset
    for split in get_args(Split):
        try:
            part = dataset.at_split(split)
        except DatasetNotFoundError as error:
            print(f"{split}: {error}")
            continue
        part.verify()
        print(f"{split}: {len(part):,} samples of {type(part).__name__} are intact")


def stats(given: argparse.Namespace) -> None:
    """List the stores: what they hold, how much, and whether they are complete and fresh."""
    table = Table("store", "holds", "values", "size", "state", title=f"prepared stores in {given.store}")
    for folder in _stores(given.store):
        manifest = read_manifest(folder)
        what = "samples" if manifest["representation"] is None else manifest["representation"]["class_path"].rpartition(".")[2]
        table.add_row(folder.name, what, f"{manifest['slots']:,}", _readable(_bytes(folder)), _state(folder, manifest))
    Console().print(table if table.row_count else f"no prepared stores in {given.store}")


def clean(given: argparse.Namespace) -> None:
    """Delete stale stores, or with `--all` every one, and say what was deleted."""
    for folder in _stores(given.store):
        state = "deleted on request" if given.all else _stale(read_manifest(folder))
        if state:
            size = _readable(_bytes(folder))
            shutil.rmtree(folder)
            folder.with_name(f".{folder.name.removesuffix('.building')}.lock").unlink(missing_ok=True)
            print(f"{folder.name}: {state}, {size} freed")


_ACTIONS = {"verify": verify, "stats": stats, "clean": clean}


def _stores(root: Path, complete: bool = False) -> Iterator[Path]:
    """The stores, complete ones and those that are being built."""
    for manifest in sorted(root.glob(f"*/{MANIFEST}")):
        if not (complete and manifest.parent.suffix):
            yield manifest.parent


def _state(folder: Path, manifest: dict[str, Any]) -> str:
    if folder.suffix == ".building":
        with lmdb.open(str(folder), readonly=True, lock=False) as environment:
            return f"{environment.stat()['entries']:,} built so far"
    if folder.suffix == ".finishing":
        return "interrupted at the end; prepare again"
    return _stale(manifest) or "complete"


def _stale(manifest: dict[str, Any]) -> str | None:
    try:
        reason = staleness(manifest)
    except EventZooError:
        return None  # its recordings are elsewhere for now; that makes it no less right
    return None if reason is None else f"stale: {reason}"


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


def _readable(size: float) -> str:
    power = 0
    while size >= 1000 and power < 4:
        size, power = size / 1000, power + 1
    return f"{size:.3g} {('bytes', 'kB', 'MB', 'GB', 'TB')[power]}"
