"""Write docs/zoo.md and docs/results.csv from the model cards: `python docs/make_zoo.py`. A test compares them with the cards."""

import csv
import io
import json
import struct
from collections.abc import Iterable
from math import prod
from pathlib import Path

from eventzoo.zoo.cards import ModelCard, read_card

HERE = Path(__file__).parent

INTRODUCTION = """\
# The model zoo

Generated from the model cards in `zoo/` by `docs/make_zoo.py`. Numbers beside weights were measured by us, of exactly these weights; what
publications report stands apart. [All numbers as a table](results.csv).

```python
import eventzoo

eventzoo.list_models("aegnn*", task="classification", pretrained=True)
print(eventzoo.info("aegnn-nmnist"))
model = eventzoo.load("aegnn-nmnist")
```

```bash
eventzoo models "aegnn*"                      # the table
eventzoo info aegnn-nmnist                    # one card
eventzoo test --model aegnn-nmnist            # measures the card's numbers again, on its dataset
eventzoo stream --model aegnn-nmnist --input recording.bin
```

## With weights

These are installed with eventzoo and need no network. Each was trained by its card's command; the best epoch on the validation split is
kept. Seeds: the lowest and the highest result of trainings by this command with different seeds, and how many there were. A split on which
epochs were chosen, and recipes compared, flatters a little; see each model's protocol.

"""

WITHOUT = """\

## Without weights

Recipes of published networks, which `eventzoo fit --config` trains where you have the data. `eventzoo.load(NAME, pretrained=False)` makes
the network with random weights; `eventzoo import-checkpoint` takes upstream's weights where you have them.

"""


def page(cards: Iterable[ModelCard]) -> str:
    """docs/zoo.md."""
    cards = list(cards)
    trained = [described for described in cards if described.weights]
    others = [described for described in cards if not described.weights]
    lines = [INTRODUCTION + "| model | parameters | file | dataset, split | measured | seeds |", "|---|---|---|---|---|---|"]
    for described in trained:
        parameters, size = _size(described)
        first = f"| [{described.name}](#{described.name}) | {parameters:,} | {size / 1e6:.2f} MB "
        for metric in described.measured:
            spread = f"{min(metric.seeds.values()):.3f} to {max(metric.seeds.values()):.3f} ({len(metric.seeds)})"
            lines.append(f"{first}| {metric.dataset}, {metric.split} | {metric.name} {metric.value:.3f} | {spread} |")
            first = "| | | "
    lines += [WITHOUT + "| model | task | dataset | reported by a publication |", "|---|---|---|---|"]
    for described in others:
        reported = "; ".join(f"{metric.name} {metric.value:.3f} ({metric.source})" for metric in described.reported)
        lines.append(f"| {described.name} | {described.task} | {described.dataset} | {reported or '—'} |")
    lines += ["", "## Each of them"]
    for described in cards:
        if described.weights is None:
            continue
        lines += [
            f"\n### {described.name}\n",
            f"{described.summary} Architecture: {described.paper}. Licence of the weights: {described.weights.licence}.\n",
            f"```bash\n{described.weights.command}\n```\n",
        ]
        for metric in described.measured:
            seeds = ", ".join(f"{value:.3f} (seed {seed})" for seed, value in metric.seeds.items())
            lines.append(
                f"- {metric.name} **{metric.value:.3f}** on {metric.dataset}, split {metric.split}: {metric.protocol}. Trainings: {seeds}."
            )
        lines += [f"- Reported: {metric.name} {metric.value:.3f} on {metric.dataset} ({metric.source})." for metric in described.reported]
    return "\n".join(lines) + "\n"


def results(cards: Iterable[ModelCard]) -> str:
    """docs/results.csv: a line a number."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["model", "task", "dataset", "split", "metric", "value", "lowest", "highest", "seeds", "who", "how", "config"])
    for described in cards:
        for m in described.measured:
            spread = (min(m.seeds.values()), max(m.seeds.values()), len(m.seeds))
            row = (described.name, described.task, m.dataset, m.split, m.name, m.value, *spread, "eventzoo", m.protocol, described.config)
            writer.writerow(row)
        for r in described.reported:
            row = (described.name, described.task, r.dataset, "", r.name, r.value, "", "", "", "publication", r.source, described.config)
            writer.writerow(row)
    return file.getvalue()


def _size(described: ModelCard) -> tuple[int, int]:
    """Numbers in a card's installed weights, and bytes of their file, by the header of the safetensors format."""
    weights = (described.folder / "model.safetensors").read_bytes()
    header = json.loads(weights[8 : 8 + struct.unpack("<Q", weights[:8])[0]])
    names = [name for name in header if not name.endswith(("running_mean", "running_var", "num_batches_tracked", "__metadata__"))]
    return sum(prod(header[name]["shape"]) for name in names), len(weights)


def own_cards() -> list[ModelCard]:
    """The cards of this repository, without those of plugins that happen to be installed."""
    return [read_card(path) for path in sorted((HERE.parent / "zoo").glob("*.yaml"))]


if __name__ == "__main__":
    (HERE / "zoo.md").write_text(page(own_cards()), encoding="utf-8")
    (HERE / "results.csv").write_text(results(own_cards()), encoding="utf-8")
