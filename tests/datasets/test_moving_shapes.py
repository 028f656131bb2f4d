import pickle

import numpy as np
import pytest

from eventzoo.errors import EventZooError
from eventzoo.events import Events
from eventzoo.kernels.simulator import paint, record
from eventzoo.plugins.datasets.moving_shapes import Camera, MovingShapes, Shape

SPLITS = ("train", "val", "test")
CAMERA = Camera.make((64, 64), 100_000, 0)


@pytest.fixture(scope="module")
def shapes() -> MovingShapes:
    return MovingShapes(size=200)


@pytest.fixture(scope="module")
def counts(shapes) -> np.ndarray:
    """Events by round and class, `[40, 5]`."""
    return np.array([len(shapes[index].events) for index in range(len(shapes))]).reshape(-1, 5)


def test_default_sizes():
    assert [len(MovingShapes(split)) for split in SPLITS] == [1000, 200, 200]
    assert len(MovingShapes("val", size=7)) == 7


def test_every_class_equally_often(shapes):
    assert shapes.classes == ("circle", "square", "triangle", "star", "cross")
    assert [shapes[index].label for index in range(10)] == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4]


def test_samples_are_valid_recordings_of_100_ms(shapes):
    for index in (0, 57, 199):
        events = shapes[index].events
        assert events.sensor_size == shapes.sensor_size == (64, 64)
        assert Events(events.x, events.y, events.t, events.p, events.sensor_size) == events
        assert events.t[0] >= 0
        assert events.t[-1] <= 100_000
        assert events.duration > 95_000
        assert 0.2 < events.p.mean() < 0.8


def test_keys_name_split_and_index(shapes):
    assert [shapes[index].key for index in (0, 12)] == ["train/000000", "train/000012"]
    assert MovingShapes("test")[3].key == "test/000003"


def test_the_same_on_every_run_in_any_order_and_size(shapes):
    again, smaller = MovingShapes(seed=0), MovingShapes("train", size=20)
    for index in (19, 3, 11):
        assert again[index].events == smaller[index].events == shapes[index].events == shapes[index].events


def test_survives_the_way_to_a_worker(shapes):
    copy = pickle.loads(pickle.dumps(shapes))
    assert copy[5].events == shapes[5].events
    assert copy.at_split("val")[5].events == MovingShapes("val")[5].events
    assert len(copy.at_split("val")) == 200


def test_splits_and_seeds_share_no_sample():
    datasets = [MovingShapes(split, size=15, seed=seed) for split in SPLITS for seed in (0, 1)]
    recordings = {dataset[index].events.t.tobytes() for dataset in datasets for index in range(15)}
    assert len(recordings) == 15 * len(datasets)


def test_ends_where_it_ends(shapes):
    assert shapes[-1].key == shapes[199].key == "train/000199"
    with pytest.raises(IndexError):
        shapes[200]
    assert sum(1 for _ in MovingShapes(size=3)) == 3


def test_number_of_events(counts):
    assert counts.min() > 800
    assert counts.max() < 6000
    assert ((counts > 1400) & (counts < 5000)).mean() > 0.9


def test_number_of_events_does_not_give_the_class_away(counts):
    for label in range(5):
        own, others = counts[:, label], np.delete(counts, label, 1)
        assert 0.35 < (own[:, None] > others.reshape(1, -1)).mean() < 0.65  # ROC area; 0.5 is chance


def test_shapes_stay_in_view():
    times = np.array([0, 50_000, 100_000])
    for index in range(100):
        shape = Shape.draw(MovingShapes.classes[index % 5], CAMERA, np.random.default_rng(index))
        poses = shape.poses(times)
        np.testing.assert_allclose(poses[1], shape.pose)
        np.testing.assert_allclose(poses[2] - poses[0], np.array(shape.velocity) / 10)
        reach = shape.radius * 1.07
        assert (poses[:, :2] - reach > -2).all()
        assert (poses[:, :2] + reach < 65).all()


def test_one_camera_takes_all_recordings_of_a_seed():
    train, test, other = MovingShapes("train"), MovingShapes("test"), MovingShapes("train", seed=1)
    np.testing.assert_array_equal(train._camera.thresholds, test._camera.thresholds)
    assert not np.array_equal(train._camera.thresholds, other._camera.thresholds)


def test_verify(monkeypatch):
    MovingShapes(size=10).verify()
    monkeypatch.setattr("eventzoo.plugins.datasets.moving_shapes.record", lambda *_, **__: Events.empty((64, 64)))
    with pytest.raises(EventZooError, match="test/000000 holds no events"):
        MovingShapes("test", size=2).verify()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "validation"}, "train, val, test"),
        ({"task": "tracking"}, "classification, detection"),
        ({"size": 0}, "at least 1"),
        ({"seed": -1}, "not be negative"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(EventZooError, match=message):
        MovingShapes(**arguments)


def still(name, x, y, angle=0.4, radius=9.0):
    return Shape(name, radius, 2.0, (x, y, angle), (0.0, 0.0, 0.0))


@pytest.fixture(scope="module")
def detection():
    return MovingShapes(size=60, task="detection")


def test_detection_samples(detection):
    samples = list(detection)
    assert all(sample.label is None for sample in samples)
    assert all((sample.boxes.t == 100_000).all() for sample in samples)
    assert {len(sample.boxes) for sample in samples} >= {1, 2, 3}
    assert np.unique(np.concatenate([sample.boxes.class_ids for sample in samples])).tolist() == [0, 1, 2, 3, 4]
    for sample in samples:
        assert (sample.boxes.xyxy >= 0).all()
        assert (sample.boxes.xyxy <= 64).all()
        assert (sample.boxes.sizes > 4).all()
    assert sum(len(sample.boxes) == 0 for sample in samples) <= 2


def test_detection_samples_are_the_same_on_every_run(detection):
    again = MovingShapes(size=5, task="detection")
    assert all(again[index].events == detection[index].events for index in (4, 0))
    assert all(again[index].boxes == detection[index].boxes for index in (4, 0))
    assert again.at_split("val").task == "detection"
    assert again.at_split("val")[0].events != again[0].events
    assert again[0].events != MovingShapes(size=5)[0].events


def test_events_at_the_end_lie_in_the_boxes(detection):
    """All but the noise, and what few shapes without a box leave."""
    inside = total = 0
    for sample in detection:
        events = sample.events.between(95_000, 100_001)
        x, y = events.x[:, None] + 0.5, events.y[:, None] + 0.5
        left, top, right, bottom = sample.boxes.xyxy.T
        inside += ((x > left - 1) & (x < right + 1) & (y > top - 1) & (y < bottom + 1)).any(1).sum()
        total += len(events)
    noise = len(detection) * 0.005 * 64 * 64
    assert inside / (total - noise) > 0.95


def test_boxes_touch_the_shapes_on_all_sides():
    """The latest events reach a shape's box on every side and no further, to within its movement and the soft edge of a pixel."""
    rng = np.random.default_rng(5)
    for index in range(25):
        shape = Shape.draw(MovingShapes.classes[index % 5], CAMERA, rng)
        ((left, top, right, bottom),) = CAMERA.boxes([shape], [-1]).xyxy
        frames = np.ones((101, 64, 64))
        paint(frames, shape.name, shape.poses(CAMERA.times), shape.radius, shape.level)
        seen = record(np.log(frames), CAMERA.times, np.full((2, 64, 64), 0.05)).between(97_000, 100_001)
        moved = 0.003 * (np.hypot(*shape.velocity[:2]) + abs(shape.velocity[2]) * shape.radius)
        reached = np.array([seen.x.min() - left, seen.y.min() - top, seen.x.max() + 1 - right, seen.y.max() + 1 - bottom])
        assert np.abs(reached).max() < moved + 1.5, index  # the tip of a star covers little of its pixel


@pytest.mark.parametrize(
    ("x", "boxes"),
    [(30, [[21, 11, 40, 30]]), (2, [[0, 11, 12, 30]]), (-2, []), (-20, []), (61, [[52, 11, 64, 30]]), (66, [])],
)
def test_a_box_is_clipped_and_needs_half_of_its_shape_in_view(x, boxes):
    found = CAMERA.boxes([still("circle", x, 20, radius=9.5)], [0])
    np.testing.assert_allclose(found.xyxy, np.array(boxes).reshape(-1, 4), atol=1e-4)
    assert found.class_ids.tolist() == [0] * len(boxes)


def test_a_hidden_shape_has_no_box():
    behind, front = still("star", 30, 30, radius=8), still("circle", 31, 30, radius=15)
    assert CAMERA.boxes([behind, front], [0]).class_ids.tolist() == [0]
    assert CAMERA.boxes([front, behind], [0]).class_ids.tolist() == [0, 3]
    apart = still("star", 10, 10, radius=8)
    assert CAMERA.boxes([apart, front], [0]).class_ids.tolist() == [3, 0]


def test_boxes_at_several_times():
    shape = Shape("square", 9.0, 2.0, (32.0, 32.0, 0.0), (200.0, 0.0, 0.0))
    boxes = CAMERA.boxes([shape], [0, 50, 100])
    assert boxes.t.tolist() == [0, 50_000, 100_000]
    np.testing.assert_allclose(boxes.xyxy[:, 0], [13.5, 23.5, 33.5])
    assert len(CAMERA.boxes([], [0])) == 0


def test_a_larger_sensor_and_a_longer_recording_show_the_same_stretched():
    large = Camera.make((128, 192), 300_000, 0)
    small_shape, large_shape = (Shape.draw("star", camera, np.random.default_rng(3)) for camera in (CAMERA, large))
    assert large_shape.radius == pytest.approx(2 * small_shape.radius)
    np.testing.assert_allclose(np.array(large_shape.velocity) * 3, np.array(small_shape.velocity) * (2, 2, 1))
    assert large.times[-1] == 300_000
