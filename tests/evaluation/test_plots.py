"""What is drawn where: pictures are rendered and looked at pixel by pixel."""

from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb

from eventzoo.data.dataset import Sample
from eventzoo.events import Events
from eventzoo.plots import draw_by_events, draw_confusion, draw_precision_recall, draw_samples, event_image

CLASSES = ("circle", "square", "triangle")
GREEN = np.array(to_rgb("#009E73")) * 255


def rendered(figure):
    """Its pixels, uint8 `[height, width, 3]`."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].astype(int)


def pixels(figure, axis, points):
    """What a rendered picture shows at points of the data."""
    image, at = rendered(figure), axis.transData.transform(points)
    columns, rows = np.round(at).astype(int).T
    return image[image.shape[0] - 1 - rows, columns]


def near(colours, colour):
    return (np.abs(colours - colour).max(-1) < 40).tolist()


@pytest.fixture
def detected(boxes):
    """A recording without events, so that all that is not white is drawn over it."""
    return Sample(Events.empty((60, 40)), None, "test/1", boxes((10, 5, 30, 25, 0)))


def test_boxes_are_where_they_belong(detected, detections):
    found = detections((35, 10, 55, 30, 2, 0.75))
    figure = draw_samples([detected], [found], CLASSES, "held out")
    axis = figure.axes[0]
    edges = [(34.5, 20), (54.5, 20), (45, 29.5)]  # a box from column 35 on begins before the middle of that pixel
    assert near(pixels(figure, axis, edges), GREEN) == [True, True, True]
    assert near(pixels(figure, axis, [(45, 20), (20, 15), (32, 20), (57, 35)]), np.full(3, 255)) == [True] * 4  # neither box is filled
    left_edge = near(pixels(figure, axis, [(9.5, y) for y in np.linspace(6, 24, 60)]), np.zeros(3))
    assert 20 < sum(left_edge) < 55, "the right box is dashed"
    assert [text.get_text() for text in axis.texts] == ["triangle 0.75", "circle"]


def test_names_of_boxes_do_not_overlap_where_there_is_room(detected, detections):
    rows = [(5 + 9 * (i % 4), 4 + 11 * (i // 4), 14 + 9 * (i % 4), 13 + 11 * (i // 4), i % 3, 0.9 - 0.05 * i) for i in range(6)]
    figure = draw_samples([detected], [detections(*rows)], CLASSES, "held out")
    rendered(figure)
    axis = figure.axes[0]
    extents, view = [text.get_window_extent() for text in axis.texts], axis.get_window_extent()
    assert len(extents) == 7
    for number, extent in enumerate(extents):
        assert view.x0 - 1 <= extent.x0
        assert extent.x1 <= view.x1 + 1
        assert view.y0 - 1 <= extent.y0
        assert extent.y1 <= view.y1 + 1
        for other in extents[:number]:
            assert min(extent.x1, other.x1) - max(extent.x0, other.x0) < 2 or min(extent.y1, other.y1) - max(extent.y0, other.y0) < 2


def test_of_many_boxes_the_best_are_drawn(detected, detections):
    figure = draw_samples([detected], [detections(*((1, 1, 9, 9, 0, 0.99 - i / 100) for i in range(40)))], CLASSES, "held out")
    names = [text.get_text() for text in figure.axes[0].texts]
    assert names == [f"circle {0.99 - i / 100:.2f}" for i in range(20)] + ["circle"]


def test_a_wrong_answer_is_told_in_words_and_colour(make_events, answer):
    samples = [Sample(make_events(200), label, f"test/{label}") for label in (0, 1)]
    figure = draw_samples(samples, [answer(0.7, 0.2, 0.1)] * 2, CLASSES, "held out", ["note a", "note b"])
    titles = [axis.title for axis in figure.axes]
    assert [title.get_text() for title in titles] == ["note a\ncircle (70.0%)", "note b\ncircle (70.0%)\nis square"]
    assert [title.get_color() for title in titles] == ["black", "crimson"]
    assert not (rendered(figure)[200:, :200] == 255).all()


@pytest.mark.parametrize(("count", "cells"), [(1, 1), (4, 4), (7, 12), (13, 18)])
def test_a_grid_has_room_for_all_and_titles_within(make_events, answer, count, cells):
    samples = [Sample(make_events(50, seed=i), 1, f"test/{i}") for i in range(count)]
    figure = draw_samples(samples, [answer(0.7, 0.2, 0.1)] * count, CLASSES, "held out", [sample.key for sample in samples])
    height, width, _ = rendered(figure).shape
    assert len(figure.axes) == cells
    above = figure.texts[0].get_window_extent().y0
    for axis in figure.axes[:count]:
        extent = axis.title.get_window_extent()
        assert extent.y1 <= above + 1
        assert extent.height > 0
        view = axis.get_window_extent()
        assert 0 <= view.x0 < view.x1 <= width
        assert 0 <= view.y0 < view.y1 <= height


def test_long_names_are_cut_so_that_titles_do_not_overlap(make_events, answer):
    samples = [Sample(make_events(50), 1, f"{'recording_' * 6}{i}") for i in range(3)]
    figure = draw_samples(samples, [answer(0.7, 0.2, 0.1)] * 3, ["circle", "square_" * 6, "c"], "held out", [s.key for s in samples])
    titles = [axis.title for axis in figure.axes]
    assert [title.get_text().split("\n")[0][-3:] for title in titles] == ["g_0", "g_1", "g_2"]
    extents = [title.get_window_extent() for title in titles]
    assert all(left.x1 < right.x0 for left, right in pairwise(extents))


def test_event_image():
    events = Events([0, 1, 1], [0, 0, 1], [0, 1, 2], [True, False, True], (3, 2))
    image = event_image(events)
    assert image.shape == (2, 3, 3)
    assert image[0, 0, 0] > image[0, 0, 2]  # ON is red
    assert image[0, 1, 2] > image[0, 1, 0]  # OFF is blue
    assert (image[1, 2] == 255).all()


@pytest.mark.parametrize("count", [2, 10, 101])
def test_confusion(count):
    rng = np.random.default_rng(count)
    matrix = np.where(rng.random((count, count)) < 0.01, 2, 0)
    np.fill_diagonal(matrix, 20)
    matrix[0] = [9, 1] + [0] * (count - 2)
    matrix[-1, :-1] = 0
    figure = draw_confusion(matrix, [f"class {i}" for i in range(count)])
    axis = figure.axes[0]
    often, seldom, never = pixels(figure, axis, [(-0.4, -0.4), (0.6, -0.4), (-0.4, count - 0.6)]).sum(1)
    assert often < seldom < never
    assert sorted(text.get_text() for text in axis.texts) == sorted(str(number) for number in matrix[matrix > 0])
    assert [label.get_text() for label in axis.get_yticklabels()] == [f"class {i}" for i in range(count)]
    names = [label.get_window_extent() for label in axis.get_yticklabels()]
    assert min(name.x0 for name in names) > 0
    assert all(upper.y0 > lower.y0 + lower.height * 0.75 for upper, lower in pairwise(names)), "names of neighbouring classes overlap"
    assert axis.get_title() == f"{matrix.trace():,} of {matrix.sum():,} right"


def test_confusion_without_room_for_numbers_and_without_samples():
    assert not draw_confusion(np.full((60, 60), 12345), [f"{i}" for i in range(60)]).axes[0].texts
    assert not draw_confusion(np.zeros((3, 3), np.int64), CLASSES).axes[0].texts


def test_precision_recall_curves():
    recall = np.linspace(0, 1, 101)
    figure = draw_precision_recall(recall, {"a": np.ones(101), "b": np.where(recall < 0.505, 1.0, 0.0)}, without_boxes=1)
    lines = figure.axes[0].get_lines()
    assert [line.get_label() for line in lines] == ["a  1.000", "b  0.505", "mean  0.752"]
    np.testing.assert_allclose(lines[2].get_ydata()[[50, 51]], [1, 0.5])
    assert "1 classes without boxes" in figure.axes[0].get_title()
    assert near(pixels(figure, figure.axes[0], [(0.75, 0.5)]), np.zeros(3)) == [True]


def test_of_many_curves_the_best_and_the_worst_are_drawn():
    recall = np.linspace(0, 1, 101)
    figure = draw_precision_recall(recall, {f"class {i}": np.full(101, i / 100) for i in range(101)})
    names = [line.get_label().split("  ")[0] for line in figure.axes[0].get_lines()]
    assert names == [*(f"class {i}" for i in (100, 99, 98, 97, 3, 2, 1, 0)), "mean"]
    rendered(figure)
    assert figure.axes[0].title.get_window_extent().x1 < figure.legends[0].get_window_extent().x0


def test_no_curve_at_all():
    assert not draw_precision_recall(np.linspace(0, 1, 101), {}, without_boxes=3).axes[0].get_lines()


def test_scores_by_events():
    figure = draw_by_events([100, 960, 1000], {"AP50": [0.25, 0.7, 0.75], "mAP": [0.1, 0.4, 0.5]}, "AEGNN")
    axis = figure.axes[0]
    assert [list(line.get_ydata()) for line in axis.get_lines()] == [[0.25, 0.7, 0.75], [0.1, 0.4, 0.5]]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["1,000", "100"], "960 would overlap"
    assert not near(pixels(figure, axis, [(1000, 0.75)]), np.full(3, 255))[0]
