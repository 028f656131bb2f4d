"""flops --mode all, as a user types it."""

import csv
import re

import numpy as np
import pytest
import torch
from torch import nn

import eventzoo
from eventzoo.asynchronous import Window
from eventzoo.commands.streaming import modes
from eventzoo.evaluation.processing_modes import MODES, by_formulas
from eventzoo.events import Events
from eventzoo.model import EventModel
from eventzoo.tasks.heads import ClassificationHead

SIZE = (25, 18)
COUNT = 260
ALL = "all layers"


def made(backbone, representation, transforms=()):
    torch.manual_seed(0)
    settings = {"stages": ((4, 5), (6,)), "out_channels": 7} if "VGG" in backbone else {}  # tests/asynchronous compile the same structure
    backbone = getattr(eventzoo.backbones, backbone)(SIZE, **settings)
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(1e-3, 2e-3)  # so small that eps, which the two forms have different ones of, is felt
            nn.init.normal_(module.bias)
    head = ClassificationHead().connect(backbone, 3)
    return EventModel(getattr(eventzoo.representations, representation)(), backbone, head, ["cat", "dog", "car"], SIZE, transforms)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Small models, as --model takes them."""
    folder = tmp_path_factory.mktemp("models")
    kinds = {"SparseVGG": "Histogram", "DenseVGG": "Histogram", "AEGNN": "EventGraph"}
    return {name: f"local-dir:{made(name, kind).save(folder / name)}" for name, kind in kinds.items()}


@pytest.fixture(scope="module")
def recording(tmp_path_factory, make_events):
    """A recording, and its file."""
    path, events = tmp_path_factory.mktemp("recordings") / "a.dat", make_events(COUNT, SIZE)
    eventzoo.write(path, events)
    return path, eventzoo.read(path, sensor_size=SIZE)


def table_of(path):
    """Rows of a CSV file, their figures as numbers, by layer and mode."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    numbers = ({name: float(text) for name, text in row.items() if name not in ("layer", "mode") and text} for row in rows)
    return {(row["layer"], row["mode"]): figures for row, figures in zip(rows, numbers, strict=True)}


def counted_alone(model, events, start, length, step):
    """Operations and sites of each layer for one window's step, in a stream of its own; asynchronous, then synchronous."""
    stream = model.asynchronous(Window(length), strict=True)
    stream.push(events[start : start + length])
    before = {layer.name: (layer.per_event * length, layer.sites_per_event * length) for layer in stream.flops}
    stream.push(events[start + length : start + length + step])
    total = length + step
    return {
        layer.name: (
            (layer.per_event * total - before[layer.name][0], layer.sites_per_event * total - before[layer.name][1]),
            (layer.synchronous, layer.sites),
        )
        for layer in stream.flops
    }


@pytest.mark.slow
@pytest.mark.parametrize("given", ["SparseVGG", "DenseVGG"])
def test_figures_are_those_of_the_windows(command_line, models, recording, tmp_path, capsys, given):
    path, events = recording
    options = ("--window-events", 60, "--step", 3, "--samples", 4, "--csv", tmp_path / "f.csv")
    command_line("flops", "--model", models[given], "--input", path, "--mode", "all", *options)
    table = table_of(tmp_path / "f.csv")
    starts = [0, 65, 131, 197]  # the last window after a step ends with the recording
    forms = dict(zip(("sparse", "dense"), modes.both_forms(eventzoo.load(models[given])), strict=True))

    network = nn.Sequential(forms["sparse"].backbone, forms["sparse"].head)
    image = forms["sparse"].representation
    counted = [by_formulas(network, image(events[s : s + 60])[None], image(events[s + 3 : s + 63])[None]) for s in starts]
    for number, layer in enumerate(counted[0]):
        name = re.sub(r"^0\.", "", layer.name).replace("1.linear", "head.linear")
        for mode in MODES:
            flops = [of_window[number].flops[mode] for of_window in counted]
            row = table[name, mode]
            assert row["formula_flops"] == pytest.approx(np.mean(flops))
            assert row["formula_flops_std"] == pytest.approx(np.std(flops))
            assert row["formula_sites"] == pytest.approx(np.mean([of_window[number].sites[mode] for of_window in counted]))

    for form, model in forms.items():
        alone = [counted_alone(model, events, start, 60, 3) for start in starts]
        for name in alone[0]:
            for at, mode in enumerate((f"asynchronous {form}", form)):
                flops, sites = zip(*(of_window[name][at] for of_window in alone), strict=True)
                assert table[name, mode]["counted_flops"] == pytest.approx(np.mean(flops), abs=1e-3)
                assert table[name, mode]["counted_flops_std"] == pytest.approx(np.std(flops), abs=1e-3)
                assert table[name, mode]["counted_sites"] == pytest.approx(np.mean(sites), abs=1e-3)

    printed = capsys.readouterr().out
    assert printed.startswith("a window of 60 events, 3 further than the one before it; means of 4 spread over the recording\n")
    for way in ("formula", "counted"):
        totals = [table[ALL, mode][f"{way}_flops"] for mode in MODES]
        summed = [sum(row.get(f"{way}_flops", 0) for (name, of), row in table.items() if of == mode and name != ALL) for mode in MODES]
        assert totals == pytest.approx(summed)
        assert totals[0] > 0
        assert re.search("^all layers +" + " +".join(f"{total:,.0f}" for total in totals) + "$", printed, re.MULTILINE)
        deviations = (table[ALL, mode][f"{way}_flops_std"] for mode in MODES)
        assert re.search("^standard deviation +" + " +".join(f"{std:,.0f}" for std in deviations) + "$", printed, re.MULTILINE)
    assert table["head.linear", "dense"]["formula_flops"] == 2 * forms["dense"].head.linear.in_features * 3


@pytest.mark.slow
def test_a_short_recording_has_a_smaller_window(command_line, models, recording, capsys):
    command_line("flops", "--model", models["SparseVGG"], "--input", recording[0], "--mode", "all", "--step", 10)
    printed = capsys.readouterr()
    assert printed.out.startswith("a window of 250 events, 10 further than the one before it; means of 1 ")
    assert "has 260 events: windows have 250, so that 10 can come and leave" in printed.err
    with pytest.raises(SystemExit, match="has 260 events, too few for a window and a step of 260; give a smaller --step"):
        command_line("flops", "--model", models["SparseVGG"], "--input", recording[0], "--mode", "all", "--step", 260)


@pytest.mark.slow
def test_the_models_own_window_does_not_matter(command_line, models, recording, tmp_path, capsys):
    windowed = made("SparseVGG", "Histogram", [eventzoo.data.transforms.WindowByTime(1000, "end")]).save(tmp_path / "model")
    said = []
    for model in (models["SparseVGG"], f"local-dir:{windowed}"):
        command_line("flops", "--model", model, "--input", recording[0], "--mode", "all", "--window-events", 60, "--samples", 2)
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]


@pytest.mark.slow
@pytest.mark.parametrize("given", ["SparseVGG", "DenseVGG"])
def test_both_forms_say_the_same_where_every_pixel_is_active(models, given):
    sparse, dense = modes.both_forms(eventzoo.load(models[given]))
    width, height = SIZE
    x, y = np.tile(np.arange(width), 3 * height), np.repeat(np.arange(3 * height) % height, width)
    events = Events(x, y, np.arange(len(x)), np.random.default_rng(0).random(len(x)) < 0.5, SIZE)
    said = [model.output(events) for model in (sparse, dense)]
    assert np.abs(said[0]).max() > 0.1
    np.testing.assert_allclose(*said, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_there_are_no_more_windows_than_places_for_them(command_line, models, recording, tmp_path, capsys):
    command_line("flops", "--model", models["SparseVGG"], "--input", recording[0], "--mode", "all", "--window-events", 257, "--samples", 9)
    assert "means of 3 spread over the recording" in capsys.readouterr().out


def test_what_cannot_be_counted_is_an_error_in_words(command_line, models, recording, tmp_path):
    unstreamed = f"local-dir:{made('SparseVGG', 'Histogram', [eventzoo.data.transforms.EvenSubsample(100)]).save(tmp_path / 'model')}"
    refused = [
        (models["AEGNN"], ("--mode", "all"), "which SparseVGG and DenseVGG have and AEGNN does not"),
        (unstreamed, ("--mode", "all"), "nothing of this one does"),
        (models["SparseVGG"], ("--mode", "all", "--window-us", 1000), "give --window-events, or nothing"),
        (models["SparseVGG"], ("--mode", "all", "--history"), "give --window-events, or nothing"),
        (models["SparseVGG"], ("--mode", "all", "--plot", tmp_path / "p.png"), "--plot draws the cost of a growing window"),
        (models["SparseVGG"], ("--step", 2), "--step and --samples say what --mode all counts"),
        (models["SparseVGG"], ("--samples", 2), "--step and --samples say what --mode all counts"),
    ]
    for model, arguments, reason in refused:
        with pytest.raises(SystemExit, match=rf"^eventzoo: error: .*{reason}"):
            command_line("flops", "--model", model, "--input", recording[0], *arguments)
