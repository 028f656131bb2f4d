"""stream, flops and latency, as a user types them."""

import csv
import json
import re
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import eventzoo
from eventzoo.asynchronous import AsyncModel, Window
from eventzoo.events import Events
from eventzoo.model import EventModel
from eventzoo.plugins.backbones.aegnn import AEGNN
from eventzoo.plugins.representations.event_graph import EventGraph
from eventzoo.tasks.heads import ClassificationHead, YOLOHead

SIZE = (34, 24)
COUNT = 260


def saved(folder, causal=True, transforms=(), head=None):
    torch.manual_seed(0)
    backbone = AEGNN(sensor_size=SIZE, pool_size=(5, 5), channels=(4, 8, 8, 8, 8, 8, 8))
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    graph = EventGraph(max_neighbors=8, causal=causal)
    head = (head or ClassificationHead()).connect(backbone, 3)
    model = EventModel(graph, backbone, head, ["cat", "dog", "car"], SIZE, transforms)
    return f"local-dir:{model.save(folder)}"


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """A small model, as --model takes it."""
    return saved(tmp_path_factory.mktemp("models") / "small")


@pytest.fixture(scope="session")
def detector(tmp_path_factory):
    """A small detector of the same layers, which finds something everywhere."""
    return saved(tmp_path_factory.mktemp("models") / "detector", head=YOLOHead(grid=(4, 3), score_threshold=0.1, max_detections=10))


@pytest.fixture(scope="session")
def recording(tmp_path_factory, make_events):
    """A recording of 100 ms, and its file."""
    path, events = tmp_path_factory.mktemp("recordings") / "a.dat", make_events(COUNT, SIZE)
    eventzoo.write(path, events)
    return path, events


def lines_of(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def table_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


class Clock:
    """A clock that goes on only when someone sleeps or works."""

    def __init__(self):
        self.now = 0.0
        self.slept = 0.0

    def perf_counter(self):
        return self.now

    def perf_counter_ns(self):
        return round(self.now * 1e9)

    def sleep(self, seconds):
        self.now += seconds
        self.slept += seconds


@pytest.fixture
def clock(monkeypatch):
    """The commands' clock, which stands still but for what the test lets it do."""
    clock = Clock()
    for module in ("tally", "display", "latency"):
        monkeypatch.setattr(f"eventzoo.commands.streaming.{module}.time", clock)
    return clock


@pytest.fixture
def pushes_take(monkeypatch, clock):
    """Makes every push take so many seconds on that clock."""
    push = AsyncModel.push

    def take(seconds):
        def slow(self, events):
            clock.now += seconds
            return push(self, events)

        monkeypatch.setattr(AsyncModel, "push", slow)

    return take


@pytest.fixture
def regular(tmp_path):
    """Writes a recording with events at given milliseconds."""

    def written(*milliseconds):
        t = np.array(milliseconds) * 1000
        x = np.arange(len(t)) % SIZE[0]
        eventzoo.write(tmp_path / "regular.dat", Events(x, x % 7, t, x % 2 == 0, SIZE))
        return tmp_path / "regular.dat"

    return written


@pytest.mark.parametrize(
    ("arguments", "window"),
    [
        ((), Window()),
        (("--window-events", 60), Window(events=60)),
        (("--window-us", 20_000, "--history"), Window(microseconds=20_000, history=True)),
    ],
)
def test_the_output_is_what_the_model_says(command_line, model, recording, tmp_path, capsys, arguments, window):
    path, events = recording
    command_line("stream", "--model", model, "--input", path, "--chunk-events", 50, "--output", tmp_path / "o.jsonl", *arguments)
    stream = eventzoo.load(model).asynchronous(window)
    lines = lines_of(tmp_path / "o.jsonl")
    assert [line["events"] for line in lines] == [50, 100, 150, 200, 250, 260]
    for line, first in zip(lines, range(0, COUNT, 50), strict=True):
        part = events[first : first + 50]
        answer = stream.push(part)
        assert list(line) == ["t_us", "events", "label", "class_id", "probabilities", "push_us"]
        assert (line["t_us"], line["label"], line["class_id"]) == (part.t[-1], answer.label, answer.class_id)
        np.testing.assert_array_equal(np.float32(line["probabilities"]), answer.probabilities)
        assert line["push_us"] > 0
    printed = capsys.readouterr().out
    assert f"events    260 in {(events.t[-1] - events.t[0]) / 1e6:,.6g} s of the recording\n" in printed
    assert f"window    {len(stream.events)} of 260 events\nanswer    {answer}\n" in printed
    assert re.search(r"^(kept up: [\d.,e+]+ times faster than|did not keep up with) real time", printed, re.MULTILINE)


def test_the_output_of_a_detector(command_line, detector, recording, tmp_path, capsys):
    path, events = recording
    command_line("stream", "--model", detector, "--input", path, "--chunk-events", 50, "--output", tmp_path / "o.jsonl")
    stream = eventzoo.load(detector).asynchronous()
    lines = lines_of(tmp_path / "o.jsonl")
    assert [line["events"] for line in lines] == [50, 100, 150, 200, 250, 260]
    for line, first in zip(lines, range(0, COUNT, 50), strict=True):
        answer = stream.push(events[first : first + 50])
        assert list(line) == ["t_us", "events", "boxes", "scores", "class_ids", "labels", "push_us"]
        np.testing.assert_array_equal(np.float32(line["boxes"]), answer.boxes)
        np.testing.assert_array_equal(np.float32(line["scores"]), answer.scores)
        assert (line["class_ids"], tuple(line["labels"])) == (answer.class_ids.tolist(), answer.labels)
    left, top, right, bottom = answer.boxes[0]
    best = rf"{answer.labels[0]} \({answer.scores[0]:.1%}\) at x {left:.0f}–{right:.0f}, y {top:.0f}–{bottom:.0f}"
    assert re.search(rf"^answer    {best}; (\w+ \(.*; ){{2}}and 7 more$", capsys.readouterr().out, re.MULTILINE)


def test_a_detector_that_finds_nothing(command_line, recording, tmp_path, capsys):
    blind = saved(tmp_path / "blind", head=YOLOHead(grid=(4, 3), score_threshold=1.0))
    command_line("stream", "--model", blind, "--input", recording[0], "--chunk-events", 200, "--output", tmp_path / "o.jsonl")
    for line in lines_of(tmp_path / "o.jsonl"):
        assert [line[key] for key in ("boxes", "scores", "class_ids", "labels")] == [[]] * 4
    assert "answer    nothing\n" in capsys.readouterr().out


def test_a_push_holds_a_millisecond_unless_told(command_line, model, recording, tmp_path):
    path, events = recording
    given = ("stream", "--model", model, "--input", path, "--overwrite", "--output", tmp_path / "o.jsonl")
    for arguments, duration in (((), 1000), (("--chunk-us", 25_000), 25_000)):
        command_line(*given, *arguments)
        last = np.flatnonzero(np.diff((events.t - events.t[0]) // duration, append=-1))
        assert [line["events"] for line in lines_of(tmp_path / "o.jsonl")] == (last + 1).tolist()


def test_part_of_a_recording(command_line, model, recording, tmp_path):
    path, events = recording
    part = events[(events.t >= 30_000) & (events.t < 70_000)]
    given = ("stream", "--model", model, "--input", path, "--start", 30_000, "--stop", 70_000, "--output", tmp_path / "o.jsonl")
    command_line(*given)
    last = lines_of(tmp_path / "o.jsonl")[-1]
    assert (last["events"], last["t_us"]) == (len(part), part.t[-1])
    answer = eventzoo.load(model).predict(part)
    np.testing.assert_allclose(last["probabilities"], answer.probabilities, rtol=1e-4)


def test_real_time_takes_what_is_due(command_line, model, regular, tmp_path, clock, pushes_take, capsys):
    pushes_take(0.025)
    command_line("stream", "--model", model, "--input", regular(5, 15, 25, 35, 45), "--real-time", "--output", tmp_path / "o.jsonl")
    lines = lines_of(tmp_path / "o.jsonl")
    assert [(line["t_us"], line["events"], line["push_us"]) for line in lines] == [(5000, 1, 25e3), (25_000, 3, 25e3), (45_000, 5, 25e3)]
    printed = capsys.readouterr().out
    assert "lag       35.0 ms behind, at most 35.0 ms\n" in printed  # begun at 50 ms, done at 75 ms, due at 40 ms
    assert "kept up with real time: at work 100% of the time" in printed
    assert clock.slept == 0


def test_real_time_waits_for_events(command_line, model, regular, clock, pushes_take, capsys):
    pushes_take(0.001)
    command_line("stream", "--model", model, "--input", regular(0, 10, 20, 30, 40), "--real-time", 0.5)
    printed = capsys.readouterr().out
    assert "lag       1.0 ms behind, at most 1.0 ms\n" in printed
    assert "kept up with 0.5 times real time: at work 6% of the time" in printed
    assert clock.slept == pytest.approx(0.076)
    assert clock.now == pytest.approx(0.081)


def test_it_says_by_how_much_it_falls_behind(command_line, model, regular, clock, pushes_take, capsys):
    pushes_take(0.1)
    path = regular(0, 10, 20, 30, 40)
    command_line("stream", "--model", model, "--input", path, "--real-time")
    assert "did not keep up with real time: fell behind by 0.16 s (needs 125 events/s, manages 25)" in capsys.readouterr().out
    command_line("stream", "--model", model, "--input", path, "--chunk-events", 1)
    printed = capsys.readouterr().out
    assert "did not keep up with real time: fell behind by 0.46 s (needs 125 events/s, manages 10)" in printed
    assert "lag" not in printed
    pushes_take(0.001)
    command_line("stream", "--model", model, "--input", path, "--chunk-events", 1)
    assert "kept up: 8 times faster than real time" in capsys.readouterr().out


@pytest.mark.usefixtures("clock")
def test_without_a_terminal_there_is_a_line_a_second_and_events_grow_old(command_line, model, regular, pushes_take, capsys):
    pushes_take(0.001)
    given = ("--real-time", "--window-us", 500_000)
    command_line("stream", "--model", model, "--input", regular(0, 400, 3400), *given)
    lines = re.findall(
        r"^([\d.]+) s  2 events .* real time  push median .* lag 1.0 ms  window (\d)  \w+ \(", capsys.readouterr().out, re.MULTILINE
    )
    assert lines == [("0.400", "0")] * 3


def test_on_a_terminal_the_display_is_live(command_line, model, regular, pushes_take, monkeypatch, capsys):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    pushes_take(0.3)
    command_line("stream", "--model", model, "--input", regular(0, 10, 20), "--real-time")
    printed = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", capsys.readouterr().out)
    assert "AEGNN, all events, regular.dat" in printed
    assert re.search(r"lag +580.0 ms behind, at most 580.0 ms", printed)
    assert re.search(r"window +3 of 3 events", printed)
    for label in ("cat", "dog", "car"):
        assert re.search(rf"^{label} +█+\S* +\d+\.\d%", printed, re.MULTILINE)
    command_line("flops", "--model", model, "--input", regular(0, 10, 20))
    assert re.search(r"─{30}", capsys.readouterr().out)


def test_boxes_on_a_terminal(command_line, detector, regular, pushes_take, monkeypatch, capsys):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    pushes_take(0.3)
    command_line("stream", "--model", detector, "--input", regular(0, 10, 20), "--real-time")
    printed = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", capsys.readouterr().out)
    rows = re.findall(r"^(cat|dog|car) +█+\S* +\d+\.\d% +x \d+–\d+ +y \d+–\d+ *$", printed, re.MULTILINE)
    assert len(rows) == 8 * len(re.findall(r"^and 2 more", printed, re.MULTILINE)) > 0


def interrupted_after(monkeypatch, pushes):
    push, left = AsyncModel.push, iter(range(pushes))

    def interrupted(self, events):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return push(self, events)

    monkeypatch.setattr(AsyncModel, "push", interrupted)


def test_ctrl_c_ends_with_the_summary_so_far(command_line, model, recording, tmp_path, monkeypatch, capsys):
    interrupted_after(monkeypatch, 2)
    with pytest.raises(SystemExit) as stopped:
        command_line("stream", "--model", model, "--input", recording[0], "--chunk-events", 50, "--output", tmp_path / "o.jsonl")
    assert stopped.value.code == 130
    assert [line["events"] for line in lines_of(tmp_path / "o.jsonl")] == [50, 100]
    printed = capsys.readouterr()
    assert printed.out.startswith("events    100 in ")
    assert "answer    " in printed.out
    assert printed.err.endswith("eventzoo: interrupted\n")


def test_ctrl_c_before_the_first_push(command_line, model, recording, monkeypatch, capsys):
    interrupted_after(monkeypatch, 0)
    with pytest.raises(SystemExit):
        command_line("stream", "--model", model, "--input", recording[0])
    assert capsys.readouterr().out == ""


def test_a_fault_in_the_middle_of_a_file(command_line, model, tmp_path, capsys, make_events):
    events = make_events(100, (40, 30))
    within = events[(events.x < SIZE[0]) & (events.y < SIZE[1])]
    eventzoo.write(
        tmp_path / "a.bin",
        Events(np.append(within.x, 36), np.append(within.y, 3), np.append(within.t, 100_500), np.append(within.p, 1), (40, 30)),
    )
    reason = r"a.bin has an event at \(x, y\) = \(36, 3\), time 100,500 µs, the model is made for 34×24; crop or scale the recording first"
    with pytest.raises(SystemExit, match=reason):
        command_line("stream", "--model", model, "--input", tmp_path / "a.bin", "--chunk-us", 10)
    assert capsys.readouterr().out.startswith(f"events    {len(within)} in")


def test_errors_in_words(command_line, model, recording, tmp_path, make_events, capsys):
    path, _ = recording
    eventzoo.write(tmp_path / "large.dat", make_events(10, (50, 30)))
    (tmp_path / "there.jsonl").write_text("precious")
    symmetric = saved(tmp_path / "symmetric", causal=False)
    refused = [
        (("--model", "cat", "--input", path), "no model named 'cat'"),
        (("--model", f"local-dir:{tmp_path}", "--input", path), "is not a saved model"),
        (("--model", model, "--input", tmp_path / "gone.dat"), "gone.dat: there is no such file"),
        (
            ("--model", model, "--input", tmp_path / "large.dat"),
            r"of a 50×30 sensor, the model is made for 34×24; crop .*--sensor-size 34 24",
        ),
        (("--model", symmetric, "--input", path, "--history"), "can only be final in a causal graph"),
        (("--model", model, "--input", path, "--start", 10**9), "no events between --start and --stop"),
    ]
    for command in ("stream", "flops", "latency"):
        for arguments, reason in refused:
            with pytest.raises(SystemExit, match=rf"^eventzoo: error: .*{reason}"):
                command_line(command, *arguments)
        for wrong in (("--window-events", 3, "--window-us", 3), ("--window-events", 0), ("--window-us", "x")):
            with pytest.raises(SystemExit) as usage:
                command_line(command, "--model", model, "--input", path, *wrong)
            assert usage.value.code == 2
            assert re.search(r"argument --window-(us|events): (not allowed with|must be at least 1|invalid)", capsys.readouterr().err)
    for output, reason in (("there.jsonl", "exists; give --overwrite"), ("gone/o.jsonl", "cannot be written: there is no folder")):
        with pytest.raises(SystemExit, match=reason):
            command_line("stream", "--model", model, "--input", path, "--output", tmp_path / output)
    with pytest.raises(SystemExit, match="only be final"):
        command_line("stream", "--model", symmetric, "--input", path, "--history", "--output", tmp_path / "there.jsonl", "--overwrite")
    assert (tmp_path / "there.jsonl").read_text() == "precious"
    for speed in (0, -1, "inf"):
        with pytest.raises(SystemExit):
            command_line("stream", "--model", model, "--input", path, "--real-time", speed)
        assert "must be a number above 0" in capsys.readouterr().err
    for command in ("flops", "latency"):
        with pytest.raises(SystemExit, match=r"there is no folder .*gone"):
            command_line(command, "--model", model, "--input", path, "--csv", tmp_path / "gone" / "f.csv")
        with pytest.raises(SystemExit, match=r"must end in \.png, \.svg or \.pdf"):
            command_line(command, "--model", model, "--input", path, "--plot", tmp_path / "picture")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_is_an_error_in_words(command_line, model, recording):
    with pytest.raises(SystemExit, match=r"/dev/full cannot be written: No space left on device"):
        command_line("stream", "--model", model, "--input", recording[0], "--output", "/dev/full", "--overwrite")


def test_what_runs_densely_is_named(command_line, recording, tmp_path, capsys):
    dense = saved(tmp_path / "dense", transforms=[eventzoo.data.transforms.EvenSubsample(100)])
    command_line("stream", "--model", dense, "--input", recording[0], "--chunk-us", 50_000)
    assert "runs densely, on the whole window, at every push: EventGraph: the model's EvenSubsample" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="nothing of this one does"):
        command_line("flops", "--model", dense, "--input", recording[0])


def test_long_compilation_is_announced(command_line, model, recording, monkeypatch):
    asynchronous, told, texts = EventModel.asynchronous, threading.Event(), []

    def tell(text, file, flush):
        texts.append((text, file, flush))
        told.set()

    def slow(self, window):
        assert told.wait(60)
        return asynchronous(self, window)

    monkeypatch.setattr(EventModel, "asynchronous", slow)
    monkeypatch.setattr("eventzoo.commands.streaming.inputs.print", tell, raising=False)
    monkeypatch.setattr("eventzoo.commands.streaming.inputs._PATIENCE", 0)
    command_line("stream", "--model", model, "--input", recording[0])
    ((text, file, flush),) = texts
    assert "one that is new to this machine is compiled once" in text
    assert (file, flush) == (sys.stderr, True)


@pytest.mark.parametrize("arguments", [(), ("--window-events", 120)])
def test_flops(command_line, model, recording, tmp_path, capsys, arguments):
    path, events = recording
    command_line("flops", "--model", model, "--input", path, "--csv", tmp_path / "f.csv", *arguments)
    stream = eventzoo.load(model).asynchronous(Window(events=arguments[1]) if arguments else None)
    stream.push_each(events)
    rows = table_of(tmp_path / "f.csv")
    assert list(rows[0]) == [
        "first_event",
        "last_event",
        "events_in_graph",
        "layer",
        "flops_per_event",
        "synchronous_flops",
        "sites_per_event",
        "sites",
    ]
    runs = list(dict.fromkeys((int(row["first_event"]), int(row["last_event"]), int(row["events_in_graph"])) for row in rows))
    full = min(COUNT, *arguments[1:], COUNT)
    assert runs == [(0, 100, 100), (100, 150, min(150, full)), (150, 200, min(200, full)), (200, 260, full), (0, 260, full)]
    for layer in stream.flops:
        *parts, whole = [row for row in rows if row["layer"] == layer.name]
        for column, per_event in (("flops_per_event", layer.per_event), ("sites_per_event", layer.sites_per_event)):
            total = sum(float(row[column]) * (int(row["last_event"]) - int(row["first_event"])) for row in parts)
            assert total == pytest.approx(per_event * COUNT)
            assert float(whole[column]) == pytest.approx(per_event)
        assert int(whole["sites"]) == int(parts[-1]["sites"]) == layer.sites
        assert float(whole["synchronous_flops"]) == float(parts[-1]["synchronous_flops"]) == layer.synchronous
    printed = capsys.readouterr().out
    done, dense = (sum(getattr(layer, name) for layer in stream.flops) for name in ("per_event", "synchronous"))
    assert re.search(rf"^all layers +{done:,.0f} +{dense:,.0f} +{dense / done:,.1f}\b", printed, re.MULTILINE)
    assert re.search(rf"^201 to 260 +{full} ", printed, re.MULTILINE)
    ones = []
    stream.reset()
    for at in range(COUNT):
        before = sum(layer.per_event for layer in stream.flops) * stream.num_events
        stream.push(events[at : at + 1])
        ones.append(sum(layer.per_event for layer in stream.flops) * stream.num_events - before)
    chosen = np.unique(np.linspace(0, COUNT - 1, 200).astype(int))
    middle = np.median(np.array(ones)[chosen])
    assert f"an event: median {middle:,.0f}, 90 % within " in printed


def test_flops_and_latency_of_a_detector(command_line, detector, recording, capsys):
    command_line("flops", "--model", detector, "--input", recording[0])
    assert re.search(r"^head\.linear +[\d,]+ +[\d,]+ ", capsys.readouterr().out, re.MULTILINE)
    command_line("latency", "--model", detector, "--input", recording[0])
    assert re.search(r"^260 +260 +30 ", capsys.readouterr().out, re.MULTILINE)


def test_what_transforms_drop_is_not_measured(command_line, recording, tmp_path, capsys):
    thinned = saved(tmp_path / "thinned", transforms=[eventzoo.data.transforms.EveryKth(3)])
    command_line("flops", "--model", thinned, "--input", recording[0], "--csv", tmp_path / "f.csv")
    assert "the model's EveryKth leaves 87 of 260 events" in capsys.readouterr().err
    assert {(row["last_event"], row["events_in_graph"]) for row in table_of(tmp_path / "f.csv")} == {("87", "87")}


@pytest.mark.parametrize(("arguments", "timed"), [((), [50, 25, 25, 30]), (("--every",), [100, 50, 50, 60])])
def test_latency(command_line, model, recording, tmp_path, capsys, monkeypatch, clock, pushes_take, arguments, timed):
    predict, windows = EventModel.predict, []

    def slow(self, events):
        clock.now += 0.004
        windows.append(len(events))
        return predict(self, events)

    monkeypatch.setattr(EventModel, "predict", slow)
    pushes_take(0.00004)
    command_line("latency", "--model", model, "--input", recording[0], "--window-events", 120, "--csv", tmp_path / "l.csv", *arguments)
    rows = table_of(tmp_path / "l.csv")
    expected = dict.fromkeys(("p10_us", "median_us", "p90_us", "p99_us", "max_us"), "40.0")
    for row, pushed, in_graph, count in zip(rows, (100, 150, 200, 260), (100, 120, 120, 120), timed, strict=True):
        assert row == {
            "events_pushed": str(pushed),
            "events_in_graph": str(in_graph),
            "timed": str(count),
            **expected,
            "synchronous_us": "4000.0",
            "ratio": "100.0",
        }
    assert windows == [100] * 6 + [120] * 15
    assert re.search(rf"^260 +120 +{timed[-1]} +40 +40 +40 +40 +4,000 +100.0$", capsys.readouterr().out, re.MULTILINE)


def test_synchronous_forwards_that_take_too_long_are_left_out(
    command_line, model, recording, tmp_path, capsys, monkeypatch, clock, pushes_take
):
    pushes_take(0.0001)
    monkeypatch.setattr(EventModel, "predict", lambda *_: clock.sleep(6))
    command_line("latency", "--model", model, "--input", recording[0], "--csv", tmp_path / "l.csv")
    assert [row["synchronous_us"] for row in table_of(tmp_path / "l.csv")] == ["6000000.0", "nan", "nan", "nan"]
    assert "–: a synchronous forward could take more than 10 s" in capsys.readouterr().out
    assert clock.slept == 12  # one to warm up, and no second one once it is known how long it takes


@pytest.mark.parametrize("command", ["flops", "latency"])
@pytest.mark.parametrize("window", [(), ("--window-us", 30_000)])
def test_plots(command_line, model, recording, tmp_path, capsys, command, window):
    pytest.importorskip("matplotlib")
    command_line(command, "--model", model, "--input", recording[0], "--plot", tmp_path / "p.png", *window)
    assert f"picture: {tmp_path / 'p.png'}\n" in capsys.readouterr().out
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    command_line(command, "--model", model, "--input", recording[0], "--plot", tmp_path / "p.svg", *window)
    assert "<svg" in (tmp_path / "p.svg").read_text(encoding="utf-8")


def test_plots_need_matplotlib(command_line, model, recording, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(SystemExit, match=r"pip install eventzoo\[viz\]"):
        command_line("flops", "--model", model, "--input", recording[0], "--plot", tmp_path / "p.png")
