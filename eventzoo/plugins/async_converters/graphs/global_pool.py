"""Pools of all nodes into one vector, event by event: torch_geometric's `global_add_pool`, `global_mean_pool`, `global_max_pool`.

A stream is one sample, so the vector is always there: of no nodes, it is zeros. torch_geometric returns that, too, if it is told the
number of samples, as in `global_max_pool(x, batch.batch, batch.num_graphs)`; if not, it returns no row at all.
"""

from typing import Any, ClassVar, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray
from torch_geometric.nn import global_add_pool, global_max_pool, global_mean_pool

from eventzoo.asynchronous import AsyncConverter, Cost, Features, Plan, SampleIndex, Unsupported
from eventzoo.kernels.asynchronous.sites import ARRIVED, LEFT, TRANSACTION, Floats, Integers, Rows, Sites, commit

BLOCKS = 256
LIMBS, LIMB_BITS = 9, 32  # a float32 is a whole number times 2^-149, of less than 2^277
_LIMB = (1 << LIMB_BITS) - 1


class Maxima(NamedTuple):
    """Maxima of blocks of slots.

    Attributes:
        top: float32 `[BLOCKS, C]`.
        size: Number of a block's sites, int64 `[BLOCKS]`.
        stale: Whether a block's sites changed, came or went, bool `[BLOCKS]`.
        capacity: Number of slots that the blocks divide, int64 `[1]`.
    """

    top: Floats
    size: Integers
    stale: NDArray[np.bool_]
    capacity: Integers


class Sums(NamedTuple):
    """Exact sums, as whole numbers: what a site adds when it comes it takes along when it leaves, to the last bit.

    Attributes:
        limbs: The sums' parts, each worth 2^32 times the one before it, int64 `[C, LIMBS]`.
        added: What a site has added, float32 `[capacity, C]`.
        size: Number of sites, int64 `[1]`.
        mean: Whether their mean is asked for. bool `[1]`.
        room: Limbs of the number that is being made, int64 `[LIMBS]`.
    """

    limbs: Integers
    added: Floats
    size: Integers
    mean: NDArray[np.bool_]
    room: Integers


class AsyncGlobalPool(AsyncConverter):
    """Sums, means and maxima of all nodes: sums are exact, maxima are searched in the blocks that changed."""

    handles: ClassVar = (global_add_pool, global_mean_pool, global_max_pool)

    def convert(self, plan: Plan, layer: Any, *args: Any, **kwargs: Any) -> Features:
        """The vector."""
        given = dict(zip(("x", "batch", "size"), args, strict=False)) | kwargs
        x, batch = given["x"], given["batch"]
        if not isinstance(x, Features) or not isinstance(batch, SampleIndex) or x.domain is not batch.domain:
            raise Unsupported("it does not pool the features of all nodes by their sample")
        if given.get("size") not in (None, 1):
            raise Unsupported(f"it pools into {given['size']} samples, where a stream is one")
        pooled, channels, cost = plan.vector(x.channels), x.channels, Cost(site=x.channels)
        if layer is global_max_pool:
            top, size = np.zeros((BLOCKS, channels), np.float32), np.zeros(BLOCKS, np.int64)
            state = plan.state(Maxima(top, size, np.zeros(BLOCKS, np.bool_), np.zeros(1, np.int64)))
            plan.step(take_maxima, [state, x.domain.sites, x.rows, pooled.domain.sites, pooled.rows], x.domain, cost)
            return pooled
        limbs, added = np.zeros((channels, LIMBS), np.int64), np.zeros((x.domain.capacity, channels), np.float32)
        sums = Sums(limbs, added, np.zeros(1, np.int64), np.array([layer is global_mean_pool]), np.zeros(LIMBS, np.int64))
        state = plan.state(sums, x.domain, {"added": 0}) if x.domain.grows else plan.state(sums)
        plan.step(add_up, [state, x.domain.sites, x.rows, pooled.domain.sites, pooled.rows], x.domain, cost)
        return pooled


@numba.njit(cache=True, nogil=True, error_model="numpy")
def take_maxima(maxima: Maxima, sites: Sites, rows: Rows, one: Sites, pooled: Rows) -> int:
    """Bring the maxima of all sites up to date; how many sites were compared."""
    top, size, stale, kept, row = maxima.top, maxima.size, maxima.stale, rows.rows, pooled.row
    left, changed, alive, channels = sites.left, rows.changed, sites.alive, len(pooled.row)
    pooled.counts[0] = 0
    capacity = len(alive)
    block_size = (capacity + BLOCKS - 1) // BLOCKS
    if capacity != maxima.capacity[0]:  # sites have other slots than before
        maxima.capacity[0] = capacity
        stale[:] = True
    for k in range(sites.counts[LEFT]):
        stale[left[k] // block_size] = True
    for k in range(rows.counts[0]):
        stale[changed[k] // block_size] = True
    compared = 0
    for block in range(BLOCKS):
        if not stale[block]:
            continue
        stale[block] = False
        size[block] = 0
        for slot in range(block * block_size, min((block + 1) * block_size, capacity)):
            if alive[slot]:
                for c in range(channels):
                    top[block, c] = kept[slot, c] if size[block] == 0 else max(top[block, c], kept[slot, c])
                size[block] += 1
        compared += size[block]
    for c in range(channels):
        row[c] = np.float32(0)
    empty = True
    for block in range(BLOCKS):
        if size[block] > 0:
            for c in range(channels):
                row[c] = top[block, c] if empty else max(row[c], top[block, c])
            empty = False
    commit(one, pooled, 0)
    return compared


@numba.njit(cache=True, nogil=True, error_model="numpy")
def add_up(sums: Sums, sites: Sites, rows: Rows, one: Sites, pooled: Rows) -> int:
    """Bring the sums over all sites up to date; how many sites were added or taken away."""
    limbs, added, kept, row = sums.limbs, sums.added, rows.rows, pooled.row
    left, arrived, changed, alive = sites.left, sites.arrived, rows.changed, sites.alive
    pooled.counts[0] = 0
    taken = sites.counts[LEFT]
    sums.size[0] -= taken
    for k in range(taken):
        slot = left[k]
        _add_row(limbs, added[slot], -1)
        for c in range(len(row)):
            added[slot, c] = np.float32(0)
    for k in range(sites.counts[ARRIVED]):
        sums.size[0] += alive[arrived[k]]
    for k in range(rows.counts[0]):
        slot = changed[k]
        if alive[slot]:
            _add_row(limbs, added[slot], -1)
            _add_row(limbs, kept[slot], 1)
            for c in range(len(row)):
                added[slot, c] = kept[slot, c]
            taken += 1
    share = max(sums.size[0], 1) if sums.mean[0] else 1
    if taken > 0 or one.counts[TRANSACTION] == 1:
        for c in range(len(row)):
            row[c] = np.float32(_value(limbs[c], sums.room) / share)
        commit(one, pooled, 0)
    return int(taken)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _add_row(limbs: Integers, row: Floats, sign: int) -> None:
    """Add a row, or take it away."""
    bits = row.view(np.int32)
    for c in range(len(row)):
        exponent = (bits[c] >> 23) & 0xFF
        digits = np.int64(bits[c] & 0x7FFFFF)
        if exponent > 0:
            digits |= 0x800000
            exponent -= 1
        if bits[c] < 0:
            digits = -digits
        wide = digits << (exponent % LIMB_BITS)
        k = exponent // LIMB_BITS
        limbs[c, k] += sign * (wide & _LIMB)
        limbs[c, k + 1] += sign * (wide >> LIMB_BITS)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _value(limbs: Integers, rest: Integers) -> float:
    """The number that limbs amount to. Of all limbs that do, it makes the same ones first, so that it does not depend on the order
    of what was added.
    """
    negative = False
    for _ in range(2):
        carry = np.int64(0)
        for k in range(LIMBS):
            rest[k] = (-limbs[k] if negative else limbs[k]) + carry
            carry = np.int64(0) if k == LIMBS - 1 else rest[k] >> LIMB_BITS
            rest[k] -= carry << LIMB_BITS
        if rest[LIMBS - 1] >= 0:
            break
        negative = True  # of a negative number, all but the first limb would be far from what they amount to together
    value = 0.0
    for k in range(LIMBS - 1, -1, -1):
        value = value * 2.0**LIMB_BITS + rest[k]
    value *= 2.0**-149
    return np.float64(-value if negative else value)
