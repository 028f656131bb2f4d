"""The formulas of the four processing modes: published totals, and rules counted by a rule book that is kept rule by rule."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from eventzoo.backbones import DenseVGG, SparseVGG
from eventzoo.errors import EventZooError
from eventzoo.evaluation.processing_modes import MODES, by_formulas
from eventzoo.nn.sparse import SparseBatchNorm, SparseConv2d, SparseMap, SparseMaxPool2d, SparseReLU, SubmanifoldConv2d, ToDense, ToSparse

VGG12 = ((16, 16), (32, 32), (64, 64), (128, 128), (256,))
VGG13 = ((16, 16), (32, 32), (64, 64), (128, 128), (256, 256), (512,))
DETECTOR = ((16, 16), (32, 32), (64, 64), (128, 128), (256, 256))
PUBLISHED = {  # sensor, map, stages, channels at the end, widths of the linear layers, and MFLOP with 2 and 30 input channels
    "N-Caltech101": ((240, 180), (255, 191), VGG13, 256, (101,), (1621.2, 2014.0)),
    "N-Cars": ((120, 100), (127, 95), VGG12, 128, (2,), (321.2, 418.5)),
    # of detectors, the published figures count a last layer of as many outputs as there are classes; it has cells · (10 + classes)
    "N-Caltech101 detection": ((240, 180), (255, 191), DETECTOR, 256, (1024, 101), (1583.9, 1976.7)),
    "Gen1 detection": ((304, 240), (287, 223), DETECTOR, 256, (1024, 2), (2097.6, 2613.7)),
}


def published(name, channels):
    """A published network, and the MFLOP of its dense form."""
    sensor, size, stages, out_channels, widths, mflop = PUBLISHED[name]
    backbone = SparseVGG(sensor, channels, stages, out_channels, size)
    columns, rows = backbone.out_size
    layers = [backbone, nn.Flatten()]
    for given_width, width in itertools.pairwise((out_channels * columns * rows, *widths)):
        layers += [nn.Linear(given_width, width), nn.ReLU()]
    return nn.Sequential(*layers).eval(), sensor, mflop[channels == 30]


def mode_total(layers, mode):
    return sum(layer.flops[mode] for layer in layers)


@pytest.mark.parametrize("channels", [2, 30])
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_totals_of_the_dense_networks(name, channels):
    network, (width, height), mflop = published(name, channels)
    image = torch.zeros(1, channels, height, width)
    layers = by_formulas(network, image, image)
    assert round(mode_total(layers, "dense") / 1e6, 1) == mflop
    for mode in MODES[:3]:  # nothing is active and nothing changed: what is left are the layers that are always dense
        assert {layer.name for layer in layers if layer.flops[mode]} == {"0.reduce.0", "0.reduce.1"} | {
            layer.name for layer in layers if layer.name.isdigit()
        }


def test_a_detectors_real_last_layer_counts():
    backbone = SparseVGG((240, 180), 2, DETECTOR, 256)
    outputs = 5 * 7 * (10 + 101)
    network = nn.Sequential(backbone, nn.Flatten(), nn.Linear(8960, 1024), nn.ReLU(), nn.Linear(1024, outputs)).eval()
    image = torch.zeros(1, 2, 180, 240)
    upstream, *_ = published("N-Caltech101 detection", 2)
    real, of_upstream = (mode_total(by_formulas(one, image, image), "dense") for one in (network, upstream))
    assert real - of_upstream == 2 * 1024 * (outputs - 101)


INACTIVE, ACTIVE, UPDATED, NEW_ACTIVE, NEW_INACTIVE = range(5)


def around(site, sites):
    return [other for other in itertools.product(*(range(at - 1, at + 2) for at in site)) if other in sites]


class RuleBook:
    """asynet's: the convolutions of one block, rule by rule, in terms of sets of (row, column).

    Args:
        before: Sites that were active.
        after: Sites that are.
        changed: Sites whose features changed.
    """

    def __init__(self, before, after, changed):
        self.states = dict.fromkeys(after | changed, ACTIVE)
        self.rules = []
        self.updates, self.new, gone = sorted(changed), changed - before, changed - after
        self._extend(self.updates, gone)
        for site in self.new:
            self.states[site] = NEW_ACTIVE
        for site in self.new:
            self.rules += [(other, site) for other in around(site, self.states) if other not in changed]

    def _extend(self, updates, gone):
        """Rules from updated sites to active ones, and those that are updated by it."""
        candidates = [(site, other) for site in updates for other in around(site, self.states)]
        for site in updates:
            self.states[site] = NEW_INACTIVE if site in gone else UPDATED
        self.updates = []
        for site, other in candidates:
            if self.states[other] in (NEW_ACTIVE, NEW_INACTIVE):
                continue
            self.rules.append((site, other))
            if self.states[other] == ACTIVE:
                self.states[other] = UPDATED
                self.updates.append(other)

    def next_convolution(self):
        self._extend(self.updates, set())

    def touched(self):
        return {site for site, state in self.states.items() if state > ACTIVE}


def pooled(sites, side):
    """Windows of 3 × 3, two sites apart, that have one of the sites."""
    outputs = range((side - 3) // 2 + 1)
    windows = itertools.product(outputs, outputs)
    return {
        (row, column) for row, column in windows if any(2 * row <= r <= 2 * row + 2 and 2 * column <= c <= 2 * column + 2 for r, c in sites)
    }


def nonzero(image):
    return {(row, column) for row, column in image.any(0).nonzero().tolist()}


SIDE = 11
FEATURES = (2, 3, 5, 7, 4)


def small_network():
    """Two blocks of convolutions, and what is behind them."""
    a, b, c, d, e = FEATURES
    first = [SubmanifoldConv2d(a, b), SparseBatchNorm(b), SparseReLU(), SubmanifoldConv2d(b, c), SparseBatchNorm(c), SparseReLU()]
    second = [SparseMaxPool2d(), SubmanifoldConv2d(c, d), SparseBatchNorm(d), SparseReLU(), SubmanifoldConv2d(d, e)]
    return nn.Sequential(ToSparse(), *first, *second, SparseConv2d(e, 6), SparseBatchNorm(6), ToDense(), nn.Flatten(), nn.Linear(24, 3))


def by_rule_book(before, after):
    """Rules of the four convolutions, and the sites behind each of them and behind the pool, of the small network."""
    was, there, changed = nonzero(before), nonzero(after), nonzero(before != after)
    rules, sites = [], []
    for side in (SIDE, (SIDE - 3) // 2 + 1):
        book = RuleBook(was, there, changed)
        for convolution in range(2):
            if convolution:
                book.next_convolution()
            assert len(set(book.rules)) == len(book.rules)
            rules.append(len(book.rules))
            sites.append(len(book.touched()))
        if side == SIDE:
            was, there, changed = (pooled(sites, SIDE) for sites in (was, there, book.touched()))
            sites.append(len(changed))
    return rules, sites


@st.composite
def two_images(draw, kinds):
    """Maps of few features, most of which are zero, that differ by sites that are begun, emptied, or given other features."""
    places = st.tuples(st.integers(0, SIDE - 1), st.integers(0, SIDE - 1))
    before = torch.zeros(2, SIDE, SIDE)
    for row, column in draw(st.lists(places, max_size=25)):
        before[draw(st.integers(0, 1)), row, column] = 1
    after, there = before.clone(), sorted(nonzero(before))
    empty = sorted(set(itertools.product(range(SIDE), range(SIDE))) - set(there))
    for kind in kinds:
        for row, column in draw(st.lists(st.sampled_from(empty if kind == "begun" else there), min_size=1, max_size=4)) if there else ():
            after[:, row, column] = {"begun": 1, "emptied": 0, "changed": 2}[kind]
    return before, after


@pytest.mark.parametrize(
    "kinds", [(), ("begun",), ("emptied",), ("changed",), ("begun", "emptied", "changed")], ids=lambda kinds: "-".join(kinds) or "nothing"
)
@given(st.data())
@settings(max_examples=40, deadline=None)
def test_sites_and_rules_are_those_of_the_rule_book(kinds, data):
    before, after = data.draw(two_images(kinds))
    layers = by_formulas(small_network().eval(), before[None], after[None])
    for mode, was in (("asynchronous sparse", before), ("sparse", torch.zeros_like(before))):
        check_small(layers, mode, *by_rule_book(was, after))
    everywhere = torch.ones_like(before)
    _, sites = by_rule_book(everywhere, everywhere + (before != after))
    check_small(layers, "asynchronous dense", None, sites)
    check_small(layers, "dense", None, [121, 121, 25, 25, 25])


def check_small(layers, mode, rules, sites):
    """The small network's layers by the formulas, written out. Without rules they are those of dense convolutions."""
    conv1, conv2, pool, conv3, conv4 = sites
    a, b, c, d, e = FEATURES
    counted = [conv1, conv1, conv2, conv2, pool, conv3, conv3, conv4, 4, 4, 1]
    if rules is None:
        convolutions = [n * (18 * i - 1) * o for n, i, o in ((conv1, a, b), (conv2, b, c), (conv3, c, d), (conv4, d, e))]
    else:
        convolutions = [r * 2 * i * o + r * i for r, i, o in zip(rules, (a, b, c, d), (b, c, d, e), strict=True)]
    first, second, third, fourth = convolutions
    flops = [first, conv1 * b, second, conv2 * c, 9 * pool * c, third, conv3 * d, fourth, 4 * (18 * e - 1) * 6, 4 * 6, 2 * 24 * 3]
    assert [layer.sites[mode] for layer in layers] == counted
    assert [layer.flops[mode] for layer in layers] == flops


def test_of_the_same_window_twice_nothing_sparse_is_done():
    image = torch.zeros(1, 2, SIDE, SIDE)
    image[0, 0, 3:6, 4] = 1
    layers = by_formulas(small_network().eval(), image, image)
    assert [layer.flops["asynchronous sparse"] for layer in layers[:8]] == [0] * 8
    assert mode_total(layers, "sparse") > 0


def test_layers_and_their_names_are_the_networks_and_it_is_left_as_it_was():
    network = SparseVGG((15, 15), 2, ((3,), (4,)), 5).eval()
    image = torch.zeros(1, 2, 15, 15)
    names = [layer.name for layer in by_formulas(network, image, image)]
    assert names == ["stages.0.0", "stages.0.1", "stages.1.0", "stages.1.1", "stages.1.2", "reduce.0", "reduce.1"]
    assert not any(module._forward_hooks for module in network.modules())


def test_a_kernel_of_another_side():
    image = torch.zeros(1, 2, 7, 7)
    image[0, 0, 3, 3] = image[0, 0, 3, 5] = image[0, 0, 6, 6] = 1  # the third is out of the others' reach in one direction only
    (layer,) = by_formulas(nn.Sequential(ToSparse(), SubmanifoldConv2d(2, 3, 5)).eval(), torch.zeros_like(image), image)
    assert layer.flops["sparse"] == 5 * (2 * 2 * 3 + 2)
    assert layer.flops["dense"] == 49 * (2 * 25 * 2 - 1) * 3
    nearer = image.clone()
    nearer[0, 0, 6, 6], nearer[0, 0, 5, 5] = 0, 1  # in reach of (3, 3) and (3, 5)
    (layer,) = by_formulas(nn.Sequential(ToSparse(), SubmanifoldConv2d(2, 3, 5)).eval(), torch.zeros_like(image), nearer)
    assert layer.flops["sparse"] == 9 * (2 * 2 * 3 + 2)


class BeginsSparse(SubmanifoldConv2d):
    """A convolution that decides on its own what is active."""

    def forward(self, image):
        return super().forward(SparseMap(image, torch.ones_like(image[:, :1], dtype=torch.bool)))


class TwoBranches(nn.Module):
    """A convolution that is not given what the pool before it made."""

    def __init__(self):
        super().__init__()
        self.entry, self.pool, self.conv = ToSparse(), SparseMaxPool2d(), SubmanifoldConv2d(2, 2)

    def forward(self, image):
        x = self.entry(image)
        return self.pool(x), self.conv(x)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (DenseVGG((15, 15), 2, ((3,), (4,)), 5), "has no ToSparse"),
        (nn.Sequential(ToSparse(), SubmanifoldConv2d(2, 2), ToDense(), nn.ConvTranspose2d(2, 2, 3)), "3 is a ConvTranspose2d"),
        (BeginsSparse(2, 2), "the network comes before a ToSparse"),
        (TwoBranches(), "conv is not given what the sparse layer before it made"),
    ],
)
def test_what_cannot_be_counted_is_an_error_in_words(network, message):
    image = torch.zeros(1, 2, 15, 15)
    image[0, :, 7, 7] = 1
    with pytest.raises(EventZooError, match=message):
        by_formulas(network.eval(), image, image)
