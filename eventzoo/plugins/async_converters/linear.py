"""Linear layers, event by event: of a whole map by its cells, or of every site by itself."""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numba
import numpy as np
import torch
from torch import nn

from eventzoo.asynchronous import AsyncConverter, Cost, Features, Plan, Unsupported
from eventzoo.kernels.asynchronous.products import add_product
from eventzoo.kernels.asynchronous.sites import Floats, Rows, Sites, clear_row, commit, copy_row


class Dense(NamedTuple):
    """Weights of a layer of single sites: float32 `[C_in, C_out]` and `[C_out]`."""

    weight: Floats
    bias: Floats


class DenseByCell(NamedTuple):
    """Weights of a layer of a whole map: float32 `[cells, C_in, C_out]` and `[C_out]`."""

    weight: Floats
    bias: Floats


class Shares(NamedTuple):
    """What each cell contributes: the product of its features with its weights, float32 `[cells, C_out]`."""

    share: Floats


@dataclass(eq=False)
class Flattened:
    """The features of all cells of a map as one row, channels outermost."""

    features: Features


class AsyncFlatten(AsyncConverter):
    """Flattening of a map to one row; of a row, nothing."""

    handles: ClassVar = (nn.Flatten, torch.flatten, torch.Tensor.flatten)

    def convert(self, plan: Plan, layer: Any, *args: Any, **kwargs: Any) -> Any:  # nothing to plan
        """The map as one row."""
        x, *dims = args or (kwargs["input"],)
        if isinstance(layer, nn.Flatten):
            dims = [layer.start_dim, layer.end_dim]
        first, last = [*dims, *[kwargs.get("start_dim", 0), kwargs.get("end_dim", -1)][len(dims) :]]
        if not isinstance(x, Features) or first != 1 or last not in (-1, len(x.size or ()) + 1):
            raise Unsupported("it flattens something other than a map's channels, rows and columns")
        if x.size is None:
            return x
        return Features(x.rows, x.domain, shared=x.shared) if x.domain is plan.whole else Flattened(x)


class AsyncLinear(AsyncConverter):
    """Linear layers. Of a flattened map, only cells that changed are multiplied anew, and all shares are summed: nothing drifts."""

    handles: ClassVar = (nn.Linear,)

    def convert(self, plan: Plan, layer: nn.Linear, *args: Any, **kwargs: Any) -> Features:
        """The layer's output."""
        x = args[0] if args else kwargs["input"]
        weight = layer.weight.detach().float().cpu().numpy()
        bias = np.zeros(len(weight), np.float32) if layer.bias is None else layer.bias.detach().float().cpu().numpy()
        if isinstance(x, Features) and x.size is None:
            weights = plan.weights(Dense(np.ascontiguousarray(weight.T), bias))
            return plan.rows(_multiply, [weights], x, len(weight), cost=Cost(site=2 * weight.size))
        if not isinstance(x, Flattened):
            raise Unsupported("it multiplies the columns of a map")
        x = x.features
        cells, channels = x.domain.capacity, x.channels
        by_cell = weight.reshape(len(weight), channels, cells).transpose(2, 1, 0)
        output = plan.vector(len(weight))
        weights = plan.weights(DenseByCell(np.ascontiguousarray(by_cell), bias))
        shares = plan.state(Shares(np.zeros((cells, len(weight)), np.float32)))
        cost = Cost(site=2 * channels * len(weight))
        plan.step(_multiply_cells, [weights, shares, x.rows, output.domain.sites, output.rows], x.domain, cost)
        return output


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _multiply(dense: Dense, x: Floats, slot: int, out: Floats) -> None:
    """One site's row."""
    copy_row(out, dense.bias)
    add_product(out, x[slot], dense.weight)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _multiply_cells(dense: DenseByCell, shares: Shares, x: Rows, one: Sites, output: Rows) -> int:
    """The row of the whole map; how many cells were multiplied."""
    output.counts[0] = 0
    for k in range(x.counts[0]):
        cell = x.changed[k]
        clear_row(shares.share[cell])
        add_product(shares.share[cell], x.rows[cell], dense.weight[cell])
    if x.counts[0] > 0:
        copy_row(output.row, dense.bias)
        for cell in range(len(shares.share)):
            for o in range(len(output.row)):
                output.row[o] += shares.share[cell, o]
        commit(one, output, 0)
    return int(x.counts[0])
