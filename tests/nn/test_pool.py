import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eventzoo.errors import EventZooError
from eventzoo.nn.pool import GridMaxPool, VoxelMaxPool, cell_index


def random_nodes(nodes, samples, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(nodes, 3, generator=generator)
    pos = torch.rand(nodes, 3, generator=generator) * torch.tensor([29.0, 19.0, 5.0])
    batch = torch.randint(0, samples, (nodes,), generator=generator).sort().values
    return x, pos, batch


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 40), st.integers(0, 60), st.integers(0, 99), st.sampled_from(["mean", "centre"]))
def test_voxels_equal_a_literal_loop(nodes, edges, seed, positions):
    samples = 3
    x, pos, batch = random_nodes(nodes, samples, seed)
    edge_index = torch.randint(0, max(nodes, 1), (2, edges if nodes else 0), generator=torch.Generator().manual_seed(seed))
    coarse = VoxelMaxPool((8, 6), (30, 20), 16.0, positions)(x, pos, edge_index, batch)

    voxel = [(int(b), int(p[1] / 6), int(p[0] / 8)) for b, p in zip(batch, pos, strict=True)]
    names = sorted(set(voxel))
    members = {name: [n for n, v in enumerate(voxel) if v == name] for name in names}
    for row, name in enumerate(names):
        assert torch.equal(coarse.x[row], x[members[name]].max(0).values)
        if positions == "mean":
            torch.testing.assert_close(coarse.pos[row], pos[members[name]].mean(0))
        else:
            assert coarse.pos[row].tolist() == [(name[2] + 0.5) * 8, min((name[1] + 0.5) * 6, 19), 0]
        assert coarse.batch[row] == name[0]
    assert len(coarse.x) == len(names)
    joined = {(names.index(voxel[j]), names.index(voxel[i])) for j, i in edge_index.T.tolist() if voxel[j] != voxel[i]}
    assert coarse.edge_index.T.tolist() == [list(edge) for edge in sorted(joined, key=lambda edge: edge[::-1])]
    for (j, i), u in zip(coarse.edge_index.T.tolist(), coarse.edge_attr, strict=True):
        torch.testing.assert_close(u, (coarse.pos[j] - coarse.pos[i]) / 32 + 0.5)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 40), st.integers(0, 99))
def test_grid_equals_a_literal_loop(nodes, seed):
    x, pos, batch = random_nodes(nodes, 2, seed)
    dense = GridMaxPool((4, 5), (30, 20))(x, pos, batch, 3)
    assert dense.shape == (3, 3, 5, 4)
    for b in range(3):
        for row in range(5):
            for column in range(4):
                inside = [n for n in range(nodes) if batch[n] == b and int(pos[n, 0] / 7.5) == column and int(pos[n, 1] / 4.0) == row]
                expected = x[inside].max(0).values if inside else torch.zeros(3)
                assert torch.equal(dense[b, :, row, column], expected)


def test_a_sample_pools_the_same_in_any_company():
    x, pos, batch = random_nodes(60, 3, 1)
    pool = VoxelMaxPool((8, 6), (30, 20), scale=16.0)
    together = pool(x, pos, torch.zeros(2, 0, dtype=torch.long), batch)
    for b in range(3):
        own = batch == b
        alone = pool(x[own], pos[own], torch.zeros(2, 0, dtype=torch.long), batch[own] * 0)
        assert torch.equal(alone.x, together.x[together.batch == b])
        torch.testing.assert_close(alone.pos, together.pos[together.batch == b])


def test_the_far_corner_is_inside_for_sizes_that_do_not_divide():
    pos = torch.tensor([[33.0, 33.0, 0.0]])
    dense = GridMaxPool((4, 4), (34, 34))(torch.ones(1, 1), pos, torch.zeros(1, dtype=torch.long), 1)
    assert dense[0, 0].nonzero().tolist() == [[3, 3]]
    coarse = VoxelMaxPool((3, 5), (34, 34), 10.0)
    assert coarse.grid == (12, 7)


@settings(deadline=None, max_examples=100)
@given(*(st.tuples(st.integers(1, 40), st.integers(1, 40)) for _ in range(3)))
def test_every_centre_is_in_its_voxel_and_on_the_sensor(voxel_size, sensor_size, cells):
    pool = VoxelMaxPool(voxel_size, sensor_size, 1.0, "centre")
    voxels = torch.arange(pool.grid[0] * pool.grid[1])
    centres = pool.centres(voxels)
    assert torch.equal(cell_index(centres, voxel_size, pool.grid[0]), voxels)
    dense = GridMaxPool(cells, sensor_size)(torch.ones(len(voxels), 1), centres, torch.zeros_like(voxels), 1)
    assert dense.shape == (1, 1, *reversed(cells))


def test_other_positions_are_refused():
    with pytest.raises(EventZooError, match="VoxelMaxPool: positions are 'mean' or 'centre', not 'median'"):
        VoxelMaxPool((3, 5), (34, 34), 10.0, "median")
