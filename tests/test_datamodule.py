import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import eventzoo
from eventzoo.data.datamodule import EpochSampler, EventDataModule
from eventzoo.data.transforms import EvenSubsample, EventMix, RandomShift, RandomSubsample
from eventzoo.errors import EventZooError


def make(**settings):
    return EventDataModule(
        eventzoo.datasets.MovingShapes(size=10),
        eventzoo.representations.Histogram(),
        [RandomSubsample(200), RandomShift(4)],
        [EvenSubsample(200)],
        **{"batch_size": 4, **settings},
    )


def epochs(data, count=2):
    """All batches of some training epochs, as the Trainer draws them."""
    loader, batches = data.train_dataloader(), []
    for epoch in range(count):
        loader.sampler.set_epoch(epoch)
        batches.append(list(loader))
    return batches


def same(first, second):
    return all(
        a.keys == b.keys and torch.equal(a.targets, b.targets) and torch.equal(a.inputs, b.inputs)
        for one, other in zip(first, second, strict=True)
        for a, b in zip(one, other, strict=True)
    )


def test_what_is_drawn_does_not_depend_on_workers_or_on_what_was_drawn_before():
    data = epochs(make())
    assert same(data, epochs(make(num_workers=1)))
    assert same(data, epochs(make(num_workers=2)))
    torch.rand(7)
    assert same(data, epochs(make()))
    loader = make().train_dataloader()
    loader.sampler.set_epoch(1)  # as after a restart
    assert same(data[1:], [list(loader)])


def test_epochs_differ_in_order_and_in_transforms():
    first, second = epochs(make())
    assert [batch.keys for batch in first] != [batch.keys for batch in second]
    images = [dict(zip(b.keys, b.inputs, strict=True)) for epoch in (first, second) for b in epoch[:1]]
    assert sorted(key for batch in first for key in batch.keys) == [f"train/{i:06}" for i in range(10)]
    shared = set(images[0]) & set(images[1])
    assert not shared or any(not torch.equal(images[0][key], images[1][key]) for key in shared)
    assert not same([first], [epochs(make(seed=1))[0]])


def test_evaluation_is_in_order_and_the_same_every_time():
    data = make()
    first, second = list(data.val_dataloader()), list(data.val_dataloader())
    assert same([first], [second])
    assert [key for batch in first for key in batch.keys] == [f"val/{i:06}" for i in range(10)]
    assert all(batch.inputs.sum() == 200 * len(batch.keys) for batch in first)
    assert [batch.keys[0][:4] for batch in data.test_dataloader()] == ["test"] * 3
    assert data.predict_dataloader().dataset.dataset.split == "train"


def test_what_the_model_must_know():
    data = make()
    assert (data.num_classes, data.in_channels) == (5, 2)


def test_sampler():
    assert list(EpochSampler(3, 0, shuffle=False)) == [(0, 0), (0, 1), (0, 2)]
    sampler = EpochSampler(100, 0, shuffle=True)
    sampler.set_epoch(7)
    drawn = list(sampler)
    assert {epoch for epoch, _ in drawn} == {7}
    assert sorted(index for _, index in drawn) == list(range(100))
    assert len(sampler) == 100


def batches(size, batch_size, shuffle, epoch, rank=0, processes=1):
    """Indices of a process's batches, checked to be as many as the sampler says, and of the right epoch."""
    sampler = EpochSampler(size, 3, shuffle, rank, processes)
    sampler.set_epoch(epoch)
    drawn = list(sampler)
    assert len(drawn) == len(sampler)
    assert {given for given, _ in drawn} == {epoch if shuffle else 0}
    return [[index for _, index in drawn[at : at + batch_size]] for at in range(0, len(drawn), batch_size)]


@given(processes=st.integers(2, 5), size=st.integers(5, 60), batch_size=st.integers(1, 7), epoch=st.integers(0, 3))
def test_processes_train_together_on_what_one_process_trains_on(processes, size, batch_size, epoch):
    one = batches(size, batch_size * processes, shuffle=True, epoch=epoch)
    each = [batches(size, batch_size, shuffle=True, epoch=epoch, rank=rank, processes=processes) for rank in range(processes)]
    assert len({tuple(map(len, own)) for own in each}) == 1
    together = [sorted(itertools.chain.from_iterable(step)) for step in zip(*each, strict=True)]
    complete = size // (batch_size * processes)
    assert together[:complete] == [sorted(batch) for batch in one[:complete]]
    repeated = sum(map(len, together)) - size
    assert 0 <= repeated < processes
    assert {index for step in together for index in step} == set(range(size))


@given(processes=st.integers(1, 5), size=st.integers(5, 60), batch_size=st.integers(1, 7), epoch=st.integers(0, 3))
def test_processes_evaluate_each_sample_once(processes, size, batch_size, epoch):
    each = [batches(size, batch_size, shuffle=False, epoch=epoch, rank=rank, processes=processes) for rank in range(processes)]
    assert sorted(index for own in each for batch in own for index in batch) == list(range(size))


def test_more_processes_than_samples_are_refused():
    with pytest.raises(EventZooError, match=r"2 samples cannot be shared by 3 processes; set trainer\.devices to at most 2"):
        EpochSampler(2, 0, shuffle=False, rank=0, processes=3)


@pytest.mark.parametrize("settings", [{"batch_size": 0}, {"num_workers": -1}, {"seed": -1}])
def test_nonsense_is_refused(settings):
    with pytest.raises(EventZooError, match="batch_size >= 1"):
        make(**settings)


def test_mixed_samples_have_shares_of_classes():
    batches = [batch for epoch in epochs(make(mix=EventMix(probability=0.6)), 3) for batch in epoch]
    assert all(batch.targets.shape == (len(batch.keys), 5) for batch in batches if batch.targets.is_floating_point())
    shares = torch.cat([batch.targets for batch in batches if batch.targets.is_floating_point()])
    torch.testing.assert_close(shares.sum(1), torch.ones(len(shares)))
    mixed = ((shares > 0) & (shares < 1)).any(1)
    assert 0 < mixed.sum() < len(mixed)
    plain = epochs(make())
    unmixed = {key: target for batch in plain[0] for key, target in zip(batch.keys, batch.targets, strict=True)}
    for batch in batches:
        for key, target in zip(batch.keys, batch.targets, strict=True):
            assert not target.is_floating_point() or target[unmixed[key]] > 0


def test_only_training_samples_are_mixed():
    data = make(mix=EventMix(probability=1.0))
    assert not any(batch.targets.is_floating_point() for batch in data.val_dataloader())
    assert all(batch.targets.is_floating_point() for batch in data.train_dataloader())


def test_without_an_epoch_a_sample_is_that_of_epoch_0():
    pipeline = make().pipeline("train")
    assert torch.equal(pipeline[3].value, pipeline[0, 3].value)
    assert not torch.equal(pipeline[3].value, pipeline[1, 3].value)
