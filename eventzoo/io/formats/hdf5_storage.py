"""What lies in an HDF5 file, and whether it is safe to read.

libhdf5 trusts its files more than it should: where a chunk has, or inflates to, other bytes than the dataset's shape promises, it goes
beyond the end of its memory; what was never stored, it reads as zeros; for a text it takes as much memory as is
claimed, and in a broken heap of texts it goes round for ever; links and virtual datasets lead it to other files. Therefore each dataset
is checked when it is opened, each chunk before it is read, and texts are read past it.

Source: "HDF5 File Format Specification" for filters, their masks and the global heap; "Blosc Chunk Format" for the header of a Blosc chunk.
"""

import zlib
from io import FileIO
from pathlib import Path
from struct import Struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eventzoo.errors import EventFileError

_DEFLATE, _SHUFFLE, _FLETCHER32, _BLOSC, _ECF = 1, 2, 3, 32001, 0x8ECF
_COMPRESSORS = (_DEFLATE, _BLOSC, _ECF)
_FLETCHER32_BYTES = 4
_BLOSC_HEADER = np.dtype([("versions", "<u4"), ("bytes", "<u4"), ("block", "<u4"), ("compressed", "<u4")])
_HEAP, _HEAP_HEADER_BYTES, _LARGEST_HEAP = b"GCOL", 16, 1 << 16  # bytes
_HEAP_OBJECT = Struct("<HHIQ")  # its number, references, nothing, its length
_HEAP_ID = Struct("<IQI")  # length of a text, byte of its heap, number in it
_MESSAGE_BYTES = 96  # of an attribute behind its name, at most
_LONGEST_TEXT = 64
_LARGEST_CHUNK = 1 << 26  # bytes; usual ones have one or two million
_LARGEST_RATIO = 1 << 14  # of a chunk's bytes to its compressed ones; more is made up


class Column:
    """A dataset of one dimension, whole and in the file itself.

    Args:
        h5py: The module.
        path: The file.
        file: It, opened by h5py.
        name: The dataset's.

    Raises:
        EventFileError: There is no such dataset, or its data are missing, elsewhere, or compressed by an unknown filter.
    """

    def __init__(self, h5py: Any, path: Path, file: Any, name: str) -> None:
        self._path, self.name = path, name
        dataset = own_dataset(h5py, path, file, name)
        if dataset is None:
            raise EventFileError(path, f"has no dataset {name}; events need x, y, t and p")
        if dataset.shape is None or len(dataset.shape) != 1:
            raise EventFileError(path, f"{name} is of shape {dataset.shape}; a column of events has one dimension")
        self._filters = _filters(h5py, path, name, dataset)
        self._check_storage(dataset)
        self._chunk = dataset.chunks[0] if dataset.chunks else 0
        if self._chunk:
            access = h5py.h5p.create(h5py.h5p.DATASET_ACCESS)
            access.set_chunk_cache(521, 2 * self._chunk * dataset.dtype.itemsize, 1.0)  # so that a chunk is inflated once
            dataset = h5py.Dataset(h5py.h5d.open(file.id, name.encode(), access))
        self._dataset = dataset
        self.dtype: np.dtype[Any] = dataset.dtype
        self._checked = -1  # the last chunk that was

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, part: slice) -> NDArray[Any]:
        if self._chunk:
            for number in range(part.start // self._chunk, -(-part.stop // self._chunk)):
                if number != self._checked:
                    self._check_chunk(number)
                    self._checked = number
        values: NDArray[Any] = self._dataset[part]
        return values

    def _check_storage(self, dataset: Any) -> None:
        """Refuse a dataset whose size is only claimed."""
        size, stored = len(dataset) * dataset.dtype.itemsize, dataset.id.get_storage_size()
        if dataset.chunks:
            chunk = dataset.chunks[0] * dataset.dtype.itemsize
            if chunk > _LARGEST_CHUNK:
                raise EventFileError(self._path, f"{self.name} has chunks of {chunk:,} bytes; store it again with smaller ones")
            missing = -(-len(dataset) // dataset.chunks[0]) - dataset.id.get_num_chunks()
            if missing > 0:
                raise EventFileError(self._path, f"truncated: {missing:,} chunks of {self.name} are missing; copy or download it again")
        most = stored * (_LARGEST_RATIO if dataset.chunks else 1)
        if size > most or stored > self._path.stat().st_size:
            raise EventFileError(self._path, f"{self.name} promises {size:,} bytes, but holds at most {most:,}: truncated or broken")

    def _check_chunk(self, number: int) -> None:
        """Refuse a chunk that does not become as many bytes as it should."""
        where = number * self._chunk
        stored = self._dataset.id.get_chunk_info_by_coord((where,))
        with self._path.open("rb") as file:  # HDF5 would read a chunk into a buffer of another size
            file.seek(stored.byte_offset or 0)
            data = file.read(min(stored.size, self._path.stat().st_size))
        size = self._chunk * self.dtype.itemsize
        active = [code for index, code in enumerate(self._filters) if not stored.filter_mask >> index & 1]
        if not stored.size or len(data) != stored.size or not _becomes(data, active, size):
            raise EventFileError(self._path, f"the values of {self.name} from {where:,} on do not become {size:,} bytes: broken")


def own_dataset(h5py: Any, path: Path, file: Any, name: str) -> Any:
    """The dataset of a name, None if there is none.

    Raises:
        EventFileError: It lies in another file, or a link leads there.
    """
    found = file
    for part in name.split("/"):
        link = found.get(part, getlink=True) if isinstance(found, h5py.Group) else None
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            raise EventFileError(path, f"{name} is a link to elsewhere; only what lies in the file itself is read")
        found = found[part]
    if not isinstance(found, h5py.Dataset):
        return None
    if found.is_virtual or found.external:
        raise EventFileError(path, f"the data of {name} lie in other files, which are not read")
    return found


def _filters(h5py: Any, path: Path, name: str, dataset: Any) -> list[int]:
    """The codes of a dataset's filters, in the order in which they were applied."""
    creation = dataset.id.get_create_plist()
    pipeline = [creation.get_filter(index) for index in range(creation.get_nfilters())]
    filters = [code for code, _, _, _ in pipeline]
    if _ECF in filters and not h5py.h5z.filter_avail(_ECF):
        reason = "is compressed with Prophesee's ECF: install its HDF5 plugin (github.com/prophesee-ai/hdf5_ecf) and set HDF5_PLUGIN_PATH"
        raise EventFileError(path, f"{name} {reason}, or convert the file with the Metavision SDK")
    known = all(code in (*_COMPRESSORS, _SHUFFLE, _FLETCHER32) for code in filters)
    if not known or sum(code in _COMPRESSORS for code in filters) > 1 or _FLETCHER32 in filters[:-1]:
        reason = "read are gzip or Blosc, shuffled or not, with checksums or not"
        raise EventFileError(path, f"{name} is stored with the filters {filters}; {reason}: compress it again, with gzip")
    item = dataset.dtype.itemsize
    for code, _, parameters, _ in pipeline:  # which the filters believe
        chunk_is_right = code != _BLOSC or (len(parameters) >= 4 and parameters[3] == dataset.chunks[0] * item)
        if not chunk_is_right or (code == _SHUFFLE and parameters != (item,)):
            raise EventFileError(path, f"the parameters {parameters} of the filter {code} of {name} do not fit its values: broken")
    return filters


def _becomes(data: bytes, filters: list[int], size: int) -> bool:
    """Whether a chunk has a size when its filters are undone. Of Prophesee's, only its plugin knows."""
    stored = len(data) - (_FLETCHER32_BYTES if _FLETCHER32 in filters else 0)
    if _BLOSC in filters:
        header = np.frombuffer(data[:16].ljust(16, b"\0"), _BLOSC_HEADER)[0]
        return bool(header["bytes"] == size and header["compressed"] == stored)
    if _DEFLATE in filters:
        inflate = zlib.decompressobj()
        try:
            return len(inflate.decompress(data[:stored], size + 1)) == size and inflate.eof
        except zlib.error:
            return False
    return stored == size or _ECF in filters


def text_attribute(h5py: Any, path: Path, name: str) -> str | None:
    """A short text among the root's attributes; None if there is none.

    Raises:
        EventFileError: It is no text, or its heap is broken.
    """
    with _WatchedFile(path, name.encode() + b"\0") as file, h5py.File(file, "r") as whole:
        if name not in whole.attrs:
            return None
        attribute = whole.attrs.get_id(name)
        kind = h5py.check_string_dtype(attribute.dtype)
        if attribute.shape != () or kind is None or (kind.length or 0) > _LONGEST_TEXT:
            raise EventFileError(path, f"the attribute {name} is no short text")
        text = file.text_in_heap() if kind.length is None else whole.attrs[name]
    if text is None:
        raise EventFileError(path, f"the text of the attribute {name} is not where it should be: broken")
    return text.decode("latin-1") if isinstance(text, bytes) else str(text)


class _WatchedFile(FileIO):
    """A file in which libhdf5 finds an attribute of a text of any length, which it would trust for the text's length and its heap.

    The attribute's message is its name, type, shape and then length, heap and number of the text; the name is looked for in what
    libhdf5 reads, and these three within a few bytes behind it.
    """

    def __init__(self, path: Path, name: bytes) -> None:
        super().__init__(path)
        self._name = name
        self._messages: list[bytes] = []

    def readinto(self, buffer: Any) -> int:
        """Read on, as `FileIO.readinto` does."""
        found = super().readinto(buffer) or 0
        data = bytes(buffer[:found])
        at = data.find(self._name)
        if at >= 0:
            self._messages.append(data[at + len(self._name) : at + len(self._name) + _MESSAGE_BYTES])
        return found

    def text_in_heap(self) -> bytes | None:
        """The text, None if it is not found."""
        for message in self._messages:
            for at in range(len(message) - _HEAP_ID.size + 1):
                length, heap, number = _HEAP_ID.unpack_from(message, at)
                if 0 < length <= _LONGEST_TEXT and (text := self._object(heap, number)) and len(text) == length:
                    return text
        return None

    def _object(self, heap: int, number: int) -> bytes | None:
        """An object of the global heap at a byte of the file; None if there is no such heap, or no such object in it."""
        if heap >= self.seek(0, 2):
            return None
        self.seek(heap)
        header = self.read(_HEAP_HEADER_BYTES)
        data = self.read(_LARGEST_HEAP) if header.startswith(_HEAP) else b""
        at = 0
        while at + _HEAP_OBJECT.size <= len(data):
            index, _, _, length = _HEAP_OBJECT.unpack_from(data, at)
            at += _HEAP_OBJECT.size
            if index == 0:  # the free space, which is last
                return None
            if index == number:
                return data[at : at + length]
            at += length + -length % 8
        return None
