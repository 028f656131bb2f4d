"""The kernels of tokens event by event, each compared with its formula, in double precision and literally."""

import itertools

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from eventzoo.kernels.asynchronous import sites as site_kernels
from eventzoo.kernels.asynchronous.sites import make_rows, make_sites
from eventzoo.kernels.asynchronous.tokens import attention, stream, time

CAPACITY = 64  # slots for tokens of a transaction


def arrive(sites, given_rows, rows):
    """The next transaction of them."""
    stream.begin_anew(sites)
    for k, row in enumerate(rows):
        site_kernels.arrive(sites, k, k)
        given_rows.rows[k] = row


def rng_of(seed):
    return np.random.default_rng(seed)


def pieces(count, sizes):
    """Bounds of pieces of these sizes, again and again."""
    ends, again = [0], itertools.cycle(sizes)
    while ends[-1] < count:
        ends.append(min(ends[-1] + next(again), count))
    return list(itertools.pairwise(ends))


def shares(z, bias=0.0):
    """By the kernel."""
    found = np.array(z, np.float32)
    attention._shares(found, np.full(len(found), bias, np.float32))
    return found


def exact_shares(z):
    return np.exp(-np.logaddexp(0, -np.asarray(z, np.float32).astype(np.float64)) / 16)


@given(st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=40))
@settings(max_examples=200, deadline=None)
def test_shares_of_the_state_that_stay(z):
    np.testing.assert_allclose(shares(z), exact_shares(z), rtol=1e-6)


def test_shares_near_one_are_rounded_but_once():
    """They are applied as often as the state is long remembered."""
    z = np.linspace(4, 30, 10_001, dtype=np.float32)
    assert np.abs(shares(z) - exact_shares(z)).max() < 0.51 * 2.0**-24


def test_shares_of_extreme_gates():
    z = np.array([-1e4, -1400, -1300, -700, -81, -80.001, -80, -79.999, -60, -20, 20, 88, 1e4], np.float32)
    np.testing.assert_allclose(shares(z), exact_shares(z), rtol=3e-6, atol=2e-38)
    np.testing.assert_array_equal(shares(z - 3, bias=3), shares(z - 3 + np.float32(3)))
    assert shares(z)[-1] == 1
    assert (np.diff(shares(np.linspace(-85, -75, 1_000))) >= 0).all()


@pytest.mark.parametrize("channels", [1, 3, 4, 8, 37, 64])
@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("scale", [1e-4, 1, 1e4])
def test_normalisation(channels, centred, scale):
    rng = rng_of(channels)
    row, weight, bias = (rng.normal(size=channels).astype(np.float32) for _ in range(3))
    row = (row * np.float32(scale)).astype(np.float32)
    away = row.astype(np.float64) - (row.astype(np.float64).mean() if centred else 0)
    expected = away / np.sqrt(np.square(away).mean() + 1e-5) * weight + bias
    attention.normalise_row(attention.Norm(weight, bias, np.array([1e-5, centred], np.float32)), row)
    np.testing.assert_allclose(row, expected, rtol=2e-5, atol=2e-6)


def test_a_row_without_deviations_is_the_bias():
    bias = np.arange(8, dtype=np.float32)
    for value in (0, 5, 1e6):
        row = np.full(8, value, np.float32)
        attention.normalise_row(attention.Norm(np.ones(8, np.float32), bias, np.array([1e-5, True], np.float32)), row)
        np.testing.assert_array_equal(row, bias)


@settings(deadline=None)
@given(st.integers(0, 11), st.integers(1, 9), st.integers(1, 9), st.integers(0, 99))
def test_products_of_rows_have_the_same_bits_however_many_there_are(count, inputs, outputs, seed):
    rng = rng_of(seed)
    rows, matrix = rng.normal(size=(count + 1, inputs + 5)).astype(np.float32), rng.normal(size=(inputs, outputs)).astype(np.float32)
    found = np.full((count + 1, outputs + 4), 7, np.float32)
    attention.multiply_rows(found, 3, outputs, rows, 2, matrix, count)
    for n in range(count):
        alone = np.empty((1, outputs), np.float32)
        attention.multiply_rows(alone, 0, outputs, rows[n : n + 1].copy(), 2, matrix, 1)
        np.testing.assert_array_equal(found[n, 3 : 3 + outputs], alone[0])
    expected = rows[:count, 2 : 2 + inputs].astype(np.float64) @ matrix
    np.testing.assert_allclose(found[:count, 3 : 3 + outputs], expected, rtol=1e-5, atol=1e-5)
    assert (found[:, :3] == 7).all()
    assert (found[:, 3 + outputs :] == 7).all()
    assert (found[count] == 7).all()


def literal_attention(x, weights, heads):
    """The recurrence in double precision, of tokens `[N, C]`."""
    project, decay, bias, norm, output = (array.astype(np.float64) for array in weights)
    inner, found = len(bias), []
    keys = inner // heads
    state = np.zeros((heads, keys, keys))
    for token in x.astype(np.float64) @ project:
        q, k, v, gate = token[: 4 * inner].reshape(4, heads, keys)
        forget = np.exp(-np.logaddexp(0, -(token[4 * inner :] @ decay + bias)) / 16).reshape(heads, keys)
        state = forget[:, :, None] * state + k[:, :, None] * v[:, None, :]
        seen = np.einsum("hkv,hk->hv", state, q) / np.sqrt(keys)
        seen = seen / np.sqrt(np.square(seen).mean(1, keepdims=True) + 1e-5) * norm
        found.append((seen * gate / (1 + np.exp(-gate))).reshape(inner) @ output)
    return np.array(found)


@pytest.mark.parametrize("strength", [-300, -90, -3, 0, 12])
@pytest.mark.parametrize(("dim", "heads", "keys"), [(8, 2, 4), (5, 3, 3), (6, 1, 7)])
def test_attention(strength, dim, heads, keys):
    rng, inner = rng_of(heads), heads * keys
    shapes = (dim, 4 * inner + 16), (16, inner), (inner,), (keys,), (inner, dim)
    weights = [rng.normal(0, 0.4, shape).astype(np.float32) for shape in shapes]
    weights[2] += np.float32(strength)
    x = rng.normal(size=(50, dim)).astype(np.float32)
    room = [np.full((CAPACITY, width), np.nan, np.float32) for width in (4 * inner + 16, inner, inner, dim)]
    layer = attention.Attention(*weights, np.array([keys**-0.5, 1e-5], np.float32), *room)
    expected, found = literal_attention(x, weights, heads), []
    state, sites, rows, out = np.zeros((heads, keys, keys), np.float32), make_sites(CAPACITY), *(make_rows(CAPACITY, dim) for _ in range(2))
    for first, last in pieces(50, (1, 4, 7, 2)):
        arrive(sites, rows, x[first:last])
        assert attention.attend(layer, state, rows.rows, sites, out) == last - first
        assert out.changed[: out.counts[0]].tolist() == list(range(last - first))
        found.append(out.rows[: last - first].copy())
    np.testing.assert_allclose(np.concatenate(found), expected, rtol=1e-4, atol=2e-5 * np.abs(expected).max())


@settings(deadline=None)
@given(st.integers(0, 60), st.lists(st.integers(0, 9), min_size=1, max_size=6).filter(any))
def test_halving(count, sizes):
    """The same pairs, however they come."""
    x = rng_of(count).normal(size=(count, 3)).astype(np.float32)
    pending, tokens = stream.Pending(np.zeros(3, np.float32), np.zeros(1, np.int64)), stream.make_tokens(CAPACITY)
    sites, rows = make_sites(CAPACITY), make_rows(CAPACITY, 3)
    halved, halved_sites, halved_rows, found = stream.make_tokens(CAPACITY), make_sites(CAPACITY), make_rows(CAPACITY, 3), []
    for first, last in pieces(count, sizes):
        arrive(sites, rows, x[first:last])
        for at, array in enumerate(tokens):
            array[: last - first] = np.arange(first, last) + at
        made = stream.halve(pending, tokens, sites, rows, halved, halved_sites, halved_rows)
        assert made == halved_sites.counts[site_kernels.ARRIVED] == halved_rows.counts[0] == last // 2 - first // 2
        assert halved_sites.alive.sum() == made
        ends = np.arange(first // 2, last // 2) * 2 + 1
        for at, array in enumerate(halved):
            assert at == 0 or array[:made].tolist() == (ends + at).tolist()
        found.extend(halved_rows.rows[:made].copy())
    assert pending.there[0] == count % 2
    expected = (x[: count // 2 * 2 : 2] + x[1::2][: count // 2]) / np.float32(2)
    np.testing.assert_array_equal(np.array(found).reshape(-1, 3), expected)


class Pooled:
    """The mean of a window of tokens `[N, C]` at times `t`, from the events that come on; of rings of so many slots."""

    def __init__(self, x, t, window, halved, capacity):
        self.x, self.t, self.channels = x, t, x.shape[1]
        self.events, self.event_sites = stream.make_stream((8, 8), window, capacity), make_sites(capacity)
        self.tokens = self._room()
        self.halves = self._room() if halved else None
        self.pending = stream.Pending(np.zeros(self.channels, np.float32), np.zeros(1, np.int64))
        self.mean = stream.Mean(np.zeros(self.channels, np.float64), np.zeros(2, np.int64))
        self.kept = stream.Kept(np.zeros((capacity, self.channels), np.float32), np.zeros(capacity, np.bool_))
        self.one, self.pooled = make_sites(1), make_rows(1, self.channels)

    def _room(self):
        return stream.make_tokens(CAPACITY), make_sites(CAPACITY), make_rows(CAPACITY, self.channels)

    def take(self, begin, end, now=stream.NEVER):
        """One transaction: the events `begin` to `end`; the mean after it."""
        (tokens, sites, rows), nothing = self.tokens, np.zeros(len(self.t), np.int16)
        columns = nothing, nothing, self.t, nothing > 0
        assert stream.push_events(self.events, self.event_sites, tokens, sites, *columns, begin, end, now) == end
        rows.rows[: end - begin] = self.x[begin:end]
        rows.counts[0] = end - begin
        if self.halves:
            stream.halve(self.pending, tokens, sites, rows, *self.halves)
            tokens, sites, rows = self.halves
        site_kernels.begin_fixed(self.one)
        stream.move_mean(self.mean, self.kept, self.events.at, tokens, sites.counts, rows.rows, self.one, self.pooled)
        return self.pooled.rows[0]


@settings(max_examples=60, deadline=None)
@given(
    gaps=st.lists(st.sampled_from([0, 0, 1, 2, 30]), min_size=1, max_size=60),
    sizes=st.lists(st.integers(0, 9), min_size=1, max_size=6).filter(any),
    window=st.sampled_from([(1, None), (2, None), (5, None), (16, None), (None, 1), (None, 3), (None, 31), (None, 10**6)]),
    halved=st.booleans(),
    silence=st.sampled_from([None, 2, 10**7]),
)
@example(gaps=[1] * 60, sizes=[9], window=(None, 31), halved=False, silence=10**7)
def test_the_mean_of_a_window(gaps, sizes, window, halved, silence):
    """Of rings so short that slots are used again, pushed in any pieces and, to the bit, one by one."""
    t = np.cumsum(gaps) + 10**12
    rng, share = rng_of(len(t)), 1 + halved
    x = (rng.normal(size=(len(t), 2)) * 10.0 ** rng.integers(-6, 7, (len(t), 1))).astype(np.float32)
    capacity = 32 if window[1] is None else 128  # at least those of the window and a transaction's
    network, single = (Pooled(x, t, window, halved, capacity) for _ in range(2))
    for first, last in pieces(len(t), sizes):
        steps = [(first, last, stream.NEVER), *([(last, last, int(t[-1]) + silence)] if silence and last == len(t) else [])]
        for begin, end, now in steps:
            found = network.take(begin, end, now)
            for n in range(begin, end):
                single.take(n, n + 1)
            if now != stream.NEVER:
                single.take(end, end, now)
            np.testing.assert_array_equal(network.mean.total, single.mean.total)
            clock = max(now, int(t[end - 1])) if end else int(t[0])
            inside = np.arange(len(t)) < end
            if window[0] is not None:
                inside[: max(end - window[0], 0)] = False
            else:
                inside &= clock - t < window[1]
            np.testing.assert_array_equal(stream.window_events(network.events)[2], t[inside])
            assert network.event_sites.alive.sum() == inside.sum()
            last_events = [n for n in range(end) if n % share == share - 1 and inside[n]]
            expected = np.mean([x[n - share + 1 : n + 1].mean(0) for n in last_events], 0) if last_events else np.zeros(2)
            assert network.mean.at[stream.COUNT] == len(last_events)
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
            assert last_events or (network.mean.total == 0).all()


def test_the_mean_of_all():
    x, mean = rng_of(0).normal(size=(50, 3)).astype(np.float32), stream.Mean(np.zeros(3, np.float64), np.zeros(2, np.int64))
    sites, rows, one, pooled = make_sites(CAPACITY), make_rows(CAPACITY, 3), make_sites(1), make_rows(1, 3)
    for first, last in pieces(50, (0, 1, 5, 9)):
        arrive(sites, rows, x[first:last])
        site_kernels.begin_fixed(one)
        assert stream.add_to_mean(mean, sites.counts, rows.rows, one, pooled) == last - first
        np.testing.assert_allclose(pooled.rows[0], x[:last].mean(0) if last else 0, rtol=1e-6, atol=1e-7)


def test_places():
    """As the table of an embedding has them: (p · height + y) · width + x."""
    width, height = 5, 3
    p, y, x = (array.ravel() for array in np.indices((2, height, width)))
    events, sites, tokens = make_sites(CAPACITY), make_sites(CAPACITY), stream.make_tokens(CAPACITY)
    track = stream.make_stream((width, height), (None, None), CAPACITY)
    columns = x.astype(np.int16), y.astype(np.int16), np.arange(30) * 10**15, p > 0
    stream.push_events(track, events, tokens, sites, *columns, 0, 30, stream.NEVER)
    assert tokens.place[:30].tolist() == list(range(30))
    assert tokens.t[:30].tolist() == columns[2].tolist()
    for found, expected in zip(stream.window_events(track), columns, strict=True):
        np.testing.assert_array_equal(found, expected)
    table, rows = rng_of(0).normal(size=(30, 4)).astype(np.float32), make_rows(CAPACITY, 4)
    assert stream.embed(table, tokens.place, sites, rows) == 30
    np.testing.assert_array_equal(rows.rows[:30], table)


def literal_gaps(t, convs, norms, scale, log):
    """Causal convolutions over all gaps, in double precision, each output of one input."""
    gaps = np.diff(t, prepend=t[:1]) / scale
    x = np.log1p(gaps)[:, None] if log else gaps[:, None]
    for number, (conv, norm) in enumerate(zip(convs, norms, strict=True)):
        x = np.repeat(np.maximum(x, 0) if number else x, len(conv) // x.shape[1], 1)
        padded = np.concatenate([np.zeros((2, x.shape[1])), x])
        x = sum(padded[tap : tap + len(x)] * conv[:, tap] for tap in range(3))
        x = x - x.mean(1, keepdims=True)
        x = x / np.sqrt(np.square(x).mean(1, keepdims=True) + 1e-5) * norm[:, 0] + norm[:, 1]
    return x


@pytest.mark.parametrize("log", [True, False])
@pytest.mark.parametrize("longest", [1, 300, 10**9])
def test_gaps(log, longest):
    rng, widths = rng_of(longest % 7), (1, 2, 4, 8)
    convs = [rng.normal(size=(width, 3)).astype(np.float32) for width in widths[1:]]
    norms = [rng.normal(size=(width, 2)).astype(np.float32) for width in widths[1:]]
    t = -(10**12) + np.cumsum(rng.integers(0, longest + 1, 60))
    scale = np.array([100, 1e-5, log], np.float64)
    weights = time.GapWeights(np.concatenate(convs), np.concatenate(norms), scale, np.array(widths), np.full(8, np.nan, np.float32))
    gaps, rows, sites, found = (
        time.Gaps(np.zeros((7, 2), np.float32), np.zeros(2, np.int64)),
        make_rows(CAPACITY, 8),
        make_sites(CAPACITY),
        [],
    )
    for first, last in pieces(60, (1, 2, 1, 9)):
        arrive(sites, rows, np.zeros((last - first, 8)))
        assert time.embed_gaps(weights, gaps, t[first:last].copy(), sites, rows) == last - first
        found.append(rows.rows[: last - first].copy())
    expected = literal_gaps(t, convs, norms, 100, log)
    np.testing.assert_allclose(np.concatenate(found), expected, rtol=1e-4, atol=1e-5)


def test_functions_of_time():
    """Phases are computed in single precision, as torch has them; the functions of these, in double."""
    rng = rng_of(3)
    rate, phase = (rng.normal(size=6).astype(np.float32) for _ in range(2))
    kind = np.array([time.LINE, time.SINE, time.COSINE] * 2)
    t = 10**14 + np.cumsum(rng.integers(0, 10**7, 40))
    waves, origin = time.Waves(rate, phase, kind, np.array([1_000, 1.5], np.float64)), np.zeros(2, np.int64)
    rows, sites, found = make_rows(CAPACITY, 6), make_sites(CAPACITY), []
    for first, last in pieces(40, (0, 1, 3, 8)):
        arrive(sites, rows, np.zeros((last - first, 6)))
        assert time.embed_time(waves, origin, t[first:last].copy(), sites, rows) == last - first
        found.append(rows.rows[: last - first].copy())
    phases = ((t - t[0]) / 1_000).astype(np.float32)[:, None] * np.float32(1.5) * rate + phase
    exact = phases.astype(np.float64)
    expected = np.where(kind == time.LINE, exact, np.where(kind == time.SINE, np.sin(exact), np.cos(exact)))
    np.testing.assert_allclose(np.concatenate(found), expected, rtol=3e-7, atol=3e-7)
