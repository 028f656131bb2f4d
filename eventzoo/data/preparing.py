"""Build prepared stores: in parallel, resumable after a kill at any moment, and never one that looks complete and is not.

Values are built into `<name>.building`, in which every commit is whole. When all are there, they are copied in order into
`<name>.finishing`, so that the bytes do not depend on interruptions, and that folder is renamed to `<name>`.
"""

import json
import os
import pickle
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle
import joblib
import lmdb
import numpy as np
import xxhash
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from eventzoo.data.pipeline import Pipeline
from eventzoo.data.provenance import provenance, store_name, store_prefix
from eventzoo.data.store import DATA, MANIFEST, VERSION, Store, damaged_slots, encoded, is_intact, slot_key
from eventzoo.errors import EventZooError

_FIRST_MAP_BYTES = 1 << 30  # of LMDB's memory map, doubled whenever it is full
_ROUND_BYTES = 1 << 28  # about as much is built before it is committed
_LARGEST_CHUNK = 64  # slots a task
_TASKS_A_WORKER = 4  # in a round, so that no worker waits long for the others
_COPIED_A_TRANSACTION = 64  # values
_IDLE_S = 10  # after which worker processes end: a training that follows needs their memory


@dataclass(frozen=True)
class Prepared:
    """What became of preparing a pipeline.

    Attributes:
        folder: The store; it exists unless there are failures.
        slots: Number of its values.
        built: How many of them were built now.
        failures: Why a slot could not be built, by slot.
    """

    folder: Path
    slots: int
    built: int
    failures: dict[int, str]

    def raise_for_failures(self) -> None:
        """Raise if the store is not complete.

        Raises:
            EventZooError: Names how many samples could not be built, and why the first of them.
        """
        if self.failures:
            slot, reason = next(iter(self.failures.items()))
            raise EventZooError(
                f"{len(self.failures):,} of {self.slots:,} samples could not be prepared; the others are kept. Slot {slot}: {reason}"
            )


def default_root() -> Path:
    """The folder of prepared stores: `prepared` inside `$EVENTZOO_DATA`, or inside `data`."""
    return Path(os.environ.get("EVENTZOO_DATA", "data")) / "prepared"


def find_store(root: Path, pipeline: Pipeline) -> Store | None:
    """The complete store of a pipeline, None if there is none."""
    if not any(root.glob(f"{store_prefix(pipeline)}*")):
        return None  # without asking for the name, which parts made of more than plain values do not have
    folder = root / store_name(pipeline)
    return Store(folder) if folder.is_dir() else None


def prepare(
    root: Path,
    pipeline: Pipeline,
    *,
    jobs: int = -1,
    backend: str = "loky",
    repair: bool = False,
    progress: bool = False,
) -> Prepared:
    """Build a pipeline's store, or what is missing of it.

    Args:
        root: Folder of the stores.
        pipeline: What to prepare, without a store of its own.
        jobs: Processes; -1 for one a core.
        backend: joblib's: `loky` for processes of this machine, `dask` or `ray` for a cluster.
        repair: Check every value of a complete store, and build damaged ones anew.
        progress: Whether to show a progress bar.

    Returns:
        What was built, and what could not be.

    Raises:
        EventZooError: Another process is preparing the same store, or the disk is full; what is built so far is kept.
    """
    folder = root / store_name(pipeline)
    building, finishing = (folder.with_name(f"{folder.name}.{stage}") for stage in ("building", "finishing"))
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f".{folder.name}.lock"), timeout=0):
            damaged = damaged_slots(Store(folder)) if repair and folder.is_dir() else []
            if folder.is_dir():
                shutil.rmtree(building, ignore_errors=True)
                if not damaged:
                    return Prepared(folder, pipeline.slots, 0, {})
                folder.rename(building)
            with _writing(building, pipeline) as values:
                values.drop(damaged)
                built, failures = _build(values, pipeline, jobs, backend, progress)
                if not failures and store_name(pipeline) != folder.name:
                    raise EventZooError(f"{pipeline.dataset.split}: recordings have changed while they were prepared; prepare again")
                if not failures:
                    _finish(values, finishing, pipeline)
                    finishing.rename(folder)
            if not failures:
                shutil.rmtree(building)
            return Prepared(folder, pipeline.slots, built, failures)
    except Timeout as error:
        raise EventZooError(f"{folder} is being prepared by another process; wait for it, or stop it first") from error
    except (OSError, lmdb.Error) as error:
        raise EventZooError(f"{building} cannot be written: {error}. What is built so far is kept: mend it, and prepare again") from error


class _Values:
    """The values that are built so far, in an LMDB file that grows."""

    def __init__(self, environment: lmdb.Environment) -> None:
        self._environment = environment

    def missing(self, slots: int) -> list[int]:
        with self._environment.begin() as transaction:
            there = {int.from_bytes(key, "big") for key in transaction.cursor().iternext(keys=True, values=False)}
        return [slot for slot in range(slots) if slot not in there]

    def put(self, values: Sequence[tuple[int, bytes]]) -> None:
        """Commit all of them, or none."""
        while True:
            try:
                with self._environment.begin(write=True) as transaction:
                    for slot, value in values:
                        transaction.put(slot_key(slot), value)
                return
            except lmdb.MapFullError:
                self._environment.set_mapsize(2 * self._environment.info()["map_size"])

    def drop(self, slots: Sequence[int]) -> None:
        with self._environment.begin(write=True) as transaction:
            for slot in slots:
                transaction.delete(slot_key(slot))

    def batches(self, slots: int) -> Iterator[list[tuple[int, Any]]]:
        """All values in order, some at a time; each batch is valid until the next one is asked for."""
        for start in range(0, slots, _COPIED_A_TRANSACTION):
            with self._environment.begin(buffers=True) as transaction:
                yield [(slot, transaction.get(slot_key(slot))) for slot in range(start, min(slots, start + _COPIED_A_TRANSACTION))]


@contextmanager
def _writing(folder: Path, pipeline: Pipeline) -> Iterator[_Values]:
    folder.mkdir(exist_ok=True)
    _write_manifest(folder, pipeline)
    environment = lmdb.open(str(folder), map_size=_FIRST_MAP_BYTES, lock=False, metasync=False)
    try:
        yield _Values(environment)
    finally:
        environment.close()


def _write_manifest(folder: Path, pipeline: Pipeline) -> None:
    """What a complete store says of itself; of one that is being built, the same but for its size."""
    data = folder / DATA
    size = data.stat().st_size if data.is_file() else 0
    manifest = {"version": VERSION, "slots": pipeline.slots, "bytes": size, **provenance(pipeline)}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2), encoding="utf-8")


def _build(values: _Values, pipeline: Pipeline, jobs: int, backend: str, progress: bool) -> tuple[int, dict[int, str]]:
    """Build what is missing; the number of new values, and the failures."""
    missing = values.missing(pipeline.slots)
    failures: dict[int, str] = {}
    with _bar(progress) as bar:
        name = f"{type(pipeline.dataset).__name__} {pipeline.dataset.split}"
        shown = bar.add_task(name, total=pipeline.slots, completed=pipeline.slots - len(missing))
        for outcomes in _rounds(pipeline, missing, jobs, backend) if missing else ():
            values.put([(slot, value) for slot, value in outcomes if isinstance(value, bytes)])
            failures.update((slot, reason) for slot, reason in outcomes if isinstance(reason, str))
            bar.advance(shown, len(outcomes))
    return len(missing) - len(failures), failures


def _rounds(pipeline: Pipeline, slots: Sequence[int], jobs: int, backend: str) -> Iterator[list[tuple[int, bytes | str]]]:
    """The values of the slots, in order, about `_ROUND_BYTES` at a time."""
    pickled = np.frombuffer(cloudpickle.dumps(pipeline), np.uint8)  # as an array, joblib hands it on through a file, once
    digest = xxhash.xxh3_128_hexdigest(pickled.data)
    start, chunk = 0, 1
    options = {"idle_worker_timeout": _IDLE_S} if backend == "loky" else {}
    with _backend(backend), joblib.parallel_config(backend=backend, n_jobs=jobs, **options), joblib.Parallel() as parallel:
        tasks = _TASKS_A_WORKER * joblib.effective_n_jobs()
        while start < len(slots):
            stop = min(len(slots), start + tasks * chunk)
            parts = [slots[at : min(stop, at + chunk)] for at in range(start, stop, chunk)]
            outcomes = [
                outcome for part in parallel(joblib.delayed(_build_chunk)(pickled, digest, part) for part in parts) for outcome in part
            ]
            yield outcomes
            start = stop
            mean = sum(len(value) for _, value in outcomes) / len(outcomes)
            chunk = int(min(2 * chunk, _LARGEST_CHUNK, max(1, _ROUND_BYTES / (mean * tasks))))


def _bar(shown: bool) -> Progress:
    return Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), disable=not shown)


@contextmanager
def _backend(name: str) -> Iterator[None]:
    """Make a cluster's backend known to joblib; without an address in its own environment variables, a local cluster.

    Raises:
        EventZooError: It is unknown or not installed.
    """
    try:
        if name == "dask":
            from distributed import Client

            with Client(dashboard_address=None):
                yield
            return
        if name == "ray":
            from ray.util.joblib import register_ray

            register_ray()
    except ImportError as error:
        raise EventZooError(f"the backend {name} is not installed: pip install eventzoo[{name}]") from error
    if name not in ("loky", "threading", "multiprocessing", "sequential", "dask", "ray"):
        raise EventZooError(f"there is no backend {name!r}; there are loky, threading, multiprocessing, sequential, dask and ray")
    yield


_pipelines: dict[str, Pipeline] = {}  # the last one that this process was given


def _build_chunk(pickled: NDArray[np.uint8], digest: str, slots: Sequence[int]) -> list[tuple[int, bytes | str]]:
    """The values of some slots, or why one could not be built. Runs in a worker."""
    if digest not in _pipelines:
        _pipelines.clear()
        _pipelines[digest] = pickle.loads(pickled.tobytes())  # noqa: S301  # from our own parent process
    return [(slot, _built(_pipelines[digest], slot)) for slot in slots]


def _built(pipeline: Pipeline, slot: int) -> bytes | str:
    try:
        return encoded(pipeline.prepare(slot))
    except EventZooError as error:
        return str(error)


def _finish(values: _Values, folder: Path, pipeline: Pipeline) -> None:
    """Copy all values in order into a folder that is complete.

    Raises:
        EventZooError: Values were damaged; they are dropped, to be built anew.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    size = sum(len(value) + 8192 for batch in values.batches(pipeline.slots) for _, value in batch)  # with the rest of the last page
    environment = lmdb.open(str(folder), map_size=size + _FIRST_MAP_BYTES, lock=False)
    damaged = []
    try:
        for batch in values.batches(pipeline.slots):
            damaged += [slot for slot, value in batch if not is_intact(value)]
            with environment.begin(write=True) as transaction:
                for slot, value in batch:
                    transaction.put(slot_key(slot), value, append=True)
    finally:
        environment.close()
    if damaged:
        values.drop(damaged)
        raise EventZooError(f"{folder}: {len(damaged):,} values were damaged on the disk and are dropped; prepare again builds them anew")
    _write_manifest(folder, pipeline)
