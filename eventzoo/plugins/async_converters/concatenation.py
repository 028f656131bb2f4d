"""Features side by side, as skip connections put them, event by event."""

from typing import Any, ClassVar, NamedTuple

import numba
import numpy as np
import torch

from eventzoo.asynchronous import AsyncConverter, Features, Plan, Unsupported
from eventzoo.kernels.asynchronous.sites import Floats, Integers


class First(NamedTuple):
    """The channel that features begin at, int64 `[1]`."""

    channel: Integers


class AsyncConcatenation(AsyncConverter):
    """The channels of several layers' features as those of one."""

    handles: ClassVar = (torch.cat, torch.concat, torch.concatenate)

    def convert(self, plan: Plan, layer: Any, *args: Any, **kwargs: Any) -> Features:  # noqa: ARG002  # one function under many names
        """The features side by side."""
        given = dict(zip(("tensors", "dim"), args, strict=False)) | kwargs
        parts, dim = given["tensors"], given.get("dim", given.get("axis", 0))
        if not all(isinstance(part, Features) for part in parts):
            raise Unsupported("it is given more than features")
        first = parts[0]
        if any(part.domain is not first.domain or part.size != first.size for part in parts):
            raise Unsupported("it does not join the features of the same sites")
        if dim not in (1, -1 if first.size is None else -3):
            raise Unsupported(f"it joins sites and not channels (dim={dim})")
        output, channel = plan.rows(_begin, [], first, sum(part.channels for part in parts)), first.channels
        for part in parts[1:]:
            output.shared = False
            output = plan.refine(_go_on, [plan.weights(First(np.array([channel], np.int64)))], output, part)
            channel += part.channels
        return output


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _begin(x: Floats, slot: int, out: Floats) -> None:
    """The first of the features."""
    for c in range(x.shape[1]):
        out[c] = x[slot, c]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _go_on(first: First, row: Floats, other: Floats) -> None:
    """The next of them."""
    channel = first.channel[0]
    for c in range(len(other)):
        row[channel + c] = other[c]
