"""ECN event by event: what the network says of the whole recording."""

import csv
from pathlib import Path

import numpy as np
import pytest
import yaml
from torch import nn

import eventzoo
from eventzoo.asynchronous import Window
from eventzoo.data.transforms import Resize
from eventzoo.errors import EventZooError
from eventzoo.kernels.asynchronous.streams.levels import FIRST, LAST
from eventzoo.plugins.async_converters import event_stream
from eventzoo.plugins.backbones.ecn import ECN
from eventzoo.testing import check_async_converter

CONFIGS = Path(__file__).parents[3] / "configs"
HISTORY = Window(microseconds=700, history=True)
RECORDINGS = {  # and settings of the stream and the horizon that fit it
    "dense": ((400, 1_500), {}, {}),
    "sparse": ((400, 6_000), {}, {"decay_time": 80, "horizon": 2_500}),
    "at once": ((400, 1), {}, {}),
    "coarse": ((400, 20_000), {"tick": 1_000}, {"decay_time": 300, "horizon": 6_000}),
}
MEMORIES = ["window", "trace"]
pytestmark = pytest.mark.slow  # a network of streams takes a minute to compile


class Varied(ECN):
    """ECN with something between its parts."""

    def forward(self, batch):
        x, volume = batch.polarity, None
        for number, layers in enumerate(self.levels):
            level = batch.levels[number]
            x = self.on_events(layers(x, level))
            voxels = self.voxels[number](x, level, batch.duration)
            volume = voxels if volume is None else self.merges[number - 1](volume) + voxels
        return self.tail(self.top(self.on_voxels(self.widen(volume))).flatten(1))

    def on_events(self, x):
        return x

    def on_voxels(self, volume):
        return volume


class VariedEvents(Varied):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.softer = nn.GELU()

    def on_events(self, x):
        return self.softer(x)


class VariedVoxels(VariedEvents):
    def on_events(self, x):
        return x

    def on_voxels(self, volume):
        return self.softer(volume)


def close(found, expected, tolerance=1e-5):
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.abs(expected).max())


@pytest.mark.parametrize("ties", ["together", "in order"])
@pytest.mark.parametrize("memory", ["window", "trace"])
@pytest.mark.parametrize("name", RECORDINGS)
def test_each_event_counts_as_in_the_whole_recording(ecn, recorded, name, memory, ties):
    span, clock, settings = RECORDINGS[name]
    model = ecn(memory, ties=ties, **settings)
    window = Window(microseconds=700 * settings.get("decay_time", 20) // 20, history=True)
    check_async_converter(model, recorded(*span, **clock), [Window(), window], tolerance=1e-5)


@pytest.mark.parametrize("memory", MEMORIES)
def test_a_recording_says_something(ecn, recorded, memory):
    """Of what is compared: events fire and are forgotten, frames are dropped, ties matter."""
    together, in_order, events = ecn(memory), ecn(memory, ties="in order"), recorded(400, 1_500)
    assert [len(level.t) > 200 for level in together.representation(events).levels] == [True, True]
    assert np.abs(together.output(events) - together.output(events[300:])).max() > 1e-3
    assert np.abs(together.output(events) - in_order.output(events)).max() > 1e-3


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("ties", ["together", "in order"])
@pytest.mark.parametrize("start", [-(10**7), 10**16])
def test_it_does_not_matter_when_a_recording_begins(ecn, recorded, memory, ties, start):
    model, events = ecn(memory, ties=ties), recorded(150, 500, start=start)
    stream = model.asynchronous()
    close(stream.push_each(events)[-1], model.output(recorded(150, 500)))


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("horizon", [600, 10_000])
def test_a_burst_after_a_crowded_microsecond_and_silence(ecn, recorded, joined, memory, horizon):
    """Events of the microsecond before the silence are not settled when their slots are wanted."""
    model = ecn(memory, horizon=horizon)
    crowd, burst = recorded(300, 1, 1), recorded(1024, 60, 2, start=3_000)
    stream = model.asynchronous()
    for part in (crowd, burst):
        stream.push(part)
    close(stream.head_output(), model.output(joined(crowd, burst)))


@pytest.mark.parametrize("memory", MEMORIES)
def test_a_burst_after_all_have_left_the_window(ecn, recorded, joined, monkeypatch, memory):
    """The recording's slots are all taken anew, at once, as the levels have room for it."""
    monkeypatch.setattr(event_stream, "_FEWEST_SLOTS", 8192)
    model = ecn(memory)
    parts = recorded(1000, 2_000, 5), recorded(3, 1, 1, start=20_000), recorded(1024, 300, 2, start=40_000)
    stream = model.asynchronous(HISTORY)
    for first in range(0, 1000, 10):
        stream.push(parts[0][first : first + 10])
    stream.push(parts[1])
    stream.advance(30_000)
    assert len(stream) == len(stream.events) == 0
    stream.push(parts[2])
    close(stream.head_output(), model.output(joined(*parts)))
    assert stream.events == parts[2]


@pytest.mark.parametrize("window", [Window(events=50), Window(microseconds=300)], ids=str)
def test_windows_whose_events_would_have_to_be_taken_back(ecn, recorded, window):
    model, events = ecn(), recorded(150, 900, 4)
    stream = model.asynchronous(window)
    (fallback,) = stream.fallbacks
    assert fallback.name == "EventStream"
    assert "none can be taken back; a window of microseconds with history, of final features, is possible" in fallback.reason
    for first in range(0, 150, 30):
        stream.push(events[first : first + 30])
        inside = events[: first + 30]
        inside = inside[-50:] if window.events else inside[inside.t > inside.t[-1] - 300]
        assert stream.events == inside
        np.testing.assert_array_equal(stream.head_output(), model.output(inside))
    with pytest.raises(EventZooError, match=r"not all of the model runs event by event: EventStream: what comes through the levels"):
        model.asynchronous(window, strict=True)


@pytest.mark.parametrize(
    ("window", "settings", "reason"),
    [
        (Window(events=50, history=True), {}, r"EventStream: .*a window of microseconds with history"),
        (Window(microseconds=599, history=True), {}, r"window of 599 µs is shorter than the network's horizon of 600 µs"),
        (Window(microseconds=80, history=True), {"horizon": 10}, r"window of 80 µs is not longer than the 80 µs that an event looks back"),
    ],
    ids=str,
)
def test_windows_that_are_too_short_for_final_features(ecn, window, settings, reason):
    with pytest.raises(EventZooError, match=reason):
        ecn(**settings).asynchronous(window)


def test_the_least_window_of_final_features(ecn, recorded):
    model, events = ecn(horizon=81), recorded(300, 1_000, 6)
    stream = model.asynchronous(Window(microseconds=81, history=True), strict=True)
    outputs = stream.push_each(events)
    for count in (1, 50, 299, 300):
        close(outputs[count - 1], model.output(events[:count]))
    assert stream.events == events[events.t > events.t[-1] - 81]


@pytest.mark.parametrize("memory", MEMORIES)
def test_a_long_stream_takes_no_more_memory(ecn, recorded, tracks_of, memory):
    model, events = ecn(memory), recorded(6_000, 14_000, 7)
    stream, sizes = model.asynchronous(HISTORY), []
    for first in range(0, 6_000, 50):
        end = first + 50
        stream.push(events[first:end])
        inside = events.t[:end] > events.t[end - 1] - 700
        assert len(stream) == inside.sum()
        if first % 500 == 0:
            assert stream.events == events[:end][inside]
            sizes.append(sum(array.nbytes for array in stream.state_dict().values()))
    assert len(set(sizes[2:])) == 1
    close(stream.head_output(), model.output(events))
    assert all(track.at[LAST] - track.at[FIRST] < 1_500 for track in tracks_of(stream._engine.captured.plan))


@pytest.mark.parametrize("memory", MEMORIES)
def test_time_that_goes_by_changes_no_answer(ecn, recorded, memory):
    model, events = ecn(memory), recorded(300, 900, 8)
    stream, other = model.asynchronous(HISTORY), model.asynchronous(HISTORY)
    for first in range(0, 300, 50):
        part = events[first : first + 50]
        other.push(part)
        stream.push(part)
        said = stream.head_output()
        for now in (int(part.t[-1]), int(part.t[-1]) + 1):
            if first + 50 == 300 or now <= events.t[first + 50]:
                stream.advance(now)
                np.testing.assert_array_equal(stream.head_output(), said)
        np.testing.assert_array_equal(other.head_output(), said)
    last = int(events.t[-1])
    for now in (last + 300, last + 10**6):
        stream.advance(now)
        np.testing.assert_array_equal(stream.head_output(), said)
        assert stream.events == events[events.t > now - 700]
    assert len(stream) == 0
    assert len(other) > 0


@pytest.mark.parametrize("window", [Window(), HISTORY], ids=str)
def test_a_layer_of_events_that_has_no_converter(ecn, recorded, window):
    """What has been forgotten cannot be given to it, so that all runs densely, and says so."""
    model, events = ecn(kind=VariedEvents), recorded(120, 400, 9)
    if window.history:
        with pytest.raises(EventZooError, match="softer: there is no async converter for it, and what it needs has been forgotten"):
            model.asynchronous(window)
        return
    stream = model.asynchronous(window)
    (fallback,) = stream.fallbacks
    assert fallback.name == "EventStream"
    assert "softer: there is no async converter for it, and what it needs has been forgotten" in fallback.reason
    for first in range(0, 120, 40):
        stream.push(events[first : first + 40])
        np.testing.assert_array_equal(stream.head_output(), model.output(events[: first + 40]))


@pytest.mark.parametrize("window", [Window(), HISTORY], ids=str)
def test_a_layer_of_voxels_that_has_no_converter(ecn, recorded, window):
    model, events = ecn(kind=VariedVoxels), recorded(400, 1_500, 10)
    stream = model.asynchronous(window)
    assert stream.fallbacks[0].name == "softer"
    assert "EventStream" not in {fallback.name for fallback in stream.fallbacks}
    for first in range(0, 400, 20):
        stream.push(events[first : first + 20])
        close(stream.head_output(), model.output(events[: first + 20]))


def recipe(name):
    return yaml.safe_load((CONFIGS / f"ecn_{name}.yaml").read_text())


@pytest.mark.parametrize("memory", ["window", "trace"])
def test_real_digits(published, realdata, memory):
    """A recording of N-MNIST, after every 150th event, of the published network's settings."""
    model = published(recipe("nmnist_paper"), 10, memory=memory)
    (path, *_) = sorted((realdata / "N-MNIST").glob("Train/*/*.bin"))
    events = eventzoo.read(path, sensor_size=(34, 34))
    outputs = model.asynchronous(strict=True).push_each(events)
    for count in (*range(150, len(events), 150), len(events)):
        close(outputs[count - 1], model.output(events[:count]))


def test_a_real_object(published, realdata):
    """N-Caltech101's camera, and the published network's settings."""
    (path, *_) = sorted((realdata / "N-Caltech101").rglob("*.bin"))
    events = eventzoo.read(path, sensor_size=(240, 180))[:12_345]
    model = published(recipe("ncaltech101"), 101, [Resize((120, 90))], (240, 180))
    stream, done = model.asynchronous(strict=True), 0
    for count in (1, 300, 5_000, 12_345):
        stream.push(events[done:count])
        done = count
        close(stream.head_output(), model.output(Resize((120, 90)).on_stream(events[:count], 0)))


def test_the_commands(ecn, recorded, command_line, tmp_path, capsys):
    model, events = ecn(), recorded(500, 1_500, 11)
    name = f"local-dir:{model.save(tmp_path / 'ecn')}"
    eventzoo.write(tmp_path / "a.dat", events)
    command_line("stream", "--model", name, "--input", tmp_path / "a.dat", "--chunk-events", 50)
    printed = capsys.readouterr()
    assert "events    500 in " in printed.out
    assert "densely" not in printed.err
    command_line("flops", "--model", name, "--input", tmp_path / "a.dat", "--csv", tmp_path / "f.csv")
    printed = capsys.readouterr().out
    with (tmp_path / "f.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["layer"]: row for row in csv.DictReader(file)}  # the last are of the whole recording
    batch = model.representation.collate([model.representation(events)])
    for number, (level, layers) in enumerate(zip(batch.levels, model.backbone.levels, strict=True)):
        expand = rows[f"levels.{number}.expand"]
        assert int(expand["sites"]) == len(level.t)
        assert float(expand["synchronous_flops"]) == pytest.approx(2 * layers.expand.weight.numel() * len(level.t))
        assert float(expand["sites_per_event"]) * 500 >= len(level.t)  # some are computed again
        for kind in ("strided", "inplace", "pointwise"):
            conv, edges, row = getattr(layers, kind), getattr(level, kind), rows[f"levels.{number}.{kind}"]
            width = conv.decays * conv.in_channels
            cells = len(np.unique(np.repeat(np.arange(len(level.t)), edges.start.diff()) * 9 + edges.cell.numpy()))
            assert int(row["sites"]) == len(level.t)
            expected = 2 * width * (len(edges.source) + conv.out_channels * cells)
            assert float(row["synchronous_flops"]) == pytest.approx(expected, rel=0.1)
        assert int(rows[f"voxels.{number}.mean"]["sites"]) == len(level.t)
        assert rows.keys() >= {f"voxels.{number}.norm", "merges.0.conv", "widen", "top", "tail.2", "head.linear"}
    assert "levels.1.pointwise" in printed
    command_line("latency", "--model", name, "--input", tmp_path / "a.dat")
    assert "500" in capsys.readouterr().out
