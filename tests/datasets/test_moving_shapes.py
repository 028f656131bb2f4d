import pickle

import numpy as np
import pytest

from eventzoo.errors import EventZooError
from eventzoo.events import Events
from eventzoo.plugins.datasets.moving_shapes import MovingShapes, Scene

SPLITS = ("train", "val", "test")


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
        scene = Scene.draw(MovingShapes.classes[index % 5], (64, 64), np.random.default_rng(index))
        poses = scene.poses(times)
        np.testing.assert_allclose(poses[1], scene.pose)
        np.testing.assert_allclose(poses[2] - poses[0], np.array(scene.velocity) / 10)
        reach = scene.radius * 1.07
        assert (poses[:, :2] - reach > -2).all()
        assert (poses[:, :2] + reach < 65).all()


def test_one_camera_takes_all_recordings_of_a_seed():
    train, test, other = MovingShapes("train"), MovingShapes("test"), MovingShapes("train", seed=1)
    np.testing.assert_array_equal(train._thresholds, test._thresholds)
    assert not np.array_equal(train._thresholds, other._thresholds)


def test_verify(monkeypatch):
    MovingShapes(size=10).verify()
    monkeypatch.setattr("eventzoo.plugins.datasets.moving_shapes.record", lambda *_, **__: Events.empty((64, 64)))
    with pytest.raises(EventZooError, match="test/000000 holds no events"):
        MovingShapes("test", size=2).verify()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"split": "validation"}, "train, val, test"), ({"size": 0}, "at least 1"), ({"seed": -1}, "not be negative")],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(EventZooError, match=message):
        MovingShapes(**arguments)
