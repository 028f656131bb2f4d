"""The encodings by name. A new one is a module in `eventzoo.io.formats` that offers a `FileFormat`, and one line here."""

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple

from eventzoo.errors import EventFileError
from eventzoo.io.recording import FileFormat, Recording


class Encoding(NamedTuple):
    """Where an encoding is implemented, and which files are taken for it.

    Attributes:
        suffixes: Of its files. Where several encodings share one, the file's beginning tells them apart, and what is
            written is the first of them.
        module: Imported when the first file is opened: it may need numba or an optional library.
        name: What the module calls its `FileFormat`.
    """

    suffixes: tuple[str, ...]
    module: str
    name: str = "FORMAT"


ENCODINGS: Mapping[str, Encoding] = {
    "bin": Encoding((".bin",), "eventzoo.io.formats.atis_bin"),
    "dat": Encoding((".dat",), "eventzoo.io.formats.prophesee_dat"),
    "npz": Encoding((".npz",), "eventzoo.io.formats.npz"),
    "aedat2": Encoding((".aedat",), "eventzoo.io.formats.aedat2"),
    "aedat3": Encoding((".aedat",), "eventzoo.io.formats.aedat3"),
    "aedat4": Encoding((".aedat4",), "eventzoo.io.formats.aedat4"),
    "uzh": Encoding((".txt",), "eventzoo.io.formats.text", "UZH"),
    "xytp": Encoding((".txt",), "eventzoo.io.formats.text", "XYTP"),
    "csv": Encoding((".csv",), "eventzoo.io.formats.text", "CSV"),
    "mat": Encoding((".mat",), "eventzoo.io.formats.matlab"),
    "hdf5": Encoding((".h5", ".hdf5"), "eventzoo.io.formats.hdf5"),
    "evt3": Encoding((".raw",), "eventzoo.io.formats.evt3"),
    "evt2": Encoding((".raw",), "eventzoo.io.formats.evt2", "EVT2"),
    "evt21": Encoding((".raw",), "eventzoo.io.formats.evt2", "EVT21"),
    "es": Encoding((".es",), "eventzoo.io.formats.event_stream"),
}
_HEAD_BYTES = 4096  # enough to tell encodings that share a suffix apart


def file_format(encoding: str) -> FileFormat:
    """The implementation of an encoding."""
    entry = ENCODINGS[encoding]
    implementation: FileFormat = getattr(import_module(entry.module), entry.name)
    return implementation


def encoding_to_write(path: Path, encoding: str | None) -> str:
    """The encoding asked for, or else the first one of the path's suffix.

    Raises:
        EventFileError: There is no such encoding, or none has this suffix.
    """
    return _candidates(path, encoding)[0]


def encoding_of(path: Path) -> str:
    """The encoding that a file's suffix and its beginning tell.

    Raises:
        EventFileError: They tell none, or the file cannot be read.
    """
    _check_regular_file(path)
    try:
        with path.open("rb") as file:
            return _recognised(path, file, _candidates(path, None))
    except OSError as error:
        raise EventFileError(path, f"cannot be read: {error.strerror or error}") from error


@contextmanager
def opened(path: Path, encoding: str | None = None) -> Iterator[Recording]:
    """Open a file for reading, in the encoding asked for, or else in the one that its suffix and its beginning tell.

    Raises:
        EventFileError: The file is missing, a folder, empty, cannot be read, or is not what its format promises;
            also when the system fails, or memory runs out, while it is read.
    """
    _check_regular_file(path)
    try:
        with path.open("rb") as file:
            candidates = _candidates(path, encoding)
            if not os.fstat(file.fileno()).st_size:
                raise EventFileError(path, "the file is empty (0 bytes); copy or download it again")
            yield file_format(_recognised(path, file, candidates)).open(path, file)
    except OSError as error:
        raise EventFileError(path, f"cannot be read: {error.strerror or error}") from error
    except MemoryError as error:
        raise EventFileError(path, "its events do not fit into memory; read_windows reads it piece by piece") from error


def _candidates(path: Path, encoding: str | None) -> list[str]:
    if encoding is not None:
        if encoding not in ENCODINGS:
            raise EventFileError(path, f"there is no encoding {encoding!r}; there are {', '.join(ENCODINGS)}")
        return [encoding]
    suffix = path.suffix.lower()
    found = [name for name, entry in ENCODINGS.items() if suffix in entry.suffixes]
    if not found:
        named = f"unknown suffix {path.suffix!r}" if suffix else "no suffix"
        known = dict.fromkeys(suffix for entry in ENCODINGS.values() for suffix in entry.suffixes)
        reason = f"{named}: the suffix names the format, one of {', '.join(known)}; else pass encoding, one of {', '.join(ENCODINGS)}"
        raise EventFileError(path, reason)
    return found


def _recognised(path: Path, file: BufferedReader, candidates: list[str]) -> str:
    """The one of several encodings that a file's beginning tells."""
    if len(candidates) == 1:
        return candidates[0]
    head = file.read(_HEAD_BYTES)
    file.seek(0)
    for name in candidates:
        recognises = file_format(name).recognises
        if recognises is not None and recognises(head):
            return name
    reason = f"its beginning is of none of the encodings with this suffix: {', '.join(candidates)}; if you know better, pass encoding"
    raise EventFileError(path, reason, 0)


def _check_regular_file(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError as error:
        raise EventFileError(path, "there is no such file") from error
    except (OSError, ValueError) as error:  # ValueError: the path holds a null byte
        raise EventFileError(path, f"cannot be read: {error}") from error
    if stat.S_ISDIR(mode):
        raise EventFileError(path, "is a folder; a recording is one file")
    if not stat.S_ISREG(mode):  # opening a pipe would wait for its writer
        raise EventFileError(path, "is not a regular file; save the stream to a file first")
