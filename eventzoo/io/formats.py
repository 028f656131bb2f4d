"""The file formats by suffix. A new format is one module that offers `FORMAT`, and one line here."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from eventzoo.errors import EventFileError
from eventzoo.io.recording import FileFormat, Recording

# Modules by name: one that needs numba or an optional library is imported when its first file is opened.
_MODULES = {
    ".bin": "eventzoo.io.atis_bin",
    ".dat": "eventzoo.io.prophesee_dat",
    ".npz": "eventzoo.io.npz",
}


def format_of(path: Path) -> FileFormat:
    """The format that the suffix of `path` names, in lower or upper case.

    Raises:
        EventFileError: No format has this suffix.
    """
    suffix = path.suffix.lower()
    if suffix not in _MODULES:
        named = f"unknown suffix {path.suffix!r}" if suffix else "no suffix"
        raise EventFileError(path, f"{named}: the suffix names the format, one of {', '.join(_MODULES)}")
    file_format: FileFormat = import_module(_MODULES[suffix]).FORMAT
    return file_format


@contextmanager
def opened(path: Path) -> Iterator[Recording]:
    """Open a file for reading, in the format that its suffix names.

    Raises:
        EventFileError: The file is missing, a folder, empty, cannot be read, or is not what its format promises;
            also when the system fails, or memory runs out, while it is read.
    """
    _check_regular_file(path)
    try:
        with path.open("rb") as file:
            file_format = format_of(path)
            if not os.fstat(file.fileno()).st_size:
                raise EventFileError(path, "the file is empty (0 bytes); copy or download it again")
            yield file_format.open(path, file)
    except OSError as error:
        raise EventFileError(path, f"cannot be read: {error.strerror or error}") from error
    except MemoryError as error:
        raise EventFileError(path, "its events do not fit into memory; read_windows reads it piece by piece") from error


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
