import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from eventzoo.kernels.asynchronous.exponential import exponential


@given(st.floats(-87, 88, width=32))
@example(0.0)
@example(-1e-30)
@example(np.float32(np.log(2) / 2))
@settings(deadline=None)  # it is compiled first
def test_it_is_the_exponential_to_a_unit_in_the_last_place(x):
    expected = np.exp(np.float64(x))
    assert abs(exponential(np.float32(x)) - expected) <= 1.5 * np.spacing(np.float32(expected))


@given(st.floats(width=32, allow_nan=True))
@example(np.inf)
@example(-np.inf)
@example(np.nan)
@settings(deadline=None)
def test_beyond_its_range_it_is_that_of_the_end(x):
    end = exponential(np.float32(np.clip(x, -87, 88) if x == x else 88))
    assert exponential(np.float32(x)) == end
    assert np.isfinite(end)
