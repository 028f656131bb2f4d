"""Streams and edges of N-MNIST recordings, exactly as ECN's own kernels made them."""

import numpy as np
import pytest

import eventzoo
from eventzoo.events import Events


@pytest.fixture(scope="module")
def answers(fixtures):
    with np.load(fixtures / "ecn_streams_nmnist.npz") as file:
        return dict(file)


def test_streams_and_edges(answers):
    recordings = sorted({name.split(".")[0] for name in answers})
    assert recordings
    for recording in recordings:
        known = {name.removeprefix(f"{recording}."): values for name, values in answers.items() if name.startswith(f"{recording}.")}
        x, y = np.divmod(known["coord"], 34)
        streams = eventzoo.representations.EventStream(levels=3)(Events(x, y, known["t"], known["p"], (34, 34)))
        assert len(streams.levels) == 3
        for number, height in ((1, 17), (2, 9), (3, 5)):
            level, expected = streams.levels[number - 1], f"level{number}."
            assert len(level.t) > 0
            assert np.array_equal(level.t, known[expected + "t"])
            assert np.array_equal(level.x.int() * height + level.y, known[expected + "coord"])
            for kind in ("strided", "inplace", "pointwise"):
                edges = getattr(level, kind)
                assert np.array_equal(edges.start, known[f"{expected}{kind}.row_splits"])
                assert np.array_equal(edges.source, known[f"{expected}{kind}.source"])
                cells = known.get(f"{expected}{kind}.partition", np.zeros(len(edges.source)))
                assert np.array_equal(edges.cell, cells)
