"""What is drawn of event streams, from batches that are made by hand."""

from itertools import pairwise

import numpy as np
import pytest
import torch

pytest.importorskip("matplotlib")

from PIL import Image

from eventzoo.events import Events
from eventzoo.nn.event_stream import StreamBatch, StreamEdges, StreamLevel
from eventzoo.plots.streams import Neighbourhood, animate_streams, draw_neighbourhoods, draw_streams, neighbourhood_of, streams_of

KINDS = ("strided", "inplace", "pointwise")
RECORDING = Events([0, 4, 4, 2], [0, 2, 2, 1], [50, 60, 250, 449], [True, False, True, True], (5, 3))
MIDDLE, LIGHTER = np.array([114, 25, 140]), 255


def edges(*of_each):
    """Edges of the events in turn: source and age."""
    pairs = [pair for pairs in of_each for pair in pairs]
    source, age = (torch.tensor([pair[i] for pair in pairs], dtype=dtype) for i, dtype in ((0, torch.int32), (1, torch.float32)))
    start = torch.tensor([0, *np.cumsum([len(pairs) for pairs in of_each])])
    return StreamEdges(start, source, torch.zeros(len(pairs), dtype=torch.uint8), age)


def level(t, x, y, strided, inplace, pointwise):
    t, x, y = torch.tensor(t, dtype=torch.int64), torch.tensor(x, dtype=torch.int16), torch.tensor(y, dtype=torch.int16)
    return StreamLevel(t, x, y, torch.zeros_like(t), edges(*strided), edges(*inplace), edges(*pointwise))


@pytest.fixture
def batch():
    """A recording of four events, with two of them at level 1 and none at level 2."""
    first = level(
        [10, 200], [2, 2], [1, 1], [[(1, 0.0)], [(1, 2.0), (2, 0.0)]], [[(0, 0.0)], [(0, 1.0), (1, 0.0)]], [[(0, 0.0)], [(1, 0.0)]]
    )
    return StreamBatch(torch.from_numpy(RECORDING.p.copy()), (first, level([], [], [], [], [], [])), torch.tensor([399]))


def random_neighbourhood(outputs, inputs, edges, level=1, kind="strided"):
    rng = np.random.default_rng(outputs)
    row = np.sort(rng.integers(0, outputs, edges))
    return Neighbourhood(level, kind, inputs, outputs, row, row * inputs // outputs, np.exp(-rng.uniform(0, 4, edges)))


def drawn(axis):
    return axis.images[0].get_array()


def extents(texts):
    return [text.get_window_extent() for text in texts]


def test_streams_are_events_of_smaller_grids_that_begin_at_zero(batch):
    streams = streams_of(RECORDING, batch)
    assert [stream.sensor_size for stream in streams] == [(5, 3), (3, 2), (2, 1)]
    assert [stream.t.tolist() for stream in streams] == [[0, 10, 200, 399], [10, 200], []]
    assert (streams[1].x.tolist(), streams[1].y.tolist()) == ([2, 2], [1, 1])


def test_neighbourhoods_are_the_edges(batch):
    found = neighbourhood_of(batch, 1, "strided")
    assert (found.inputs, found.outputs, found.row.tolist(), found.column.tolist()) == (4, 2, [0, 1, 1], [1, 1, 2])
    np.testing.assert_allclose(found.weight, np.exp([0, -2, 0]))
    assert (found.per_event, found.filled) == (1.5, 3 / 8)
    found = neighbourhood_of(batch, 1, "inplace")
    assert (found.inputs, found.outputs, found.row.tolist(), found.column.tolist()) == (2, 2, [0, 1, 1], [0, 0, 1])
    found = neighbourhood_of(batch, 2, "strided")
    assert (found.inputs, found.outputs, found.per_event, found.filled) == (2, 0, 0, 0)


def test_streams_are_drawn_upright_with_numbers_that_add_up(batch):
    figure = draw_streams(streams_of(RECORDING, batch), "a title", rows=2)
    axes = np.array(figure.axes).reshape(2, 3)
    titles = [axis.get_title() for axis in axes[0]]
    assert titles == ["recording\n5×3, 4 events", "level 1\n3×2, 2 events", "level 2\n2×1, 0 events"]
    assert [[axis.get_xlabel() for axis in row] for row in axes] == [["2 events", "1 event", "0 events"]] * 2
    assert [row[0].get_ylabel() for row in axes] == ["0.000 to 0.200 ms", "0.200 to 0.400 ms"]
    early, late = drawn(axes[0, 0]), drawn(axes[1, 0])
    assert early.shape == (3, 5, 3)
    assert early[0, 0, 0] > early[0, 0, 2], "ON at the top left is red"
    assert early[2, 4, 2] > early[2, 4, 0], "OFF at the bottom right is blue"
    assert (late[0, 0] == 255).all()
    assert late[1, 2, 0] > late[1, 2, 2]
    assert (drawn(axes[0, 1])[1, 2] == MIDDLE).all()
    assert (drawn(axes[0, 1]) == 255).sum() == 5 * 3
    assert (drawn(axes[1, 2]) == 255).all()
    for axis in figure.axes:
        assert axis.get_aspect() == 1


@pytest.mark.parametrize("sensor_size", [(5, 3), (1280, 240)])
def test_titles_and_counts_do_not_overlap(batch, sensor_size):
    recording = Events(RECORDING.x, RECORDING.y, RECORDING.t, RECORDING.p, sensor_size)
    figure = draw_streams(streams_of(recording, batch), "a title", rows=2)
    figure.draw_without_rendering()
    axes = np.array(figure.axes).reshape(2, 3)
    titles = extents(axis.title for axis in axes[0])
    assert all(left.x1 < right.x0 for left, right in pairwise(titles))
    upper, lower = extents(axis.xaxis.label for axis in axes[:, 0])
    assert upper.y0 > axes[1, 0].get_window_extent().y1
    assert lower.y0 >= 0
    assert extents(figure.texts)[0].y0 > titles[0].y1


def test_a_gif_has_the_frames_that_it_is_asked_for(batch, tmp_path):
    path = animate_streams(streams_of(RECORDING, batch), "a title", tmp_path / "a.gif", frames=4, fps=5)
    with Image.open(path) as gif:
        assert (gif.format, gif.n_frames, gif.info["loop"]) == ("GIF", 4, 0)
        frames = []
        for number in range(4):
            gif.seek(number)
            assert gif.info["duration"] == 200
            frames.append(np.asarray(gif.convert("RGB")).astype(int))
    level_1 = [(np.abs(frame - MIDDLE).max(-1) < 12).sum() for frame in frames]
    assert level_1[0] == level_1[2] > 1000, "its events are at 10 and 200 of 400 µs"
    assert level_1[1] == level_1[3] == 0


def test_a_matrix_shows_each_edge_with_its_weight(batch):
    figure = draw_neighbourhoods([[neighbourhood_of(batch, 1, kind) for kind in KINDS]], "a title", longest=4)
    matrix = drawn(figure.axes[0])
    assert matrix.mask.tolist() == [[True, False, True, True], [True, False, False, True]]
    np.testing.assert_allclose(matrix.compressed(), np.exp([0, -2, 0]))
    assert figure.axes[0].get_title() == "level 1, strided: 3×3 pixels below\n3 edges, 37.50% of all pairs"
    assert [axis.get_xlabel() for axis in figure.axes[:3]] == [
        f"event of {of} that it looks at" for of in ("the recording", *["level 1"] * 2)
    ]
    bars = figure.axes[3].patches
    assert bars[0].get_x() == pytest.approx(np.exp(-4))
    assert bars[-1].get_x() + bars[-1].get_width() == pytest.approx(1)
    assert sum(bar.get_height() for bar in bars) == 3


def test_an_edge_of_no_weight_is_an_edge():
    found = Neighbourhood(1, "strided", 2, 1, np.array([0]), np.array([1]), np.array([0.0]))
    figure = draw_neighbourhoods([[found]], "a title", longest=None)
    assert drawn(figure.axes[0]).mask.tolist() == [[True, False]]
    assert figure.axes[1].patches[0].get_height() == 1
    assert figure.axes[1].get_legend() is None, "there is no window"


def test_a_large_matrix_is_binned_and_shown_close_up():
    found = random_neighbourhood(3_000, 50_000, 30_000)
    figure = draw_neighbourhoods([[found]], "a title", longest=4)
    whole = drawn(figure.axes[0])
    assert whole.shape == (200, 200)
    for row, column in ((0, 0), (100, 100), (199, 199)):
        inside = (found.row * 200 // 3_000 == row) & (found.column * 200 // 50_000 == column)
        assert whole[row, column] == found.weight[inside].max()
    (close,) = figure.axes[0].child_axes
    assert close.get_title() == "rows 1,480 to 1,519"
    assert drawn(close).count() == len(np.unique(found.row[(found.row >= 1_480) & (found.row < 1_520)]))
    assert not draw_neighbourhoods([[random_neighbourhood(100, 400, 500)]], "a title", longest=4).axes[0].child_axes


def test_neighbourhoods_without_events_say_so(batch):
    figure = draw_neighbourhoods([[neighbourhood_of(batch, at, kind) for kind in KINDS] for at in (1, 2)], "a title", longest=4)
    assert [text.get_text() for axis in figure.axes[6:9] for text in axis.texts] == ["no events"] * 3
    assert not any(axis.axison for axis in figure.axes[9:12])
    lonely = Neighbourhood(1, "strided", 1, 2, np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    assert draw_neighbourhoods([[lonely]], "a title", longest=4).axes[0].texts[0].get_text() == "no edges"


@pytest.mark.slow  # the layout of six panels takes seconds
@pytest.mark.parametrize("columns", [1, 3])
def test_texts_of_matrices_do_not_overlap(columns):
    rows = [[random_neighbourhood(99_999, 999_999, 5_000, at, kind) for kind in KINDS[:columns]] for at in (1, 2)]
    figure = draw_neighbourhoods(rows, "Which events look at which in recording.dat", longest=4)
    figure.draw_without_rendering()
    titles = extents(axis.title for axis in figure.axes[:columns])
    assert all(left.x1 < right.x0 for left, right in pairwise(titles))
    (head,) = extents(figure.texts)
    assert head.y0 >= max(box.y1 for box in titles) - 1
    assert 0 <= head.x0 < head.x1 <= figure.bbox.width
