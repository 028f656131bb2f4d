"""The exponential function in single precision, in a form that vector units compute many of at once."""

import math
from typing import Any

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic

_LOG2_E = np.float32(1 / math.log(2))
_LN2_HIGH = np.float32(355 / 512)  # of few bits, so that its product with a small whole number is exact (Cody and Waite, 1980)
_LN2_LOW = np.float32(math.log(2) - 355 / 512)
_HALF, _ONE = np.float32(0.5), np.float32(1)
_C3, _C4, _C5, _C6, _C7 = (np.float32(1 / math.factorial(k)) for k in range(3, 8))
_LEAST, _LARGEST = np.float32(-87), np.float32(88)  # beyond these the result is not a normal number


@intrinsic
def _power_of_two(context: Any, exponent: Any) -> Any:  # noqa: ARG001  # numba's signature
    """2ⁿ for a whole number n between -126 and 127, by its bits."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        biased = builder.add(builder.fptosi(arguments[0], context.get_value_type(types.int32)), context.get_constant(types.int32, 127))
        return builder.bitcast(builder.shl(biased, context.get_constant(types.int32, 23)), context.get_value_type(types.float32))

    return types.float32(types.float32), generate


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def exponential(x: np.float32) -> np.float32:
    """eˣ for x from -87 to 88, of which what lies beyond, NaN too, is taken as the end; to about a unit in the last place.

    x = n ln 2 + r with a whole number n and |r| ≤ ln 2 / 2; eʳ is Taylor's series to r⁷, where the rest is 5 · 10⁻⁹.
    """
    x = x if x < _LARGEST else _LARGEST
    x = x if x > _LEAST else _LEAST
    n = np.floor(x * _LOG2_E + _HALF)
    r = (x - n * _LN2_HIGH) - n * _LN2_LOW
    series = _C3 + r * (_C4 + r * (_C5 + r * (_C6 + r * _C7)))
    return np.float32((_ONE + (r + r * r * (_HALF + r * series))) * _power_of_two(n))  # type: ignore[call-arg]  # numba gives the context
