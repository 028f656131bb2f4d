"""Whether a dataset is what the DataModule, the store and the metrics take it for."""

from pathlib import Path
from typing import get_args

from eventzoo.data.dataset import EventDataset, Sample, Split, TaskName
from eventzoo.errors import EventZooError
from eventzoo.events import Events
from eventzoo.testing.promises import no_error, pickled, rebuilt, require


def check_dataset(dataset: EventDataset, samples: int = 8) -> None:
    """Check that a dataset keeps the promises of `EventDataset`.

    - It has a `sensor_size` of two positive sides, `classes` of different names, a `task` and a `split`; it is not empty, and its
      `source_files` are files.
    - An index is one of `len(dataset)`; one beyond it is an `IndexError`, which ends a loop over the dataset.
    - A sample is a `Sample` with `Events` of the dataset's sensor; a label that is an index into `classes`, or in detection `Boxes` of
      such classes on the sensor; and a key, a string that no other sample has.
    - It is the same each time, in a dataset made anew from its specification, and in another process: nothing is shuffled or drawn.
    - `at_split` gives the same dataset at each other split, with no key in common. A split that the data lacks is an `EventZooError`.

    Args:
        dataset: The dataset, at any split; a few small recordings will do.
        samples: How many samples are read, spread over each split. 0: all.

    Raises:
        AssertionError: A promise is broken. It says which, by which sample.
    """
    name = type(dataset).__name__
    require(isinstance(dataset, EventDataset), f"{name} is no EventDataset")
    _check_facts(dataset, name)
    read = _read(dataset, name, samples)
    for sample in read.values():
        _check_sample(dataset, name, sample)
    _check_keys(name, {dataset.split: read})
    others = {f"{name}, read again": dataset, f"{name}, made anew": rebuilt(dataset, EventDataset), f"{name}, unpickled": pickled(dataset)}
    for what, other in others.items():
        require(len(other) == len(dataset), f"{what}, has {len(other)} samples where it had {len(dataset)}")
        for index, sample in read.items():
            with no_error(f"{what}: sample {index} cannot be read"):
                again = other[index]
            require(again.key == sample.key, f"{what}, has {again.key!r} at {index} where it had {sample.key!r}: the order must be fixed")
            require(again == sample, f"{what}, gives another sample {sample.key!r}: a sample must always be the same")
    _check_end(dataset, name)
    _check_splits(dataset, name, read, samples)


def _check_facts(dataset: EventDataset, name: str) -> None:
    """What the class says of its samples."""
    size, classes = getattr(dataset, "sensor_size", None), getattr(dataset, "classes", None)
    sides = isinstance(size, tuple) and len(size) == 2 and all(type(side) is int and side > 0 for side in size)
    require(sides, f"{name}.sensor_size must be (width, height) in pixels, not {size!r}")
    named = isinstance(classes, tuple) and len(classes) > 0 and all(isinstance(label, str) and label for label in classes)
    require(named, f"{name}.classes must be a tuple of names, not {classes!r}")
    require(len(set(dataset.classes)) == len(dataset.classes), f"{name}.classes has a name twice: {dataset.classes}")
    of_task = dataset.classes_for(dataset.task)
    require(of_task == dataset.classes, f"{name}.classes_for({dataset.task!r}) is {of_task}, and its classes are {dataset.classes}")
    require(dataset.task in get_args(TaskName), f"{name}.task must be one of {', '.join(get_args(TaskName))}, not {dataset.task!r}")
    split = getattr(dataset, "split", None)
    require(split in get_args(Split), f"{name}.split must be one of {', '.join(get_args(Split))}, not {split!r}")
    require(len(dataset) > 0, f"{name} has no samples; where there is no data, its constructor must raise an EventZooError that says so")
    for path in dataset.source_files():
        require(isinstance(path, Path) and path.is_file(), f"{name}.source_files names {path!r}, which is no path of a file")


def _read(dataset: EventDataset, name: str, samples: int) -> dict[int, Sample]:
    """Samples by index, the first and the last among them."""
    last, count = len(dataset) - 1, min(samples or len(dataset), len(dataset))
    read = {}
    for index in sorted({last * k // max(count - 1, 1) for k in range(count)}):
        with no_error(f"{name}: sample {index} cannot be read"):
            read[index] = dataset[index]
        require(isinstance(read[index], Sample), f"{name}[{index}] is a {type(read[index]).__name__}, not a Sample")
    return read


def _check_sample(dataset: EventDataset, name: str, sample: Sample) -> None:
    """One sample by itself."""
    where, classes = f"{name}: sample {sample.key!r}", len(dataset.classes)
    require(isinstance(sample.key, str) and sample.key != "", f"{where} has no string that names it as its key")
    require(isinstance(sample.events, Events), f"{where} has {type(sample.events).__name__} for its events")
    events = sample.events
    require(events.sensor_size == dataset.sensor_size, f"{where} is of a sensor of {events.sensor_size}, not {dataset.sensor_size}")
    with no_error(f"{where} has events that are none"):  # those of a reader that trusts its file are not checked until now
        Events(events.x, events.y, events.t, events.p, events.sensor_size)
    if dataset.task == "classification":
        require(type(sample.label) is int and 0 <= sample.label < classes, f"{where} has the label {sample.label!r} of {classes} classes")
        require(sample.boxes is None, f"{where} has boxes, which in classification it must not")
        return
    boxes = sample.boxes
    if boxes is None:
        raise AssertionError(f"{where} has no boxes; in detection, a sample without an object has Boxes.empty()")
    inside = boxes.clipped(dataset.sensor_size) == boxes
    require(inside, f"{where} has boxes that reach beyond the sensor of {dataset.sensor_size}, or are empty: {boxes.xyxy.tolist()}")
    known = ((boxes.class_ids >= 0) & (boxes.class_ids < classes)).all()
    require(bool(known), f"{where} has boxes of the classes {boxes.class_ids.tolist()}, of which there are {classes}")


def _check_keys(name: str, splits: dict[Split, dict[int, Sample]]) -> None:
    """A key must name one sample, of all splits."""
    seen: dict[str, str] = {}
    for split, read in splits.items():
        for index, sample in read.items():
            place = f"sample {index} of {split}"
            require(sample.key not in seen, f"{name}: {sample.key!r} is the key of {place} and of {seen.get(sample.key)}")
            seen[sample.key] = place


def _check_end(dataset: EventDataset, name: str) -> None:
    """There is no sample after the last."""
    try:
        dataset[len(dataset)]
    except IndexError:
        return
    except Exception as error:
        raise AssertionError(f"{name}[{len(dataset)}] must be an IndexError, not {type(error).__name__}: {error}") from error
    raise AssertionError(f"{name} has {len(dataset)} samples by its length, and one more at index {len(dataset)}")


def _check_splits(dataset: EventDataset, name: str, read: dict[int, Sample], samples: int) -> None:
    """The other splits that there are."""
    splits: dict[Split, dict[int, Sample]] = {dataset.split: read}
    for split in get_args(Split):
        if split in splits:
            continue
        try:
            other = dataset.at_split(split)
        except EventZooError:  # the data has none
            continue
        except Exception as error:
            raise AssertionError(f"{name} at the split {split} must be an EventZooError, not {type(error).__name__}: {error}") from error
        require(other.split == split, f"{name} at the split {split} says that it is {other.split}")
        splits[split] = _read(other, name, samples)
        for sample in splits[split].values():
            _check_sample(other, name, sample)
    _check_keys(name, splits)
