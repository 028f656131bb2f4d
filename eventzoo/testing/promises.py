"""What the checks of all kinds of parts have in common: how a broken promise is told, and what every part promises."""

import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor

from eventzoo.specs import Part, build, spec_of

T = TypeVar("T", bound=Part)


def require(kept: bool, sentence: str) -> None:
    """Raise `AssertionError` with a sentence, unless a promise is kept."""
    if not kept:
        raise AssertionError(sentence)


@contextmanager
def no_error(sentence: str) -> Iterator[None]:
    """Turn any error but a broken promise into one, with a sentence and the error's own."""
    try:
        yield
    except AssertionError:
        raise
    except Exception as error:  # a part under test may raise anything
        raise AssertionError(f"{sentence}: {type(error).__name__}: {error}") from error


def rebuilt(part: T, base: type[T]) -> T:
    """The part that is made from its specification, which must say the same again."""
    name = type(part).__name__
    with no_error(f"{name} cannot be made from its specification, as configurations, saved models and cards do"):
        spec = spec_of(part)
        again = build(spec, base)
        require(type(again) is type(part), f"{name}'s specification gives a {type(again).__name__}")
        for argument, value in spec["init_args"].items():
            found = spec_of(again)["init_args"].get(argument)
            require(found == value, f"{name}, made from its specification, has {argument} {found!r} where it had {value!r}")
    return again


def pickled(part: T) -> T:
    """The part as another process is given it."""
    with no_error(f"{type(part).__name__} cannot be pickled, so that no other process could have it"):
        again: T = pickle.loads(pickle.dumps(part))  # noqa: S301  # pickled here
    return again


def tensors(value: Any) -> list[Tensor]:
    """All tensors in something that a representation makes, in a fixed order."""
    if isinstance(value, Tensor):
        return [value]
    if hasattr(value, "to_dict"):  # torch-geometric's
        value = value.to_dict()
    elif not isinstance(value, Mapping | list | tuple) and hasattr(value, "__dict__"):
        value = vars(value)
    items = [value[key] for key in sorted(value)] if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else []
    return [tensor for item in items for tensor in tensors(item)]


def same(one: Any, other: Any) -> bool:
    """Whether all tensors of two values are equal, types and shapes too."""
    pairs = tensors(one), tensors(other)
    return len(pairs[0]) == len(pairs[1]) and all(
        a.dtype == b.dtype and a.shape == b.shape and torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in zip(*pairs, strict=True)
    )
