import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventzoo.errors import EventZooError
from eventzoo.events import Events
from eventzoo.kernels.simulator import OUTLINES, extent, paint, pixel_thresholds, record


def literal_record(log_intensity, times, thresholds, refractory):
    """The sensor model, word for word: every pixel on its own, one crossing after the other."""
    frames, height, width = log_intensity.shape
    fired = []
    for y in range(height):
        for x in range(width):
            reference, last = float(log_intensity[0, y, x]), None
            for frame in range(1, frames):
                before, after = float(log_intensity[frame - 1, y, x]), float(log_intensity[frame, y, x])
                start, stop = int(times[frame - 1]), int(times[frame])
                while True:
                    if after - reference >= float(thresholds[1, y, x]):
                        polarity, reference = True, reference + float(thresholds[1, y, x])
                    elif reference - after >= float(thresholds[0, y, x]):
                        polarity, reference = False, reference - float(thresholds[0, y, x])
                    else:
                        break
                    t = start + math.floor(abs(reference - before) * (stop - start) / abs(after - before))
                    if last is None or t - last >= refractory:
                        fired.append((t, y, x, len(fired), polarity))
                        last = t
    return [(x, y, t, p) for t, y, x, _, p in sorted(fired)]


def as_list(events: Events) -> list[tuple[int, int, int, bool]]:
    return list(zip(events.x.tolist(), events.y.tolist(), events.t.tolist(), events.p.tolist(), strict=True))


def one_pixel(values) -> np.ndarray:
    return np.asarray(values, np.float64).reshape(-1, 1, 1)


def even(threshold: float, height: int = 1, width: int = 1) -> np.ndarray:
    return np.full((2, height, width), threshold)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32), st.integers(1, 6), st.integers(1, 4), st.integers(1, 4), st.sampled_from([0, 1, 40, 1000]))
def test_equals_the_literal_model_exactly(seed, frames, height, width, refractory):
    rng = np.random.default_rng(seed)
    log_intensity = rng.normal(0, 0.5, (frames, height, width)).cumsum(0)
    times = rng.integers(1, 200, frames).cumsum() + 10**12
    thresholds = pixel_thresholds((width, height), 0.2, 0.3, rng)
    events = record(log_intensity, times, thresholds, refractory=refractory)
    assert as_list(events) == literal_record(log_intensity, times, thresholds, refractory)
    Events(events.x, events.y, events.t, events.p, events.sensor_size)  # valid by the container's own checks


def test_more_events_than_there_was_room_for():
    log_intensity, times = np.arange(3.0)[:, None, None] * 100 * np.ones((1, 2, 2)), np.array([0, 10**6, 2 * 10**6])
    events = record(log_intensity, times, even(1 / 64, 2, 2))
    assert len(events) == 4 * 200 * 64
    assert as_list(events) == literal_record(log_intensity, times, even(1 / 64, 2, 2), 0)


@given(st.integers(1, 40), st.sampled_from([-1, 1]), st.integers(1, 31))
def test_ramp_fires_at_the_interpolated_times(steps, sign, remainder):
    threshold = 0.25
    height = steps * threshold + remainder / 128  # sums of powers of two: no rounding
    duration = steps * 32 + remainder  # so that a threshold is crossed every 32 µs
    events = record(one_pixel([0, sign * height]), np.array([1000, 1000 + duration]), even(threshold))
    assert len(events) == math.floor(height / threshold) == steps
    assert events.t.tolist() == [1000 + 32 * k for k in range(1, steps + 1)]
    assert (events.p == (sign > 0)).all()


def test_a_ramp_over_many_frames_is_one_ramp():
    whole = record(one_pixel([0, 4]), np.array([0, 4096]), even(0.25))
    parts = record(one_pixel(np.arange(65) / 16), np.arange(65) * 64, even(0.25))
    assert whole == parts


def test_there_and_back_fires_on_then_off():
    events = record(one_pixel([0, 1, 0]), np.array([0, 100, 200]), even(0.5))
    assert as_list(events) == [(0, 0, 50, True), (0, 0, 100, True), (0, 0, 150, False), (0, 0, 200, False)]


def test_on_and_off_have_thresholds_of_their_own():
    events = record(one_pixel([0, 1, 0]), np.array([0, 100, 200]), np.array([1.0, 0.25]).reshape(2, 1, 1))
    assert events.p.tolist() == [True] * 4 + [False]


def test_no_change_no_events():
    constant = np.random.default_rng(0).normal(size=(1, 5, 7)).repeat(4, 0)
    events = record(constant, np.arange(4), even(0.001, 5, 7))
    assert len(events) == 0
    assert events.sensor_size == (7, 5)
    assert len(record(constant[:1], np.zeros(1, np.int64), even(0.2, 5, 7))) == 0


def test_ties_are_ordered_by_row_then_column():
    events = record(np.arange(2.0)[:, None, None] * np.ones((1, 2, 3)), np.array([0, 10]), even(0.5, 2, 3))
    assert [(t, y, x) for x, y, t, _ in as_list(events)] == [(t, y, x) for t in (5, 10) for y in (0, 1) for x in (0, 1, 2)]


@pytest.mark.parametrize(
    ("refractory", "times"), [(0, [10, 20, 30, 40]), (10, [10, 20, 30, 40]), (11, [10, 30]), (30, [10, 40]), (31, [10])]
)
def test_refractory_time_suppresses(refractory, times):
    events = record(one_pixel([0, 1]), np.array([0, 40]), even(0.25), refractory=refractory)
    assert events.t.tolist() == times


def test_refractory_time_holds_for_noise_too():
    rng = np.random.default_rng(1)
    log_intensity = rng.normal(0, 1, (50, 3, 3))
    events = record(log_intensity, np.arange(50) * 1000, even(0.3, 3, 3), refractory=700, noise_rate=500.0, rng=rng)
    for pixel in range(9):
        times = events.t[events.y * 3 + events.x == pixel]
        assert len(times) > 20
        assert np.diff(times).min() >= 700


def test_noise_is_poisson_on_every_pixel():
    rate, seconds, side = 4.0, 10, 20
    frames, times = np.zeros((2, side, side)), np.array([5, 5 + seconds * 10**6])
    events = record(frames, times, even(0.2, side, side), noise_rate=rate, rng=np.random.default_rng(2))
    mean = rate * seconds
    assert abs(len(events) - mean * side**2) < 5 * math.sqrt(mean * side**2)
    counts = np.bincount(events.y.astype(int) * side + events.x, minlength=side**2)
    assert 0.7 < counts.var() / mean < 1.3  # 1 for Poisson, standard deviation 0.07 for 400 pixels
    assert abs(events.p.mean() - 0.5) < 5 * 0.5 / math.sqrt(len(events))
    halves = np.histogram(events.t, bins=4, range=(int(times[0]), int(times[-1])))[0]
    assert abs(halves - len(events) / 4).max() < 5 * math.sqrt(len(events) / 4)


def test_noise_only_adds():
    rng = np.random.default_rng(3)
    log_intensity, times = rng.normal(0, 0.5, (6, 4, 4)), np.arange(6) * 1000
    clean = as_list(record(log_intensity, times, even(0.2, 4, 4)))
    noisy = as_list(record(log_intensity, times, even(0.2, 4, 4), noise_rate=2000.0, rng=rng))
    assert len(noisy) > len(clean)
    assert [event for event in noisy if event in set(clean)] == clean


def test_thresholds_vary_about_their_mean():
    thresholds = pixel_thresholds((100, 80), 0.2, 0.15, np.random.default_rng(4))
    assert thresholds.shape == (2, 80, 100)
    assert thresholds.mean() == pytest.approx(0.2, abs=0.002)
    assert thresholds.std() == pytest.approx(0.03, rel=0.05)
    assert (pixel_thresholds((4, 4), 0.2, 0.0, np.random.default_rng(4)) == 0.2).all()
    assert pixel_thresholds((50, 50), 0.2, 5.0, np.random.default_rng(4)).min() == pytest.approx(0.04)


FRAMES, TIMES = np.zeros((3, 2, 2)), np.arange(3)


@pytest.mark.parametrize(
    ("frames", "times", "thresholds", "noise_rate", "message"),
    [
        (FRAMES[0], TIMES, even(0.2, 2, 2), 0, "F, H, W"),
        (FRAMES[:0], TIMES[:0], even(0.2, 2, 2), 0, "at least one"),
        (FRAMES, TIMES[:2], even(0.2, 2, 2), 0, "as many times"),
        (FRAMES, TIMES[::-1], even(0.2, 2, 2), 0, "later than"),
        (FRAMES, TIMES, even(0.2, 3, 2), 0, r"\(2, 2, 2\)"),
        (FRAMES, TIMES, even(0.0, 2, 2), 0, "at least 0.001"),
        (FRAMES, TIMES, even(math.nan, 2, 2), 0, "at least 0.001"),
        (FRAMES - math.inf, TIMES, even(0.2, 2, 2), 0, "finite"),
        (FRAMES, TIMES, even(0.2, 2, 2), 1.0, "rng"),
    ],
)
def test_record_says_what_is_wrong(frames, times, thresholds, noise_rate, message):
    with pytest.raises(EventZooError, match=message):
        record(frames, times, thresholds, noise_rate=noise_rate)


# Vertices on the outline of radius 1, and the area it encloses, written down by hand for each shape
ANGLES = np.arange(5) * 2 * math.pi / 5
WAISTS = ANGLES + math.pi / 5
VERTICES = {
    "square": [(1, 0), (0, 1), (-1, 0), (0, -1)],
    "triangle": [(1, 0), (-0.5, math.sqrt(0.75)), (-0.5, -math.sqrt(0.75))],
    "star": [
        point
        for tip, waist in zip(ANGLES, WAISTS, strict=True)
        for point in ((math.cos(tip), math.sin(tip)), (0.42 * math.cos(waist), 0.42 * math.sin(waist)))
    ],
    "cross": [
        *((1, -0.36), (1, 0.36), (0.36, 0.36), (0.36, 1), (-0.36, 1), (-0.36, 0.36)),
        *((-1, 0.36), (-1, -0.36), (-0.36, -0.36), (-0.36, -1), (0.36, -1), (0.36, -0.36)),
    ],
}


def polygon_distance(points, vertices):
    """Signed distance from points `[N, 2]` to any polygon: the nearest edge, negative where a ray crosses an odd number of edges."""
    nearest, inside = np.full(len(points), np.inf), np.zeros(len(points), bool)
    for a, b in zip(vertices, np.roll(vertices, -1, 0), strict=True):
        part = np.clip((points - a) @ (b - a) / ((b - a) @ (b - a)), 0, 1)
        nearest = np.minimum(nearest, np.hypot(*(points - a - part[:, None] * (b - a)).T))
        crosses = (a[1] > points[:, 1]) != (b[1] > points[:, 1])
        with np.errstate(divide="ignore", invalid="ignore"):
            inside ^= crosses & (points[:, 0] < a[0] + (points[:, 1] - a[1]) / (b[1] - a[1]) * (b[0] - a[0]))
    return np.where(inside, -nearest, nearest)


@pytest.mark.parametrize("outline", OUTLINES)
def test_outlines_are_painted_by_their_exact_distance(outline):
    pose, radius, size = np.array([[23.3, 19.8, 0.4], [3.0, 30.0, -2.0]]), 13.7, (48, 40)
    frames = np.ones((2, size[1], size[0]))
    paint(frames, outline, pose, radius, 3.0)
    y, x = np.mgrid[: size[1], : size[0]]
    for frame, (centre_x, centre_y, angle) in zip(frames, pose, strict=True):
        points = np.stack([x.ravel(), y.ravel()], 1).astype(float)
        if outline == "circle":
            distance = np.hypot(*(points - (centre_x, centre_y)).T) - radius
        else:
            turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
            distance = polygon_distance(points, radius * np.array(VERTICES[outline], float) @ turn + (centre_x, centre_y))
        covered = np.clip(0.5 - distance, 0, 1).reshape(frame.shape)
        np.testing.assert_allclose(frame, 1 + 2 * covered, atol=1e-9)


def test_outlines_cover_one_another():
    frames = np.ones((1, 32, 32))
    paint(frames, "square", np.array([[16.0, 16.0, 0.0]]), 14, 2.0)
    paint(frames, "circle", np.array([[16.0, 16.0, 0.0]]), 4, 5.0)
    assert frames[0, 16, 16] == 5
    assert frames[0, 16, 24] == 2
    assert frames[0, 0, 0] == 1


def test_an_outline_may_be_out_of_view():
    frames = np.ones((1, 8, 8))
    paint(frames, "star", np.array([[-50.0, 500.0, 0.0]]), 5, 2.0)
    assert (frames == 1).all()


@pytest.mark.parametrize(
    ("dtype", "outline", "poses", "radius", "message"),
    [
        (float, "blob", 2, 5, "no outline 'blob'; there are circle"),
        (float, "star", 3, 5, "poses of shape"),
        (float, "star", 2, 0, "positive"),
        (np.float32, "star", 2, 5, "float64"),
    ],
)
def test_paint_says_what_is_wrong(dtype, outline, poses, radius, message):
    with pytest.raises(EventZooError, match=message):
        paint(np.ones((2, 8, 8), dtype), outline, np.zeros((poses, 3)), radius, 2.0)


@pytest.mark.parametrize("outline", OUTLINES)
def test_extent_is_that_of_the_painted_pixels(outline):
    rng = np.random.default_rng(4)
    poses, radius = np.column_stack([rng.uniform(20, 28, (40, 2)), rng.uniform(-7, 7, 40)]), 14.6
    frames = np.zeros((40, 48, 48))
    paint(frames, outline, poses, radius, 1.0)
    for frame, (left, top, right, bottom) in zip(frames, extent(outline, poses, radius), strict=True):
        rows, columns = np.flatnonzero((frame > 0).any(1)), np.flatnonzero((frame > 0).any(0))
        painted = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
        assert np.abs(np.subtract(painted, (left, top, right, bottom))).max() < 1


@pytest.mark.parametrize(
    ("outline", "angle", "box"),
    [
        ("circle", 1.0, [-10, -10, 10, 10]),
        ("square", 0.0, [-10, -10, 10, 10]),
        ("square", np.pi / 4, [-(50**0.5), -(50**0.5), 50**0.5, 50**0.5]),
        ("triangle", 0.0, [-5, -(75**0.5), 10, 75**0.5]),
        ("star", np.pi / 2, [-9.510565, -8.090170, 9.510565, 10]),
        ("cross", 0.0, [-10, -10, 10, 10]),
    ],
)
def test_extent_of_known_outlines(outline, angle, box):
    (found,) = extent(outline, np.array([[20.0, 30.0, angle]]), 10.0)
    np.testing.assert_allclose(found - [20.5, 30.5, 20.5, 30.5], box, atol=1e-6)


def test_extent_says_what_is_wrong():
    with pytest.raises(EventZooError, match="no outline 'moon'"):
        extent("moon", np.zeros((1, 3)), 3.0)
    with pytest.raises(EventZooError, match="radius must be positive"):
        extent("star", np.zeros((1, 3)), 0.0)
