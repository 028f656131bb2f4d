"""A deterministic event-camera simulator: outlines are painted into frames, frames become events.

The two halves know nothing of each other. `paint` is the scene: it blends a moving outline, given by an analytic
signed distance, into frames of intensity. `record` is the sensor: it takes any frames of log intensity. Its model is the
DVS of Lichtsteiner, Posch and Delbruck, "A 128×128 120 dB 15 µs latency asynchronous temporal contrast vision sensor"
(IEEE J. Solid-State Circuits, 2008), simulated between frames as in ESIM (Rebecq, Gehrig and Scaramuzza, "ESIM: an open
event camera simulator", CoRL 2018), with mismatch, refractory time and background activity as in v2e (Hu, Liu and Delbruck,
"v2e: From video frames to realistic DVS events", CVPR workshops 2021).
"""

import math

import numba
import numpy as np
from numpy.typing import NDArray

from eventzoo.errors import EventZooError
from eventzoo.events import Events

OUTLINES = ("circle", "square", "triangle", "star", "cross")
_TIPS = (0, 4, 3, 5, 0)  # corners that lie on the outline's radius
_WEDGE_COS = tuple(math.cos(math.pi / tips) if tips else 0.0 for tips in _TIPS)  # angle from a tip's axis to the waist's
_WEDGE_SIN = tuple(math.sin(math.pi / tips) if tips else 0.0 for tips in _TIPS)
_WAIST = (0.0, math.sqrt(0.5), 0.5, 0.42, 0.0)  # radius half-way from one tip to the next; a pentagram would have 0.38
_ARM = 0.36  # half the width of the cross's arms, in units of its radius
_REACH = (1.0, 1.0, 1.0, 1.0, math.hypot(1.0, _ARM))  # farthest point of each outline, in units of its radius
_LEAST_THRESHOLD = 0.001  # a tenth of the best sensors'; far below, rounding would keep a reference from ever catching up
_NEVER = np.int64(-(2**62))


def paint(frames: NDArray[np.float64], outline: str, poses: NDArray[np.float64], radius: float, level: float) -> None:
    """Paint one moving, filled outline over the frames, in place, anti-aliased by its distance to each pixel's centre.

    Args:
        frames: Linear intensity, float64 `[F, H, W]`; the pixel in column `x` and row `y` has its centre at `(x, y)`.
        outline: One of `OUTLINES`.
        poses: Centre x, centre y (pixels) and angle (radians) of the outline in each frame, float64 `[F, 3]`.
        radius: Pixels from the centre to the circle's edge, to the corners of square, triangle and star, or to the
            ends of the cross.
        level: Linear intensity of the outline.

    Raises:
        EventZooError: The outline is unknown, its radius not positive, the frames are not float64, or there is not one pose for each.
    """
    _check_outline(outline, radius)
    if frames.dtype != np.float64:
        raise EventZooError(f"frames are painted in place and must be float64, not {frames.dtype}")
    if poses.shape != (len(frames), 3):
        raise EventZooError(f"{len(frames)} frames need poses of shape {(len(frames), 3)}, not {poses.shape}")
    _paint(frames, OUTLINES.index(outline), poses, float(radius), float(level))


def extent(outline: str, poses: NDArray[np.float64], radius: float) -> NDArray[np.float64]:
    """The smallest upright boxes around an outline, as `paint` draws it.

    Args:
        outline: One of `OUTLINES`.
        poses: Centre x, centre y (pixels) and angle (radians), float64 `[F, 3]`.
        radius: As for `paint`.

    Returns:
        Left, top, right and bottom edge, float64 `[F, 4]`. As in `eventzoo.data.boxes.Boxes`, the pixel in column `x` reaches from
        `x` to `x + 1`: its centre, which is at `x` in `poses`, is at `x + 0.5` here.

    Raises:
        EventZooError: The outline is unknown, or its radius not positive.
    """
    _check_outline(outline, radius)
    kind = OUTLINES.index(outline)
    centre, angle = poses[:, :2] + 0.5, poses[:, 2:]
    if outline == "circle":
        return np.concatenate((centre - radius, centre + radius), 1)
    if outline == "cross":
        arm = math.atan2(_ARM, 1)
        corners = angle + np.array([side * math.pi / 2 + offset for side in range(4) for offset in (-arm, arm)])
    else:
        corners = angle + np.arange(_TIPS[kind]) * (2 * math.pi / _TIPS[kind])
    reach = radius * _REACH[kind]
    x, y = centre[:, :1] + reach * np.cos(corners), centre[:, 1:] + reach * np.sin(corners)
    return np.stack((x.min(1), y.min(1), x.max(1), y.max(1)), 1)


def _check_outline(outline: str, radius: float) -> None:
    if outline not in OUTLINES:
        raise EventZooError(f"there is no outline {outline!r}; there are {', '.join(OUTLINES)}")
    if not radius > 0:
        raise EventZooError(f"the outline's radius must be positive, it is {radius}")


def pixel_thresholds(sensor_size: tuple[int, int], threshold: float, mismatch: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Contrast thresholds of a camera's pixels, which differ because transistors do.

    Args:
        sensor_size: `(width, height)` in pixels.
        threshold: Mean contrast threshold, in units of natural log intensity.
        mismatch: Standard deviation of the normal distribution, relative to the mean. Draws are cut off at a fifth of the
            mean, as a pixel with a threshold near zero would fire without end.
        rng: Source of randomness.

    Returns:
        Thresholds for OFF and for ON events, in this order (the index is the polarity), float64 `[2, H, W]`.
    """
    width, height = sensor_size
    return np.maximum(rng.normal(threshold, mismatch * threshold, (2, height, width)), threshold / 5)


def record(
    log_intensity: NDArray[np.float64],
    times: NDArray[np.int64],
    thresholds: NDArray[np.float64],
    *,
    refractory: int = 0,
    noise_rate: float = 0.0,
    rng: np.random.Generator | None = None,
) -> Events:
    """What an event camera sees of a sequence of frames.

    A pixel keeps a reference, at first its log intensity in the first frame. Log intensity is taken as linear in time
    between two frames. Whenever it has moved from the reference by the pixel's threshold, the pixel fires an event at that
    time, rounded down to a microsecond, and the reference moves by one threshold. Background activity is added; then
    events that come too soon after the last event of their pixel are lost. As in ESIM, the reference moves on for those too.

    Args:
        log_intensity: Natural logarithm of intensity, float64 `[F, H, W]`.
        times: Time of each frame, microseconds, increasing, int64 `[F]`.
        thresholds: Contrast thresholds for OFF and ON events, at least 0.001, float64 `[2, H, W]`.
        refractory: Microseconds for which a pixel is blind after an event.
        noise_rate: Background activity, events a second and pixel: a Poisson process with both polarities alike.
        rng: Source of the noise. May be left out without noise.

    Returns:
        Events from the first frame's time to the last's, ordered by time, then row, then column. Events of one pixel in the same
        microsecond come in the order in which it fired them, noise last.

    Raises:
        EventZooError: Shapes do not fit, times do not increase, a threshold is too small, an intensity is not finite,
            or noise is asked for without `rng`.
    """
    log_intensity = np.asarray(log_intensity, np.float64)
    _check(log_intensity, times, thresholds)
    if noise_rate > 0 and rng is None:
        raise EventZooError("noise needs a source of randomness: give rng, a numpy.random.Generator")
    height, width = log_intensity.shape[1:]
    pixel, t, p = _crossings(log_intensity, times, thresholds)
    if noise_rate > 0 and rng is not None:
        noise = _background_activity(width * height, int(times[0]), int(times[-1]), noise_rate, rng)
        pixel, t, p = (np.concatenate(pair) for pair in zip((pixel, t, p), noise, strict=True))
    order = np.lexsort((pixel, t))  # stable: equal keys keep the order of firing
    pixel, t, p = pixel[order], t[order], p[order]
    if refractory > 0:
        alive = _outside_refractory(pixel, t, refractory, width * height)
        pixel, t, p = pixel[alive], t[alive], p[alive]
    y, x = np.divmod(pixel, width)
    return Events(x.astype(np.int16), y.astype(np.int16), t, p, (width, height), trusted=True)


def _check(log_intensity: NDArray[np.float64], times: NDArray[np.int64], thresholds: NDArray[np.float64]) -> None:
    if log_intensity.ndim != 3 or not len(log_intensity):
        raise EventZooError(f"log intensity must be frames of shape [F, H, W], at least one, not {log_intensity.shape}")
    if times.shape != log_intensity.shape[:1] or (np.diff(times) <= 0).any():
        raise EventZooError(f"{len(log_intensity)} frames need as many times, each later than the one before, not {times}")
    if thresholds.shape != (2, *log_intensity.shape[1:]):
        raise EventZooError(f"thresholds must be of shape {(2, *log_intensity.shape[1:])}, not {thresholds.shape}")
    if not (thresholds >= _LEAST_THRESHOLD).all():
        raise EventZooError(f"thresholds must be at least {_LEAST_THRESHOLD} in log intensity, found {thresholds.min()}")
    if not np.isfinite(log_intensity).all():
        raise EventZooError("log intensity must be finite; is an intensity zero or negative?")


def _background_activity(
    pixels: int, start: int, stop: int, rate: float, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Pixel, time and polarity of the noise. A Poisson process on every pixel is one on all of them with equally likely pixels."""
    count = rng.poisson(rate * pixels * (stop - start) * 1e-6)
    return rng.integers(0, pixels, count), rng.integers(start, stop, count), rng.integers(0, 2, count).astype(np.bool_)


def _crossings(
    log_intensity: NDArray[np.float64], times: NDArray[np.int64], thresholds: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Pixel index, time and polarity of every threshold crossing; those of one pixel in the order of firing."""
    count, room = 0, 8192
    while True:
        pixel, t, p = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room, np.bool_)
        count = _cross(log_intensity, times, thresholds, pixel, t, p)
        if count <= room:
            return pixel[:count], t[:count], p[:count]
        room = count


@numba.njit(cache=True, nogil=True)
def _cross(
    log_intensity: NDArray[np.float64],
    times: NDArray[np.int64],
    thresholds: NDArray[np.float64],
    pixel: NDArray[np.int64],
    t: NDArray[np.int64],
    p: NDArray[np.bool_],
) -> int:
    """Write as many crossings as `pixel`, `t` and `p` can hold; returns how many there are. Growing them here is six times slower."""
    frames, height, width = log_intensity.shape
    references = log_intensity[0].copy()
    count = 0
    for frame in range(1, frames):
        start, step = times[frame - 1], times[frame] - times[frame - 1]
        for y in range(height):
            for x in range(width):
                after = log_intensity[frame, y, x]
                off, on, reference = thresholds[0, y, x], thresholds[1, y, x], references[y, x]
                while after - reference >= on or reference - after >= off:
                    brighter = after > reference
                    reference += on if brighter else -off
                    if count < len(t):
                        before = log_intensity[frame - 1, y, x]
                        pixel[count], p[count] = y * width + x, brighter
                        t[count] = start + int((reference - before) * step / (after - before))  # in this order, exact where it can be
                    count += 1
                references[y, x] = reference
    return count


@numba.njit(cache=True, nogil=True)
def _outside_refractory(pixel: NDArray[np.int64], t: NDArray[np.int64], refractory: int, pixels: int) -> NDArray[np.bool_]:
    """Which of the events, given in time order, come at least `refractory` after the last of their pixel that did."""
    last = np.full(pixels, _NEVER)
    alive = np.zeros(len(t), np.bool_)
    for event in range(len(t)):
        if t[event] - last[pixel[event]] >= refractory:
            alive[event] = True
            last[pixel[event]] = t[event]
    return alive


@numba.njit(cache=True, nogil=True)
def _paint(frames: NDArray[np.float64], outline: int, poses: NDArray[np.float64], radius: float, level: float) -> None:
    _, height, width = frames.shape
    reach = radius * _REACH[outline] + 1
    for frame in range(len(frames)):
        centre_x, centre_y, angle = poses[frame]
        cos, sin = math.cos(angle), math.sin(angle)
        for y in range(max(0, math.floor(centre_y - reach)), min(height, math.ceil(centre_y + reach) + 1)):
            for x in range(max(0, math.floor(centre_x - reach)), min(width, math.ceil(centre_x + reach) + 1)):
                dx, dy = x - centre_x, y - centre_y
                if dx * dx + dy * dy < reach * reach:
                    distance = radius * _distance(outline, (cos * dx + sin * dy) / radius, (cos * dy - sin * dx) / radius)
                    covered = min(max(0.5 - distance, 0.0), 1.0)
                    frames[frame, y, x] += covered * (level - frames[frame, y, x])


@numba.njit(cache=True, nogil=True)
def _distance(outline: int, x: float, y: float) -> float:
    """Signed distance, negative inside, from `(x, y)` to an outline of radius 1 around the origin.

    An outline's mirror axes fold the plane onto a wedge in which it is one edge, or two, as in Inigo Quilez's "2D distance
    functions" (https://iquilezles.org/articles/distfunctions2d).
    """
    if _TIPS[outline]:
        return _distance_to_tips(x, y, outline)
    if outline == 0:
        return math.sqrt(x * x + y * y) - 1
    x, y = max(abs(x), abs(y)), min(abs(x), abs(y))
    distance = min(_to_segment(x, y, 1, 0, 1, _ARM), _to_segment(x, y, 1, _ARM, _ARM, _ARM))
    return -distance if y < _ARM and x < 1 else distance


@numba.njit(cache=True, nogil=True)
def _distance_to_tips(x: float, y: float, outline: int) -> float:
    """Signed distance to the polygon whose corners lie on the radius and on the waist in turn, one at the right."""
    cos, sin, waist = _WEDGE_COS[outline], _WEDGE_SIN[outline], _WAIST[outline]
    y = abs(y)
    for _ in range(_TIPS[outline] // 2):  # so many mirrors bring any point between the axes through a tip and the waist next to it
        if sin * x < cos * y:
            along = cos * x + sin * y
            x, y = 2 * along * cos - x, abs(2 * along * sin - y)
    distance = _to_segment(x, y, 1.0, 0.0, waist * cos, waist * sin)
    return -distance if (1 - x) * waist * sin > (1 - waist * cos) * y else distance


@numba.njit(cache=True, nogil=True)
def _to_segment(x: float, y: float, ax: float, ay: float, bx: float, by: float) -> float:
    """Distance from `(x, y)` to the segment from a to b."""
    ex, ey = bx - ax, by - ay
    part = min(max(((x - ax) * ex + (y - ay) * ey) / (ex * ex + ey * ey), 0.0), 1.0)
    return math.sqrt((x - ax - part * ex) ** 2 + (y - ay - part * ey) ** 2)
