"""Graphs that are pooled again and again, as in AEGNN's second network, whose voxels move from voxel to voxel."""

import pytest
from torch import nn
from torch.nn.functional import elu

import eventzoo
from eventzoo.nn.backbone import Backbone
from eventzoo.nn.pool import GridMaxPool, VoxelMaxPool
from eventzoo.nn.spline_conv import SplineBasis, SplineConv
from eventzoo.testing import check_async_converter

SIZE = (34, 30)


class Stacked(Backbone):
    """Convolution and voxel pool, three times over, then a map and two linear layers."""

    accepts = "graph"

    def __init__(self, voxels, positions):
        super().__init__()
        self.sensor_size, self.out_channels, self.out_size = SIZE, 6, None
        self.basis = SplineBasis(3, 2)
        self.convs = nn.ModuleList(SplineConv(a, b, 3, 2) for a, b in ((1, 4), (4, 5), (5, 6), (6, 6)))
        self.pools = nn.ModuleList(VoxelMaxPool(size, SIZE, 2.0 * max(size), positions) for size in voxels)
        self.map, self.narrow, self.dropout, self.wide = GridMaxPool((2, 2), SIZE), nn.Linear(24, 7), nn.Dropout(0.3), nn.Linear(7, 6)

    def forward(self, batch):
        x, pos, edge_index, edge_attr, sample = batch.x, batch.pos, batch.edge_index, batch.edge_attr, batch.batch
        for conv, pool in zip(self.convs, self.pools, strict=False):
            x = elu(conv(x, self.basis(x, edge_index, edge_attr)))
            x, pos, edge_index, edge_attr, sample = pool(x, pos, edge_index, sample)
        x = elu(self.convs[-1](x, self.basis(x, edge_index, edge_attr)))
        return self.wide(self.dropout(self.narrow(self.map(x, pos, sample, batch.num_graphs).flatten(1))))


@pytest.mark.slow
@pytest.mark.parametrize("positions", ["mean", "centre"])
@pytest.mark.parametrize("voxels", [((4, 4), (8, 6), (16, 13)), ((5, 3), (7, 4), (9, 11))], ids=["growing", "neither fits the other"])
def test_equals_the_synchronous_network(classifier, rough, voxels, positions):
    for causal in (True, False):
        graph = eventzoo.representations.EventGraph(causal=causal, max_neighbors=8)
        check_async_converter(classifier(Stacked(voxels, positions), graph), rough(300, seed=len(positions), size=SIZE))
