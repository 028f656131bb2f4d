"""Reading other projects' checkpoints, which are pickles, without executing anything from them.

A pickle is a program: it can name any function of any package and have it called. Here, nothing is imported or called that the file
chooses:

* torch's restricted unpickler reads it (`weights_only`), which knows a short list of functions, those that tensors are made with. What
  packages have added to that list in this process is taken off it: torch-geometric adds its `ClusterData`, whose constructor unpickles
  another file without restriction.
* Of other names only those of `_TRAINING` are let through, because trainings leave them beside the weights: each stands for `_Nothing`,
  a class of ours that ignores what it is given. Any other name is refused before the unpickler begins.
* An archive is never unpacked. One with entries that would land outside their folder, with links, or that is larger unpacked than packed,
  is none that torch wrote, and refused before torch sees it.
* Weights are plain tensors in memory, none of them larger than the file.

What is left to trust is torch's unpickler and its list. Before 2.10 it could be made to write to memory that is not its own
(CVE-2026-24747), so that nothing is read with those versions. A file may also be made to take time and memory in vain.
"""

import re
import stat
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import torch
from torch import Tensor

from eventzoo.errors import EventZooError

_TRAINING = re.compile(
    r"(pytorch_lightning|lightning|torchmetrics|aegnn)\..+"  # callbacks, by their classes
    r"|argparse\.Namespace|pathlib\.(Pure)?(Posix|Windows)?Path"  # settings
    r"|numpy\.dtype|numpy\._?core\.multiarray\.scalar"  # scores
)
"""Names that trainings leave in checkpoints."""

_WEIGHTS = ("state_dict", "model")
"""Keys under which a checkpoint has its weights, among other things."""


class Checkpoint(NamedTuple):
    """What was read.

    Attributes:
        state: The weights by upstream's names.
        notes: What was left out of the file, in words.
    """

    state: dict[str, Tensor]
    notes: tuple[str, ...]


class _Nothing:
    """Stands for whatever a file names; an object of it has no state, whatever it is constructed with and given."""

    __slots__ = ()

    def __new__(cls, *_: object) -> "_Nothing":
        return super().__new__(cls)

    def __setstate__(self, state: object) -> None:
        pass


def read_state(path: str | Path) -> Checkpoint:
    """The weights in a checkpoint's file: of `torch.save`, as an archive or in the form before torch 1.6.

    Raises:
        EventZooError: There is no such file, it is not a checkpoint or damaged, it names what no checkpoint needs, it is an archive that
            leads out of its folder, or holds no weights by name; or this torch is too old to be trusted with it.
    """
    if torch.__version__ < "2.10":
        raise EventZooError(f"torch {torch.__version__} cannot read pickles safely (CVE-2026-24747): pip install 'torch>=2.10'")
    path = Path(path)
    if not path.is_file() or path.stat().st_size == 0:
        kind = "is a folder" if path.is_dir() else "is empty" if path.exists() else "does not exist"
        raise EventZooError(f"{path} {kind}; give the file of a checkpoint, as torch.save wrote it")
    try:
        with path.open("rb") as file:
            content, named = _content(file, path)
    except OSError as error:
        raise EventZooError(f"{path} cannot be read: {error.strerror or error}") from error
    return _checkpoint(content, named, path)


def listed(names: Iterable[object]) -> str:
    """Names from a file, fit to be printed: one after the other, without what would control a terminal, and not too many."""
    names = list(names)
    shown = ["".join(letter if letter.isprintable() else "�" for letter in str(name)[:200]) for name in names[:20]]
    return ", ".join(shown) + (f" and {len(names) - 20:,} more" if len(names) > 20 else "")


def _content(file: BinaryIO, path: Path) -> tuple[Any, list[str]]:
    """What a file holds, and the names in it that stand for nothing."""
    is_archive = file.read(4) == b"PK\x03\x04"
    if is_archive:
        _check_archive(file, path)
    file.seek(0)
    with _no_safe_globals():
        try:
            named = sorted(torch.serialization.get_unsafe_globals_in_checkpoint(file)) if is_archive else []
            _check_names(named, path)
            file.seek(0)
            torch.serialization.add_safe_globals([(_Nothing, name) for name in named])
            return torch.load(file, weights_only=True, map_location="cpu"), named
        except (EventZooError, OSError):
            raise
        except Exception as error:  # whatever a damaged or hostile pickle makes of the unpickler
            _check_names(re.findall(r"GLOBAL (\S+)", str(error))[:1], path)
            reason = f"{type(error).__name__}: {error}".splitlines()[0].removesuffix("Weights only load failed. ")
            raise EventZooError(f"{path} cannot be read as a checkpoint without executing code from it: {reason}") from error


@contextmanager
def _no_safe_globals() -> Iterator[None]:
    """Take off torch's list what was added to it in this process; afterwards it is as it was. Its warnings are for programmers."""
    before = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)


def _check_names(named: list[str], path: Path) -> None:
    refused = [name for name in named if not _TRAINING.fullmatch(name)]
    if refused:
        raise EventZooError(
            f"{path} names {listed(refused)}, which no checkpoint needs; refused, nothing was run. If it is a whole network that you "
            "trust, load it where it was trained, and save its state_dict() there"
        )


def _check_archive(file: BinaryIO, path: Path) -> None:
    """Refuse an archive that torch did not write."""
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise EventZooError(f"{path} is cut off or damaged: {error}; copy or download it again") from error
    for entry in entries:
        name = entry.orig_filename
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise EventZooError(f"{path} is an archive with a link in it, {listed([name])}, which no checkpoint has; refused")
        if re.match(r"/|[A-Za-z]:", name) or "\\" in name or "\0" in name or ".." in name.split("/"):
            raise EventZooError(f"{path} is an archive whose entry {listed([name])} leads out of its folder; refused, nothing was written")
    if sum(entry.file_size for entry in entries) > path.stat().st_size:
        raise EventZooError(f"{path} is an archive that is larger unpacked than packed, which torch does not write; refused")


def _checkpoint(content: object, named: list[str], path: Path) -> Checkpoint:
    if not isinstance(content, Mapping):
        raise EventZooError(f"{path} holds no weights by name; give a checkpoint with a state_dict")
    key = next((key for key in _WEIGHTS if isinstance(content.get(key), Mapping)), None)
    state = content if key is None else content[key]
    strange = [name for name, value in state.items() if not isinstance(value, Tensor)]
    if strange or not state:
        found = f"these in it are no tensors, as weights are: {listed(strange)}" if strange else "it is empty"
        raise EventZooError(f"{path} holds no weights by name: {found}")
    size = path.stat().st_size
    for name, tensor in state.items():
        if type(tensor) not in (Tensor, torch.nn.Parameter) or tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta:
            raise EventZooError(f"{path}: {listed([name])} is not a dense tensor, as weights are")
        if tensor.nbytes > size:
            raise EventZooError(f"{path}: {listed([name])} is of the shape {tuple(tensor.shape)}, for which the file is too small; refused")
    rest = [] if key is None else [name for name in content if name != key]
    notes = [f"left out of the file: {listed(rest)}"] * bool(rest)
    notes += [f"named in the file, and neither imported nor run: {listed(named)}"] * bool(named)
    return Checkpoint({str(name): tensor.detach() for name, tensor in state.items()}, tuple(notes))
