import tracemalloc
from collections.abc import Callable, Iterator
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


@pytest.fixture(scope="session")
def recordings() -> dict[str, st.SearchStrategy[Events]]:
    """By suffix: the recordings that this format can hold."""
    return {
        ".bin": _recordings(largest=255, last_us=2**23 - 1, first_us=0, least=1, without_y=240),
        ".dat": _recordings(largest=2**14 - 1, last_us=2**32 - 1, first_us=0, least=0, without_y=None),
        ".npz": _recordings(largest=2**15 - 1, last_us=2**63 - 1, first_us=-(2**63), least=0, without_y=None),
    }


@pytest.fixture(scope="session")
def joined() -> Callable[[list[Events], tuple[int, int]], Events]:
    """Joins windows, of which there may be none."""
    return lambda windows, size: concatenate(windows) if windows else Events.empty(size)
