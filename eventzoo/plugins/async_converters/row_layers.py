"""Layers that treat every site by itself: activations, batch normalisation, sums, dropout, linear layers."""

import operator
from typing import Any, ClassVar, NamedTuple

import numba
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # the field's name for it
from torch import nn
from torch_geometric.nn import BatchNorm as GraphBatchNorm

from eventzoo.asynchronous import AsyncConverter, Cost, Features, Plan, Unsupported
from eventzoo.kernels.asynchronous.exponential import exponential
from eventzoo.kernels.asynchronous.sites import Floats
from eventzoo.nn.sparse import SparseBatchNorm, SparseReLU


class Constants(NamedTuple):
    """Numbers that an activation depends on, float32 `[any]`."""

    values: Floats


class Affine(NamedTuple):
    """A factor and a summand a channel, float32 `[C]` each."""

    scale: Floats
    shift: Floats


class AsyncActivation(AsyncConverter):
    """Activations, of a site's features one by one."""

    handles: ClassVar = (
        *(nn.ELU, nn.ReLU, nn.LeakyReLU, nn.SiLU, nn.Sigmoid, nn.Tanh, SparseReLU),
        *(F.elu, F.relu, F.leaky_relu, F.silu, torch.relu, torch.sigmoid, torch.tanh, torch.Tensor.relu, F.sigmoid, F.tanh),
    )

    def convert(self, plan: Plan, layer: Any, *args: Any, **kwargs: Any) -> Features:
        """The activated features."""
        x, *rest = args or (kwargs["x" if isinstance(layer, SparseReLU) else "input"],)
        if not isinstance(x, Features):
            raise Unsupported("it is not given features")
        is_module = isinstance(layer, nn.Module)
        base = next((base for base in type(layer).__mro__ if base in self.handles), layer)
        name = base.__name__.lower().removeprefix("sparse")
        if name in ("elu", "leaky_relu", "leakyrelu"):
            attribute, default = ("alpha", 1.0) if name == "elu" else ("negative_slope", 0.01)
            value = getattr(layer, attribute) if is_module else kwargs.get(attribute, rest[0] if rest else default)
            weights = [plan.weights(Constants(np.array([value], np.float32)))]
            return plan.refine(_elu if name == "elu" else _leaky_relu, weights, x, cost=Cost(site=2 * x.channels))
        function = {"relu": _relu, "silu": _silu, "sigmoid": _sigmoid, "tanh": _tanh}[name]
        return plan.refine(function, [], x, cost=Cost(site=x.channels * (1 if name == "relu" else 3)))


class AsyncBatchNorm(AsyncConverter):
    """Batch normalisation as it is in evaluation: by the running statistics, which makes it a factor and a summand a channel."""

    handles: ClassVar = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, GraphBatchNorm, SparseBatchNorm)

    def convert(self, plan: Plan, layer: Any, *args: Any, **kwargs: Any) -> Features:
        """The normalised features."""
        x = (args or tuple(kwargs.values()))[0]
        norm: Any = layer.module if isinstance(layer, GraphBatchNorm | SparseBatchNorm) else layer
        if norm.running_mean is None:
            raise Unsupported("it keeps no running statistics, so that every event would change every site")
        if not isinstance(x, Features):
            raise Unsupported("it is not given features")
        scale = 1 / torch.sqrt(norm.running_var.double() + norm.eps)
        shift = -norm.running_mean.double() * scale
        if norm.affine:
            scale, shift = scale * norm.weight.double(), shift * norm.weight.double() + norm.bias.double()
        weights = Affine(*(value.detach().float().cpu().numpy() for value in (scale, shift)))
        return plan.refine(_affine, [plan.weights(weights)], x, cost=Cost(site=2 * x.channels))


class AsyncAdd(AsyncConverter):
    """Sums of two layers' features, as in residual connections, or of features and a number."""

    handles: ClassVar = (operator.add, operator.iadd, torch.add)

    def convert(self, plan: Plan, layer: Any, *args: Any, **kwargs: Any) -> Features:  # noqa: ARG002  # one function under many names
        """The sum."""
        x, other = args if len(args) == 2 else (args[0], kwargs.get("other"))
        if isinstance(x, Features) != isinstance(other, Features) and not kwargs.keys() - {"other"}:
            return _with_number(plan, x, other, shifts=True)
        if kwargs.keys() - {"other"} or not isinstance(x, Features) or not isinstance(other, Features) or not _same_sites(x, other):
            raise Unsupported("it does not add the features of the same sites")
        if x.channels != other.channels or x.size != other.size:
            raise Unsupported("it adds features of different shapes")
        return plan.refine(_add, [], x, other, cost=Cost(site=x.channels))


class AsyncMultiply(AsyncConverter):
    """Products of features and a number."""

    handles: ClassVar = (operator.mul, operator.imul, torch.mul, torch.Tensor.mul)

    def convert(self, plan: Plan, layer: Any, *args: Any, **kwargs: Any) -> Features:  # noqa: ARG002  # one function under many names
        """The product."""
        x, other = args if len(args) == 2 else (args[0], kwargs.get("other"))
        if kwargs.keys() - {"other"}:
            raise Unsupported("it is given more than two factors")
        return _with_number(plan, x, other, shifts=False)


class AsyncDropout(AsyncConverter):
    """Dropout, which does nothing in evaluation."""

    handles: ClassVar = (nn.Dropout, nn.Identity, F.dropout)

    def convert(self, plan: Plan, layer: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ARG002  # nothing to plan
        """The features as they are."""
        training = layer is F.dropout and (kwargs.get("training", args[2] if len(args) > 2 else True))
        if training:
            raise Unsupported("it drops features in evaluation too")
        return (args or tuple(kwargs.values()))[0]


def _same_sites(x: Features, other: Features) -> bool:
    """Whether rows of the same slot belong together: of one domain, or of dense maps of one size, whose cells are always there."""
    return x.domain is other.domain or (x.size is not None and x.size == other.size and not x.sparse and not other.sparse)


def _with_number(plan: Plan, x: Any, other: Any, shifts: bool) -> Features:
    """The sum or product of features and a number, either of which may come first."""
    x, number = (x, other) if isinstance(x, Features) else (other, x)
    if not isinstance(x, Features) or not isinstance(number, int | float):
        raise Unsupported("it is given something other than features and a number")
    scale, shift = (1, number) if shifts else (number, 0)
    weights = Affine(np.full(x.channels, scale, np.float32), np.full(x.channels, shift, np.float32))
    return plan.refine(_affine, [plan.weights(weights)], x, cost=Cost(site=x.channels))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _elu(constants: Constants, row: Floats) -> None:
    alpha = constants.values[0]
    for c in range(len(row)):
        if row[c] < 0:
            row[c] = alpha * np.expm1(row[c])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _leaky_relu(constants: Constants, row: Floats) -> None:
    for c in range(len(row)):
        if row[c] < 0:
            row[c] *= constants.values[0]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _relu(row: Floats) -> None:
    for c in range(len(row)):
        row[c] = max(row[c], np.float32(0))


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _silu(row: Floats) -> None:
    for c in range(len(row)):
        row[c] /= np.float32(1) + exponential(-row[c])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _sigmoid(row: Floats) -> None:
    for c in range(len(row)):
        row[c] = np.float32(1) / (np.float32(1) + np.exp(-row[c]))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _tanh(row: Floats) -> None:
    for c in range(len(row)):
        row[c] = np.tanh(row[c])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _affine(weights: Affine, row: Floats) -> None:
    for c in range(len(row)):
        row[c] = row[c] * weights.scale[c] + weights.shift[c]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _add(row: Floats, other: Floats) -> None:
    for c in range(len(row)):
        row[c] += other[c]
