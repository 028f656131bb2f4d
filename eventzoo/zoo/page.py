"""The page of a published model: what the Hugging Face Hub indexes, as YAML, then Markdown for people."""

import hashlib
import json
from pathlib import Path

import yaml
from huggingface_hub import EvalResult, ModelCardData

from eventzoo.model import CONFIG, WEIGHTS
from eventzoo.zoo.cards import ModelCard

PAGE = "README.md"
_PIPELINES = {"classification": "video-classification", "detection": "object-detection"}  # the Hub's words that come closest


def page(folder: Path, title: str, place: str, card: ModelCard | None, half: bool) -> str:
    """The page of the model in a folder.

    Args:
        folder: What `EventModel.save` wrote.
        title: The model's name.
        place: Where it is loaded from, as `eventzoo.load` takes it.
        card: What is known of it; None if nothing is.
        half: Whether its weights were rounded to float16 after they were measured.
    """
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    backbone, representation = (config[part]["class_path"].rpartition(".")[2] for part in ("backbone", "representation"))
    described = {key: config[key] for key in ("task", "classes", "sensor_size", "representation", "transforms", "backbone", "head")}
    network = yaml.safe_dump(described, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)
    files = "\n".join(f"| `{file}` | `{checksum}` |" for file, checksum in checksums(folder).items())
    sections = [
        f"---\n{_front_matter(title, config['task'], backbone, card, half)}---",
        f"# {title}",
        card.summary if card else f"{backbone} on {representation}, for {config['task']} in recordings of event cameras.",
        f"Paper: {card.paper}" if card else "",
        "## Use",
        f"```bash\npip install {' '.join(['eventzoo', *config.get('packages', {})])}\n```",
        f"```python\n{_usage(place, config['sensor_size'])}```",
        *_training(card),
        *_numbers(card, half),
        "## Network",
        f"```yaml\n{network}```",
        "## Files",
        f"| file | SHA-256 |\n|---|---|\n{files}",
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def checksums(folder: Path) -> dict[str, str]:
    """The SHA-256 of a saved model's two files, as a card has them."""
    return {file: hashlib.sha256((folder / file).read_bytes()).hexdigest() for file in (CONFIG, WEIGHTS)}


def _usage(place: str, sensor_size: list[int]) -> str:
    width, height = sensor_size
    return f"""import eventzoo

model = eventzoo.load("{place}")
events = eventzoo.read("recording.bin", sensor_size=({width}, {height}))
print(model.predict(events))

stream = model.asynchronous()  # the same answers while the events come
for first in range(0, len(events), 100):
    print(stream.push(events[first : first + 100]))
"""


def _front_matter(title: str, task: str, backbone: str, card: ModelCard | None, half: bool) -> str:
    """What the Hub indexes. Results are listed where these very weights were measured."""
    results = [
        EvalResult(
            task_type=_PIPELINES[task],
            dataset_type=measured.dataset,
            dataset_name=measured.dataset,
            dataset_split=measured.split,
            metric_type=measured.name,
            metric_value=measured.value,
        )
        for measured in (card.measured if card and not half else ())
    ]
    data = ModelCardData(
        library_name="eventzoo",
        license=card.weights.licence.lower() if card and card.weights else None,
        tags=["event-camera", "neuromorphic", task, backbone],
        datasets=[card.dataset] if card else None,
        metrics=sorted({measured.name for measured in card.measured}) if card and card.measured else None,
        pipeline_tag=_PIPELINES[task],
        model_name=title if results else None,
        eval_results=results or None,
    )
    return data.to_yaml().strip() + "\n"


def _training(card: ModelCard | None) -> list[str]:
    if card is None:
        return []
    if card.weights is None:
        return ["## Training", f"On {card.dataset}, by `{card.config}`."]
    trained = [f"On {card.dataset}, with seed {card.weights.seed}:", f"```bash\n{card.weights.command}\n```"]
    return ["## Training", *trained, f"Licence of the weights: {card.weights.licence}."]


def _numbers(card: ModelCard | None, half: bool) -> list[str]:
    """What was measured, and apart from it what publications report of the same network."""
    measured = []
    for number in card.measured if card else ():
        seeds = ", ".join(f"{value:g} (seed {seed})" for seed, value in number.seeds.items())
        measured.append(f"- {number.name} **{number.value:g}** on {number.dataset}, split {number.split}: {number.protocol}")
        measured.append(f"  Trainings by the same command: {seeds}")
    reported = [f"- {number.name} {number.value:g} on {number.dataset} ({number.source})" for number in (card.reported if card else ())]
    when = "Before the weights were rounded to half precision:" if half else "With these weights:"
    return [
        "## Measured",
        *([when, "\n".join(measured)] if measured else ["Nothing was measured with these weights."]),
        *(["## Reported by publications", "Not with these weights:", "\n".join(reported)] if reported else []),
    ]
