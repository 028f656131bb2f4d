"""What is known to be wrong in the asynchronous form of asynet's authors, and must be right here.

Each is a difference between their asynchronous and their sparse network, as measured on their code.
"""

import numpy as np
import pytest
import torch
from torch import nn

import eventzoo
from eventzoo.asynchronous import Window
from eventzoo.events import Events
from eventzoo.nn.sparse import SparseBatchNorm, SparseConv2d, SparseMaxPool2d, SparseReLU, SubmanifoldConv2d, ToDense, ToSparse

SIZE = (25, 18)


def shifted(channels, shift):
    """Batch normalisation that hardly does more than shift."""
    norm = SparseBatchNorm(channels)
    nn.init.constant_(norm.module.bias, shift)
    return norm


def assert_followed(carried):
    """The output is that of the synchronous layers."""
    torch.testing.assert_close(carried.found, carried.expected, rtol=1e-6, atol=1e-6)


@pytest.fixture(scope="module")
def model(classifier):
    """A small VGG classifier; the structure is one that is compiled for other tests, too."""
    backbone = eventzoo.backbones.SparseVGG(SIZE, 2, ((4, 5), (6,)), out_channels=7)
    return classifier(backbone, eventzoo.representations.Histogram())


def at(*events):
    """Events at (x, y, t), ON."""
    x, y, t = zip(*events, strict=True)
    return Events(x, y, t, [True] * len(events), SIZE)


def test_outputs_of_a_strided_convolution_without_active_input_stay_zero(carried_out):
    """There, they got the shift of the batch norm behind it."""
    carried = carried_out([ToSparse(), SparseConv2d(1, 2), shifted(2, 0.3), SparseReLU(), ToDense()], 1, (9, 7))
    carried.change({})
    assert not carried.found.any()
    carried.change({0: [1.0]})
    assert_followed(carried)
    assert (carried.found[0, 0] > 0).sum() <= 1
    assert not carried.found[0, :, 1:].any()
    carried.change({0: [0.0]})
    assert not carried.found.any()


def test_a_site_whose_features_all_died_is_still_active(carried_out):
    """There, it was inactive for the next layers, as its features are zero."""
    pooled = [ToSparse(), SubmanifoldConv2d(1, 3), shifted(3, -100.0), SparseReLU(), SparseMaxPool2d()]
    carried = carried_out([*pooled, SubmanifoldConv2d(3, 2, bias=True), shifted(2, 0.7), SparseReLU(), ToDense()], 1, (9, 7))
    carried.change({})
    for rows in ({30: [1.0]}, {31: [2.0]}, {30: [3.0]}, {31: [0.0]}):
        carried.change(rows)
        assert_followed(carried)
        assert (carried.found > 0).any(), "the dead site's shift is what is left"


def test_an_empty_update_changes_nothing(carried_out, model):
    """There, the first pixel became active."""
    carried = carried_out([ToSparse(), SubmanifoldConv2d(1, 2, bias=True), shifted(2, 0.5), ToDense()], 1, (6, 5))
    carried.change({7: [1.0]})
    before = carried.found
    assert carried.change({}) == set()
    assert torch.equal(carried.found, before)
    assert_followed(carried)
    stream = model.asynchronous(strict=True)
    stream.push(at((5, 5, 0)))
    answer = stream.head_output()
    stream.push(at((5, 5, 0))[:0])
    assert np.array_equal(stream.head_output(), answer)


def test_a_pixel_that_is_updated_twice_at_once_counts_once(model):
    """There, both of its entries in the list of updates were added up."""
    events = at((5, 5, 0), (5, 5, 1), (6, 5, 1), (5, 5, 1), (6, 5, 2))
    at_once, singly = (model.asynchronous(strict=True) for _ in range(2))
    at_once.push(events)
    for i in range(len(events)):
        singly.push(events[i : i + 1])
    assert np.array_equal(at_once.head_output(), singly.head_output())
    np.testing.assert_allclose(at_once.head_output(), model.output(events), rtol=0, atol=1e-5)


def test_a_pixel_that_was_and_stays_zero_is_not_active(carried_out, model):
    """There, a listed pixel became active whatever its value, and the more so the more often it was listed."""
    carried = carried_out([ToSparse(), SubmanifoldConv2d(1, 2, bias=True), shifted(2, 0.5), ToDense()], 1, (6, 5))
    carried.change({7: [1.0]})
    before = carried.found
    for _ in range(2):
        assert carried.change({8: [0.0]}) == set()
        assert torch.equal(carried.found, before)
    stream = model.asynchronous(Window(events=1), strict=True)
    stream.push(at((5, 5, 0), (9, 9, 1), (5, 5, 2)))  # one comes and goes in the same push
    np.testing.assert_allclose(stream.head_output(), model.output(at((5, 5, 2))), rtol=0, atol=1e-5)


def test_a_new_site_does_not_begin_with_what_an_old_one_left(carried_out):
    """There, a site's sum was not cleared when it became active again."""
    carried = carried_out([ToSparse(), SubmanifoldConv2d(1, 2), shifted(2, 0.1), ToDense()], 1, (6, 5))
    for rows in ({7: [1.0], 8: [5.0]}, {7: [0.0]}, {8: [2.0]}, {7: [3.0]}):
        carried.change(rows)
        assert_followed(carried)
