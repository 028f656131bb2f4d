import struct
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest
from hypothesis import strategies as st

from eventzoo.events import Events, concatenate


@pytest.fixture(scope="session")
def new_path(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A path that does not exist yet, of a suffix. For the whole session, as hypothesis wants it."""
    folder, numbers = tmp_path_factory.mktemp("io"), count()
    return lambda suffix: folder / f"{next(numbers)}{suffix}"


@pytest.fixture
def peak_memory() -> Callable[[Callable[[], object]], int]:
    """Runs a function and gives the most bytes that it held."""

    def measured(function: Callable[[], object]) -> int:
        tracemalloc.start()
        try:
            function()
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    return measured


@pytest.fixture(params=[1, 3, 7, 1 << 16])
def block_events(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Runs a test with small blocks too, so that every state has to survive from block to block."""
    monkeypatch.setattr("eventzoo.io.recording.BLOCK_EVENTS", request.param)
    return request.param


@st.composite
def _recordings(draw: st.DrawFn, largest: int, last_us: int, first_us: int, least: int, without_y: int | None) -> Events:
    pixel = st.integers(0, largest)
    row = pixel.filter(lambda y: y != without_y)
    event = st.tuples(pixel, row, st.integers(first_us, last_us), st.booleans())
    events = sorted(draw(st.lists(event, min_size=least, max_size=40)), key=lambda event: event[2])
    x, y, t, p = zip(*events, strict=True) if events else ((), (), (), ())
    size = max(x, default=0) + draw(st.integers(1, 9)), max(y, default=0) + draw(st.integers(1, 9))
    return Events(list(x), list(y), list(t), list(p), (min(size[0], 32768), min(size[1], 32768)))


@dataclass(frozen=True)
class Case:
    """What the tests that run over every encoding must know of one.

    Attributes:
        suffix: Of its files.
        recordings: Those that it can hold.
        keeps_size: Whether a file tells the sensor size.
        beginnings: Of its files, for random bytes to follow.
        record_bytes: Of each event at the file's end, if events are records of one size, so that fewer of them are a valid file.
        header_lines: Before the lines of a text, if each event is a line, so that fewer of them are a valid file.
        shorter: Of the other formats, gives the lengths at which a truncated file is a file of fewer events, with their numbers.
        step: Where opening a file takes long: only every so many broken ones are tried.
    """

    suffix: str
    recordings: st.SearchStrategy[Events]
    keeps_size: bool
    beginnings: tuple[bytes, ...]
    record_bytes: int | None = None
    header_lines: int | None = None
    shorter: Callable[[bytes], dict[int, int]] = lambda raw: {}
    step: int = 1


_POLARITY_PACKET = b"#!AER-DAT3.1\r\n#!END-HEADER\r\n" + struct.pack("<hhiiiiii", 1, 0, 8, 4, 0, 2, 2, 2)


def _ends_of_words(size: int, event_types: set[int]) -> Callable[[bytes], dict[int, int]]:
    """Of a `.raw` file, which may end behind each line of its header, and each word that is no event or one."""

    def ends(raw: bytes) -> dict[int, int]:
        start = raw.index(b"% end\n") + 6
        lines = {at + 1: 0 for at in range(start) if raw[at : at + 1] == b"\n"}
        types = [raw[end - 1] >> 4 for end in range(start + size, len(raw) + 1, size)]
        return lines | {start + size * number: sum(kind in event_types for kind in types[:number]) for number in range(len(types))}

    return ends


def _ends_of_es_events(raw: bytes) -> dict[int, int]:
    ends, at = {20: 0}, 20
    while at < len(raw):
        overflow = raw[at] == 0xFF
        ends[at + (1 if overflow else 5)] = ends[at] + (not overflow)
        at += 1 if overflow else 5
    del ends[len(raw)]
    return ends


CASES = {
    "bin": Case(
        suffix=".bin",
        recordings=_recordings(largest=255, last_us=2**23 - 1, first_us=0, least=1, without_y=240),
        keeps_size=False,
        beginnings=(b"",),
        record_bytes=5,
    ),
    "dat": Case(
        suffix=".dat",
        recordings=_recordings(largest=2**14 - 1, last_us=2**32 - 1, first_us=0, least=0, without_y=None),
        keeps_size=True,
        beginnings=(b"", b"%", b"% Width 9\n% Height 9\n\x0c\x08", b"\x00\x08"),
        record_bytes=8,
    ),
    "npz": Case(
        suffix=".npz",
        recordings=_recordings(largest=2**15 - 1, last_us=2**63 - 1, first_us=-(2**63), least=0, without_y=None),
        keeps_size=True,
        beginnings=(b"", b"PK\x03\x04", b"PK\x05\x06"),
    ),
    "aedat2": Case(
        suffix=".aedat",
        recordings=_recordings(largest=170, last_us=2**31 - 1, first_us=0, least=0, without_y=None),
        keeps_size=True,
        beginnings=(
            b"",
            b"#!AER-DAT2.0\r\n",
            b"#!AER-DAT2.0\r\n# AEChip: DAVIS240C\r\n#End Of ASCII Header\r\n",
            b"#!AER-DAT2.0\r\n# sensor size: ",
        ),
        record_bytes=8,
    ),
    "aedat3": Case(
        suffix=".aedat",
        recordings=_recordings(largest=2**15 - 1, last_us=2**62 - 1, first_us=0, least=0, without_y=None),
        keeps_size=True,
        beginnings=(b"", b"#!AER-DAT3.1\r\n", b"#!AER-DAT3.1\r\n#!END-HEADER\r\n", _POLARITY_PACKET),
    ),
    "aedat4": Case(
        suffix=".aedat4",
        recordings=_recordings(largest=2**15 - 1, last_us=2**63 - 1, first_us=-(2**63), least=0, without_y=None),
        keeps_size=True,
        beginnings=(b"", b"#!AER-DAT4.0\r\n", b"#!AER-DAT4.0\r\n\x40\0\0\0\x18\0\0\0IOHE"),
    ),
    "uzh": Case(
        suffix=".txt",
        recordings=_recordings(largest=2**15 - 1, last_us=2**63 - 1, first_us=-(2**63), least=1, without_y=None),
        keeps_size=False,
        beginnings=(b"", b"0.5 1 2 0\n0.5", b"0.5 3 "),
        header_lines=0,
    ),
    "xytp": Case(
        suffix=".txt",
        recordings=_recordings(largest=2**15 - 1, last_us=2**63 - 1, first_us=-(2**63), least=1, without_y=None),
        keeps_size=False,
        beginnings=(b"", b"1 2 3 0\n", b"1 2 "),
        header_lines=0,
    ),
    "csv": Case(
        suffix=".csv",
        recordings=_recordings(largest=2**15 - 1, last_us=2**63 - 1, first_us=-(2**63), least=0, without_y=None),
        keeps_size=True,
        beginnings=(b"", b"x,y,t,p\n1,2,3,0\n", b"%geometry:9,9\n1,2,0,3\n"),
        header_lines=2,
    ),
    "mat": Case(
        suffix=".mat",
        recordings=_recordings(largest=2**15 - 1, last_us=2**63 - 1, first_us=-(2**63), least=0, without_y=None),
        keeps_size=False,
        beginnings=tuple(bytes(124) + start for start in (b"", b"\0\1IM", b"\1\0MI\0\0\0", b"\0\1IM\x0e\0\0\0\x28\0\0\0")),
    ),
    "hdf5": Case(
        suffix=".h5",
        recordings=_recordings(largest=2**15 - 1, last_us=2**40 + 10**7, first_us=2**40, least=0, without_y=None),
        keeps_size=True,
        beginnings=(b"", b"\x89HDF\r\n\x1a\n", b"\x89HDF\r\n\x1a\n\0\0\0\0\0\x08\x08\0", b"\x89HDF\r\n\x1a\n\2\x08\x08\0"),
        step=20,
    ),
    "evt3": Case(
        suffix=".raw",
        recordings=_recordings(largest=2**11 - 1, last_us=2**34 - 1, first_us=0, least=0, without_y=None),
        keeps_size=True,
        beginnings=(b"", b"% evt 3.0\n", b"% evt 3.0\n% geometry 9x9\n% end\n"),
        shorter=_ends_of_words(2, {2}),
    ),
    "evt2": Case(
        suffix=".raw",
        recordings=_recordings(largest=2**11 - 1, last_us=2**34 - 1, first_us=0, least=0, without_y=None),
        keeps_size=True,
        beginnings=(b"", b"% evt 2.0\n", b"% evt 2.0\n% geometry 9x9\n% end\n"),
        shorter=_ends_of_words(4, {0, 1}),
    ),
    "evt21": Case(
        suffix=".raw",
        recordings=_recordings(largest=2**11 - 1, last_us=2**34 - 1, first_us=0, least=0, without_y=None),
        keeps_size=True,
        beginnings=(b"", b"% evt 2.1\n", b"% evt 2.1\n% geometry 9x9\n% end\n"),
        shorter=_ends_of_words(8, {0, 1}),
    ),
    "es": Case(
        suffix=".es",
        recordings=_recordings(largest=2**15 - 1, last_us=2**18, first_us=0, least=0, without_y=None),
        keeps_size=True,
        beginnings=(b"", b"Event Stream\x02\0\0\x01\x09\0\x09\0", b"Event Stream\x02\0\0\x01\x09\0\x09\0\xff\xfe\x02\0\0\0\0"),
        shorter=_ends_of_es_events,
    ),
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes `encoding` for every one."""
    if "encoding" in metafunc.fixturenames:
        metafunc.parametrize("encoding", CASES, scope="session")


@pytest.fixture(scope="session")
def cases() -> dict[str, Case]:
    """All of them."""
    return CASES


@pytest.fixture(scope="session")
def case(encoding: str) -> Case:
    """The case of the encoding that the test runs for."""
    return CASES[encoding]


@pytest.fixture(scope="session")
def joined() -> Callable[[list[Events], tuple[int, int]], Events]:
    """Joins windows, of which there may be none."""
    return lambda windows, size: concatenate(windows) if windows else Events.empty(size)
