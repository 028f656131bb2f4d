import itertools
import math

import pytest
import torch

from eventzoo.errors import EventZooError
from eventzoo.nn.tokens.spatial import ParametricEmbedding, TableEmbedding

SENSOR = 10, 8


def randomised(embedding):
    """With weights and normalisations as if trained."""
    torch.manual_seed(0)
    for parameter in embedding.parameters():
        torch.nn.init.normal_(parameter)
    return embedding


def cell(pixel, count, of, cells):
    """Python's `round` is half to even, as is the published one."""
    return pixel * count // of if cells == "equal" else min(round(pixel * count / of), count - 1)


@pytest.mark.parametrize("separate", [True, False])
@pytest.mark.parametrize(
    ("grid", "neighbours", "dilation", "cells"),
    [(None, 0, 1, "equal"), ((5, 3), 0, 1, "equal"), ((5, 4), 2, 1, "rounded"), ((7, 3), 1, 2, "equal"), (None, 3, 1, "rounded")],
)
def test_tables(make_tokens, separate, grid, neighbours, dilation, cells):
    """Sums over neighbours, pixel by pixel, clamped at the border."""
    embedding = randomised(TableEmbedding(SENSOR, 9, separate, grid, neighbours, dilation, cells))
    width, height = grid or SENSOR
    steps = range(-neighbours, neighbours + 1)
    ones = [1.0] * len(steps) ** 2
    batch, expected = make_tokens(30, 5, sensor_size=SENSOR), []
    for x, y, p in zip(batch.x.tolist(), batch.y.tolist(), batch.p.tolist(), strict=True):
        column, row = cell(x, width, SENSOR[0], cells), cell(y, height, SENSOR[1], cells)
        columns = [min(max(column + step * dilation, 0), width - 1) for step in steps]
        rows = [min(max(row + step * dilation, 0), height - 1) for step in steps]
        if separate:
            of_row, of_column = (ones if part.weights is None else part.weights for part in (embedding.rows, embedding.columns))
            total = [weight * embedding.rows.table.weight[p * height + r] for weight, r in zip(of_row, rows, strict=False)]
            other = [weight * embedding.columns.table.weight[p * width + c] for weight, c in zip(of_column, columns, strict=False)]
            expected.append(torch.cat([sum(total), sum(other)]))
        else:
            weights, table = ones if embedding.places.weights is None else embedding.places.weights, embedding.places.table.weight
            near = itertools.product(rows, columns)
            expected.append(sum(w * table[(p * height + r) * width + c] for w, (r, c) in zip(weights, near, strict=True)))
    torch.testing.assert_close(embedding(batch), torch.stack(expected))


def test_weights_of_neighbours_begin_by_their_distance():
    separate, joint = TableEmbedding(SENSOR, 4, True, neighbours=2), TableEmbedding(SENSOR, 4, False, neighbours=1)
    for part in (separate.rows, separate.columns):
        assert part.weights.tolist() == pytest.approx([0.1353, 0.6065, 1, 0.6065, 0.1353], abs=1e-4)
    near, far = math.exp(-0.5), math.exp(-1)
    assert joint.places.weights.tolist() == pytest.approx([far, near, far, near, 1, near, far, near, far])


def test_rounded_cells_are_of_unequal_sizes():
    """As those of the published weights: of 180 rows in 36 cells, the first has 3, the last 7."""
    rounded, equal = (TableEmbedding((240, 180), 8, True, (48, 36), cells=cells) for cells in ("rounded", "equal"))
    sizes = [part.near(torch.arange(180), 1).flatten().bincount().tolist() for part in (rounded, equal)]
    assert sizes == [[3] + [5] * 34 + [7], [5] * 36]


@pytest.mark.parametrize(
    "made",
    [
        lambda: ParametricEmbedding(SENSOR, 16),
        lambda: TableEmbedding(SENSOR, 16, True, (5, 4), 2),
        lambda: TableEmbedding(SENSOR, 16, False, (5, 4), 1),
    ],
)
def test_places_embedded_once_are_those_embedded_for_each_token(make_tokens, made):
    """On more tokens than there are places, and gradients with them."""
    embedding, batch = randomised(made()), make_tokens(200, 0, 1)
    x, y, p = (values.long() for values in batch[:3])
    assert len(x) > 2 * SENSOR[0] * SENSOR[1]
    found = []
    for tokens in (embedding(batch), embedding.embed(x, y, p)):
        loss = (tokens * torch.arange(16.0)).square().sum()
        found.append([tokens, *torch.autograd.grad(loss, list(embedding.parameters()))])
    for once, each in zip(*found, strict=True):
        torch.testing.assert_close(once, each, rtol=1e-4, atol=1e-4 * each.abs().max().item())


def test_a_parametric_embedding_is_its_formula(make_tokens):
    embedding, batch = randomised(ParametricEmbedding(SENSOR, 8)), make_tokens(20)
    x = torch.stack([2 * batch.x / 9 - 1, 2 * batch.y / 7 - 1, 2.0 * batch.p - 1], 1)
    for linear, norm in zip(embedding.layers[::3], embedding.layers[1::3], strict=True):
        x = x @ linear.weight.T
        x = (x - x.mean(1, keepdim=True)) / (x.var(1, correction=0, keepdim=True) + 1e-5).sqrt() * norm.weight + norm.bias
        x = x if norm is embedding.layers[-1] else x.relu()
    torch.testing.assert_close(embedding(batch), x, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: ParametricEmbedding(SENSOR, 6), r"a dim divisible by 4 and a sensor of 2×2 at least, not 6 and \(10, 8\)"),
        (lambda: ParametricEmbedding((10, 1), 8), r"a sensor of 2×2 at least, not 8 and \(10, 1\)"),
        (lambda: TableEmbedding(SENSOR, 8, True, (11, 8)), r"as the sensor's pixels at most along each axis, not \(11, 8\)"),
        (lambda: TableEmbedding(SENSOR, 8, False, (3, 0)), r"1 cell at least .* not \(3, 0\)"),
        (lambda: TableEmbedding(SENSOR, 8, False, neighbours=-1), "neighbours are at least 0 and their dilation at least 1, not -1 and 1"),
        (lambda: TableEmbedding(SENSOR, 8, True, neighbours=1, dilation=0), "not 1 and 0"),
        (lambda: TableEmbedding((100, 2), 8, True), "8 features are too few for rows and columns of a grid of 100×2 cells"),
    ],
)
def test_what_makes_no_sense(made, message):
    with pytest.raises(EventZooError, match=message):
        made()
