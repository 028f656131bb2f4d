"""A store changes nothing but the speed."""

import os
import pickle

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from eventzoo.data.boxes import Boxes
from eventzoo.data.datamodule import EpochSampler, EventDataModule
from eventzoo.data.pipeline import Pipeline
from eventzoo.data.preparing import find_store, prepare
from eventzoo.data.representation import Representation
from eventzoo.data.store import Store, encoded
from eventzoo.data.transforms import EvenSubsample, RandomShift
from eventzoo.errors import EventZooError
from eventzoo.plugins.datasets.moving_shapes import MovingShapes
from eventzoo.plugins.representations.event_graph import EventGraph
from eventzoo.plugins.representations.histogram import Histogram


def tensors(value):
    return value.to_dict() if hasattr(value, "to_dict") else {"": value}


def assert_same(first, second):
    assert (first.key, first.target) == (second.key, second.target)
    assert type(first.value) is type(second.value)
    one, other = tensors(first.value), tensors(second.value)
    assert one.keys() == other.keys()
    for name in one:
        assert one[name].dtype == other[name].dtype
        assert torch.equal(one[name], other[name])


def test_prepared_samples_equal_those_built_anew(tmp_path, pipeline):
    fresh = [[pipeline[epoch, index] for index in range(len(pipeline))] for epoch in range(4)]
    result = prepare(tmp_path, pipeline, jobs=1)
    assert (result.built, result.failures) == (pipeline.slots, {})
    pipeline.store = find_store(tmp_path, pipeline)
    for epoch in range(4):
        for index in range(len(pipeline)):
            assert_same(pipeline[epoch, index], fresh[epoch][index])


def test_the_dataset_is_not_asked_for_what_is_prepared(tmp_path, pipeline, monkeypatch):
    prepare(tmp_path, pipeline, jobs=1)
    pipeline.store = find_store(tmp_path, pipeline)
    monkeypatch.setattr(MovingShapes, "__getitem__", lambda *_: pytest.fail("a recording was simulated"))
    pipeline[0, 3]


def test_chance_goes_on_in_every_epoch(tmp_path):
    pipeline = Pipeline(MovingShapes(size=3), [RandomShift(9)], Histogram())
    prepare(tmp_path, pipeline, jobs=1)
    pipeline.store = find_store(tmp_path, pipeline)
    assert len({pipeline[epoch, 0].value.numpy().tobytes() for epoch in range(5)}) > 1


def test_realisations_come_round():
    pipeline = Pipeline(MovingShapes(size=2), [RandomShift(9)], Histogram(), realisations=2)
    first, second, third = (pipeline[epoch, 1].value for epoch in range(3))
    assert torch.equal(first, third)
    assert not torch.equal(first, second)


def batches(pipeline, workers, epochs=2):
    sampler = EpochSampler(len(pipeline), seed=3, shuffle=True)
    loader = DataLoader(pipeline, 3, sampler=sampler, num_workers=workers, collate_fn=pipeline.collate, persistent_workers=workers > 0)
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        yield from loader


def content(batch):
    boxes = isinstance(batch.targets[0], Boxes)
    targets = [target.xyxy.tobytes() for target in batch.targets] if boxes else batch.targets.numpy().tobytes()
    inputs = {name: tensor.numpy().tobytes() for name, tensor in tensors(batch.inputs).items() if torch.is_tensor(tensor)}
    return batch.keys, targets, inputs


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more workers than cores, on purpose
@pytest.mark.parametrize("workers", [2, 4, 8])
def test_the_number_of_workers_changes_nothing(tmp_path, pipeline, workers):
    alone = [content(batch) for batch in batches(pipeline, 0)]
    assert [content(batch) for batch in batches(pipeline, workers)] == alone
    prepare(tmp_path, pipeline, jobs=1)
    pipeline.store = find_store(tmp_path, pipeline)
    pipeline[0, 0]  # the file is open already when the workers are forked
    assert [content(batch) for batch in batches(pipeline, workers)] == alone


def test_a_store_can_be_sent_to_another_process(tmp_path, graphs):
    prepare(tmp_path, graphs, jobs=1)
    graphs.store = find_store(tmp_path, graphs)
    assert_same(pickle.loads(pickle.dumps(graphs))[0, 2], graphs[0, 2])


def test_parallel_preparing_gives_the_same_bytes(tmp_path, graphs):
    folders = [prepare(tmp_path / name, graphs, jobs=jobs, backend=backend).folder for name, jobs, backend in [
        ("one", 1, "sequential"), ("two", 2, "loky"), ("three", 3, "threading"),
    ]]  # fmt: skip
    assert len({(folder / "data.mdb").read_bytes() for folder in folders}) == 1
    assert len({(folder / "manifest.json").read_bytes() for folder in folders}) == 1


def test_everything_that_shapes_samples_shapes_the_name(tmp_path, recordings):
    from eventzoo.plugins.datasets.nmnist import NMNIST

    def name(dataset=None, transforms=(), representation=None, **arguments):
        pipeline = Pipeline(dataset or NMNIST(str(recordings)), transforms, representation or EventGraph(), **arguments)
        return prepare(tmp_path / "stores", pipeline, jobs=1).folder.name

    same = name()
    assert name() == same
    assert name(seed=9) == same  # no chance, no seed
    shift = [RandomShift(2)]
    assert name(transforms=shift) == name(transforms=[RandomShift(3)]) == name(transforms=shift, representation=Histogram())
    names = [
        same,
        name(representation=EventGraph(radius=2.0)),
        name(representation=Histogram()),
        name(transforms=[EvenSubsample(9)]),
        name(transforms=shift),
        name(transforms=shift, realisations=1),
        name(transforms=[RandomShift(3)], realisations=1),
        name(transforms=shift, realisations=2),
        name(transforms=shift, realisations=2, seed=1),
    ]
    file = next(recordings.rglob("*.bin"))
    os.utime(file, ns=(0, file.stat().st_mtime_ns + 1))
    names.append(name())
    file.write_bytes(file.read_bytes()[:-5])
    names.append(name())
    assert len(set(names)) == len(names)


def test_a_missing_recording_is_named(tmp_path, from_files):
    path = from_files.dataset.source_files()[1]
    path.unlink()
    with pytest.raises(EventZooError, match=f"{path.name}.*cannot be read"):
        prepare(tmp_path, from_files, jobs=1)


class Text(Representation):
    kind, channels = "image", 1

    def __call__(self, events):
        return str(events)

    def collate(self, samples):
        return samples


def test_a_representation_that_is_no_tensor_says_what_it_lacks(tmp_path):
    result = prepare(tmp_path, Pipeline(MovingShapes(size=2), [], Text()), jobs=1)
    assert set(result.failures.values()) == {"Text cannot be prepared: it lacks to_tensors and from_tensors"}
    with pytest.raises(EventZooError, match=r"2 of 2 samples could not be prepared; .* Slot 0: Text cannot be prepared"):
        result.raise_for_failures()


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int16, torch.int64, torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (5,), (40, 60)])
def test_tensors_of_any_type_and_shape(tmp_path, dtype, shape):
    class Any(Histogram):
        def __call__(self, events):
            return (torch.arange(int(np.prod(shape))).reshape(shape) % 2).to(dtype)

    pipeline = Pipeline(MovingShapes(size=1), [], Any())
    fresh = pipeline[0, 0].value
    prepare(tmp_path, pipeline, jobs=1, backend="sequential")
    pipeline.store = find_store(tmp_path, pipeline)
    stored = pipeline[0, 0].value
    assert stored.dtype == dtype
    assert torch.equal(stored, fresh)


def test_a_type_that_cannot_be_kept():
    with pytest.raises(EventZooError, match=r"cannot keep tensor 'a' of type torch\.complex64"):
        encoded({"a": torch.zeros(2, dtype=torch.complex64)})


def test_the_data_module_uses_a_store_where_there_is_one(tmp_path, monkeypatch):
    arguments = {"dataset": MovingShapes(size=4), "representation": Histogram(), "store": str(tmp_path), "batch_size": 4}
    data = EventDataModule(train_transforms=[RandomShift(2)], **arguments)
    fresh = [content(next(iter(loader))) for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader())]
    for stage in ("train", "val", "test"):
        prepare(tmp_path, data.pipeline(stage), jobs=1)
    monkeypatch.setattr(MovingShapes, "__getitem__", lambda *_: pytest.fail("a recording was simulated"))
    prepared = [content(next(iter(loader))) for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader())]
    assert prepared == fresh


def test_realisations_must_be_some():
    with pytest.raises(EventZooError, match="realisations must be at least 1"):
        EventDataModule(MovingShapes(), Histogram(), realisations=0)


def test_opening_reads_no_value(tmp_path, graphs, monkeypatch):
    folder = prepare(tmp_path, graphs, jobs=1).folder
    monkeypatch.setattr("eventzoo.data.store.is_intact", lambda value: pytest.fail("a value was read"))
    assert len(Store(folder)) == 7


class Given(MovingShapes):
    """Made of what no configuration can hold."""

    def __init__(self, split="train", indices=None):
        super().__init__(split, 4)
        self.indices = indices


def test_parts_without_a_specification_need_no_store(tmp_path):
    data = EventDataModule(Given(indices=np.arange(3)), Histogram(), store=str(tmp_path))
    assert len(next(iter(data.val_dataloader())).keys) == 4
    with pytest.raises(EventZooError, match="indices"):
        prepare(tmp_path, data.pipeline("val"), jobs=1)
