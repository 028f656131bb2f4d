"""What prepared values come from: a store's name is a hash of it, so that a stale one cannot be read."""

import hashlib
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from eventzoo.data.dataset import EventDataset
from eventzoo.data.pipeline import Pipeline
from eventzoo.errors import EventFileError
from eventzoo.specs import Part, build, spec_of

_PACKAGE = Path(__file__).parents[1]
_SHAPES_SAMPLES = ("events.py", "io", "kernels", "data", "plugins/datasets", "plugins/representations")  # inside the package


def store_name(pipeline: Pipeline) -> str:
    """Name of the folder of a pipeline's store."""
    digest = hashlib.blake2b(json.dumps(provenance(pipeline), sort_keys=True).encode(), digest_size=8).hexdigest()
    return store_prefix(pipeline) + digest


def store_prefix(pipeline: Pipeline) -> str:
    """What the name of a pipeline's store begins with."""
    return f"{type(pipeline.dataset).__name__}-{pipeline.dataset.split}-"


def provenance(pipeline: Pipeline) -> dict[str, Any]:
    """All that shapes a pipeline's prepared values, as plain JSON types."""
    whole = pipeline.realisations is not None
    transforms = [*pipeline.fixed, *(pipeline.random if whole else [])]
    parts: list[Part] = [pipeline.dataset, *transforms, *([pipeline.representation] if whole else [])]
    return {
        "dataset": spec_of(pipeline.dataset),
        "split": pipeline.dataset.split,
        "files": files_digest(pipeline.dataset.source_files()),
        "transforms": [spec_of(transform) for transform in transforms],
        "representation": spec_of(pipeline.representation) if whole else None,
        "chance": _chance(pipeline) if whole else None,
        "code": {"eventzoo": _own_code(), **_code_of({type(part).__module__ for part in _with_nested(parts)})},
    }


def _chance(pipeline: Pipeline) -> dict[str, Any] | None:
    if not (pipeline.random or pipeline.mix):
        return None
    mix = None if pipeline.mix is None else spec_of(pipeline.mix)
    return {"seed": pipeline.seed, "realisations": pipeline.realisations, "mix": mix}


def staleness(manifest: Mapping[str, Any]) -> str | None:
    """Why values with this provenance would come out otherwise today; None if they would not.

    Raises:
        EventZooError: Their dataset, or a part of theirs, is not there to be compared.
    """
    dataset = build(manifest["dataset"], EventDataset).at_split(manifest["split"])
    if files_digest(dataset.source_files()) != manifest["files"]:
        return "the recordings have changed"
    code = manifest["code"]
    if {"eventzoo": _own_code(), **_code_of(code)} != code:
        return "the code has changed"
    return None


def files_digest(paths: Iterable[Path]) -> str:
    """A hash of the files' paths, sizes and times of change."""
    digest = hashlib.blake2b(digest_size=16)
    for path in paths:
        try:
            information = path.stat()
        except OSError as error:
            raise EventFileError(path, f"cannot be read: {error.strerror}") from error
        digest.update(f"{path.absolute()}\0{information.st_size}\0{information.st_mtime_ns}\n".encode())
    return digest.hexdigest()


@cache
def _own_code() -> str:
    """A hash of what in eventzoo makes events into values."""
    roots = [_PACKAGE / name for name in _SHAPES_SAMPLES]
    files = sorted(file for root in roots for file in ([root] if root.is_file() else root.rglob("*.py")))
    return hashlib.blake2b(b"\0".join(file.read_bytes() for file in files), digest_size=16).hexdigest()


def _code_of(modules: Iterable[str]) -> dict[str, str]:
    """A hash of each module that is not eventzoo's own."""
    foreign = sorted(module for module in modules if module.split(".")[0] != "eventzoo")
    files = {module: getattr(sys.modules.get(module), "__file__", None) for module in foreign}
    return {module: hashlib.blake2b(Path(file).read_bytes(), digest_size=16).hexdigest() for module, file in files.items() if file}


def _with_nested(values: Iterable[Any]) -> Iterator[Part]:
    for value in values:
        if isinstance(value, Part):
            yield value
            yield from _with_nested(value.init_args.values())
        elif isinstance(value, list | tuple):
            yield from _with_nested(value)
