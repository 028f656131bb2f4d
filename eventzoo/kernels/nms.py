"""Non-maximum suppression: of boxes that overlap much, the best."""

import numba
import numpy as np
from numpy.typing import NDArray


@numba.njit(cache=True, nogil=True, error_model="numpy")
def class_wise_nms(boxes: NDArray[np.float64], class_ids: NDArray[np.int64], iou: float, limit: int) -> NDArray[np.int64]:
    """Which boxes remain when each that overlaps a remaining better one of its class by more than `iou` is dropped.

    Greedy, best first. The outcome depends on the order alone, so that of boxes of one score the first in order wins.

    Args:
        boxes: Left, top, right and bottom edge, float64 `[N, 4]`, the best first.
        class_ids: int64 `[N]`.
        iou: Intersection over union, 0 to 1. An empty box overlaps nothing.
        limit: Most boxes that remain.

    Returns:
        Indices, rising, int64 `[at most limit]`.
    """
    kept = np.empty(min(limit, len(boxes)), np.int64)
    count = 0
    for i in range(len(boxes)):
        if count == len(kept):
            break
        remains = True
        for k in range(count):
            j = kept[k]
            if class_ids[i] == class_ids[j] and _overlap(boxes[i], boxes[j]) > iou:
                remains = False
                break
        if remains:
            kept[count] = i
            count += 1
    return kept[:count]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _overlap(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    intersection = width * height
    return float(intersection / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - intersection))
