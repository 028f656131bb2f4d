"""Small dense products for one row at a time, in the order that keeps the vector units of a core busy."""

import numba

from eventzoo.kernels.sites import Floats


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def add_product(out: Floats, row: Floats, matrix: Floats) -> None:
    """`out += row @ matrix`, for row `[K]`, matrix `[K, C]` and out `[C]`. Four rows of the matrix at a time: an entry of `out` is
    read and written once for four products.
    """
    channels, whole = len(out), len(row) // 4 * 4
    for k in range(0, whole, 4):
        a, b, c, d = row[k], row[k + 1], row[k + 2], row[k + 3]
        for o in range(channels):
            out[o] += (a * matrix[k, o] + b * matrix[k + 1, o]) + (c * matrix[k + 2, o] + d * matrix[k + 3, o])
    for k in range(whole, len(row)):
        a = row[k]
        for o in range(channels):
            out[o] += a * matrix[k, o]
