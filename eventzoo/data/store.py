"""Prepared samples on disk: one LMDB file a split, each value in safetensors with a checksum in front.

A store is a folder that holds

| file | what |
|---|---|
| `data.mdb` | LMDB: slot (8 bytes, big-endian) → value |
| `manifest.json` | what the values were prepared from, how many there are, and how large `data.mdb` is |

A value is the xxh3 checksum (8 bytes, little-endian) of what follows: tensors by name in the safetensors format. A folder of this
name is complete: it gets its name when it is (`eventzoo.data.preparing`).

Source: https://github.com/huggingface/safetensors ("Format"); LMDB's documentation.
"""

import json
import warnings
from collections.abc import Mapping
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import lmdb
import torch
import xxhash
from safetensors.torch import save
from torch import Tensor

from eventzoo.errors import EventZooError

VERSION = 1  # of the layout
MANIFEST = "manifest.json"
DATA = "data.mdb"
_CHECKSUM_BYTES = 8
_SMALL = 1 << 14  # bytes: what is smaller is copied, for LMDB aligns only what fills pages of its own
_DTYPES = {
    "BOOL": torch.bool, "U8": torch.uint8, "I8": torch.int8, "I16": torch.int16, "I32": torch.int32, "I64": torch.int64,
    "F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32, "F64": torch.float64,
}  # fmt: skip


def slot_key(slot: int) -> bytes:
    """The LMDB key of a slot."""
    return slot.to_bytes(8, "big")


def encoded(tensors: Mapping[str, Tensor]) -> bytes:
    """The value of some tensors.

    Raises:
        EventZooError: A tensor's dtype is one that a store cannot keep.
    """
    for name, tensor in tensors.items():
        if tensor.dtype not in _DTYPES.values():
            raise EventZooError(f"a store cannot keep tensor {name!r} of type {tensor.dtype}; it keeps real numbers and bool")
    content = save({name: tensor.contiguous() for name, tensor in tensors.items()})
    return xxhash.xxh3_64_intdigest(content).to_bytes(_CHECKSUM_BYTES, "little") + content


def is_intact(value: Any) -> bool:
    """Whether a value is there, and its checksum is right."""
    if value is None or len(value) <= _CHECKSUM_BYTES:
        return False
    return xxhash.xxh3_64_intdigest(value[_CHECKSUM_BYTES:]) == int.from_bytes(value[:_CHECKSUM_BYTES], "little")


def _decoded(value: memoryview) -> dict[str, Tensor]:
    """The tensors of an intact value, as views of it. safetensors' own reader would copy them twice."""
    buffer = bytearray(value) if len(value) < _SMALL else value
    head = _CHECKSUM_BYTES + 8
    start = head + int.from_bytes(buffer[_CHECKSUM_BYTES:head], "little")
    tensors = {}
    for name, entry in json.loads(bytes(buffer[head:start])).items():
        shape, dtype = entry["shape"], _DTYPES[entry["dtype"]]
        if count := prod(shape):
            flat = torch.frombuffer(buffer, dtype=dtype, count=count, offset=start + entry["data_offsets"][0])
            tensors[name] = flat.view(shape)
        else:
            tensors[name] = torch.empty(shape, dtype=dtype)
    return tensors


class Store:
    """The prepared samples of one split.

    Args:
        folder: The store's folder.

    Raises:
        EventZooError: The folder is no store, of another version, or its data file is not as long as it was written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = read_manifest(folder)
        found = (folder / DATA).stat().st_size if (folder / DATA).is_file() else 0
        if found != self.manifest["bytes"]:  # LMDB would crash on a truncated file
            raise EventZooError(
                f"{folder / DATA} has {found:,} bytes instead of {self.manifest['bytes']:,}; delete the folder and prepare it again"
            )
        self._path = str(folder / DATA)
        self._inode = (folder / DATA).stat().st_ino
        self._checked: set[int] = set()  # slots that were intact: one check a process is enough

    def __len__(self) -> int:
        return int(self.manifest["slots"])

    def read(self, slot: int) -> dict[str, Tensor]:
        """The tensors of a slot. They are views of the file: changing them in place would crash the process.

        Raises:
            EventZooError: The value is damaged.
        """
        value: Any = _transaction(self._path, self._inode).get(slot_key(slot))
        if slot not in self._checked and not is_intact(value):
            raise EventZooError(
                f"{self.folder}: the prepared sample in slot {slot:,} is damaged; `eventzoo data verify` finds all that are, "
                "`eventzoo prepare --repair` builds them anew"
            )
        self._checked.add(slot)
        return _decoded(value)


@cache  # LMDB allows one environment a file and process; it stays open, and forked workers use it too, as tensors view its memory
def _transaction(path: str, inode: int) -> lmdb.Transaction:  # noqa: ARG001  # the inode: a store that was prepared again is another file
    with warnings.catch_warnings(action="ignore"):  # torch says once a process that a view of a file is not writable
        torch.frombuffer(b"\0", dtype=torch.uint8)
    return lmdb.open(path, subdir=False, readonly=True, lock=False).begin(buffers=True)


def damaged_slots(store: Store) -> list[int]:
    """The slots of a store whose values are damaged; reads all of it.

    Raises:
        EventZooError: The damage is to LMDB's own pages.
    """
    try:
        environment = lmdb.open(str(store.folder / DATA), subdir=False, readonly=True, lock=False)
        with environment, environment.begin(buffers=True) as transaction:
            return [slot for slot in range(len(store)) if not is_intact(transaction.get(slot_key(slot)))]
    except lmdb.Error as error:
        raise EventZooError(f"{store.folder / DATA}: {error}; delete the folder and prepare it again") from error


def read_manifest(folder: Path) -> dict[str, Any]:
    """What a store's folder says of itself.

    Raises:
        EventZooError: It has no readable manifest, or one of another version.
    """
    path = folder / MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        version = manifest["version"]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise EventZooError(f"{path} cannot be read ({error}); delete the folder and prepare it again") from error
    if version != VERSION:
        raise EventZooError(f"{path} is of version {version}, this eventzoo reads {VERSION}; delete the folder and prepare it again")
    return manifest
