"""Small dense products for a row or a few at a time, in the order that keeps the vector units of a core busy."""

import numba

from eventzoo.kernels.asynchronous.sites import Floats, clear_row


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


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def multiply_row(out: Floats, row: Floats, matrix: Floats) -> None:
    """`out = row @ matrix`, for row `[K]`, matrix `[K, C]` and out `[C]`, with the very bits that `multiply_four` gives the same row."""
    clear_row(out)
    channels, whole = len(out), len(row) // 4 * 4
    for k in range(0, whole, 4):
        a, b, c, d = row[k], row[k + 1], row[k + 2], row[k + 3]
        for o in range(channels):
            total = out[o]
            total += a * matrix[k, o]  # one after the other: there is only one way to contract it, hence the same bits everywhere
            total += b * matrix[k + 1, o]
            total += c * matrix[k + 2, o]
            total += d * matrix[k + 3, o]
            out[o] = total
    for k in range(whole, len(row)):
        a = row[k]
        for o in range(channels):
            out[o] += a * matrix[k, o]


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def multiply_four(outs: tuple[Floats, Floats, Floats, Floats], rows: tuple[Floats, Floats, Floats, Floats], matrix: Floats) -> None:
    """`multiply_row` of four rows at once: as fast as a core multiplies, where one row waits for the matrix."""
    out0, out1, out2, out3 = outs
    row0, row1, row2, row3 = rows
    for out in outs:
        clear_row(out)
    channels, whole = len(out0), len(row0) // 4 * 4
    for k in range(0, whole, 4):
        a0, b0, c0, d0 = row0[k], row0[k + 1], row0[k + 2], row0[k + 3]
        a1, b1, c1, d1 = row1[k], row1[k + 1], row1[k + 2], row1[k + 3]
        a2, b2, c2, d2 = row2[k], row2[k + 1], row2[k + 2], row2[k + 3]
        a3, b3, c3, d3 = row3[k], row3[k + 1], row3[k + 2], row3[k + 3]
        for o in range(channels):
            a, b, c, d = matrix[k, o], matrix[k + 1, o], matrix[k + 2, o], matrix[k + 3, o]
            total = out0[o]
            total += a0 * a
            total += b0 * b
            total += c0 * c
            total += d0 * d
            out0[o] = total
            total = out1[o]
            total += a1 * a
            total += b1 * b
            total += c1 * c
            total += d1 * d
            out1[o] = total
            total = out2[o]
            total += a2 * a
            total += b2 * b
            total += c2 * c
            total += d2 * d
            out2[o] = total
            total = out3[o]
            total += a3 * a
            total += b3 * b
            total += c3 * c
            total += d3 * d
            out3[o] = total
    for k in range(whole, len(row0)):
        for o in range(channels):
            a = matrix[k, o]
            out0[o] += row0[k] * a
            out1[o] += row1[k] * a
            out2[o] += row2[k] * a
            out3[o] += row3[k] * a
