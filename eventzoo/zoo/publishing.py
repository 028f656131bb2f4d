"""Models as others get them: a folder with a page about it, and the same on the Hugging Face Hub."""

import re
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from eventzoo import __version__
from eventzoo.errors import EventZooError
from eventzoo.model import CONFIG, WEIGHTS, EventModel, new_folder
from eventzoo.zoo.cards import read_card
from eventzoo.zoo.hub import fetched
from eventzoo.zoo.loading import SavedModel, check_sha256, locate
from eventzoo.zoo.page import PAGE, checksums, page


def export(name: str, folder: str | Path, half: bool = False, card: str | Path | None = None) -> Path:
    """Write a model to a new folder, whole or not at all: `config.json`, `model.safetensors`, and `README.md`, the page that the Hub shows.

    Args:
        name: The model, as `eventzoo.load` takes it.
        folder: The new folder.
        half: Store weights in half the space, see `EventModel.save`. Else the two files are copied byte for byte.
        card: A model card with what is known of the model. One of the zoo has its own. Where there is none, the page says so.

    Raises:
        EventZooError: There is no such model or card, the card is another model's, or the folder is not empty.
    """
    folder = Path(folder)
    source, model = _source(name, card)
    _write(folder, source, model, half, source.card.name if source.card else folder.absolute().name, "local-dir:FOLDER")
    return folder


def push(
    name: str,
    repo_id: str,
    revision: str = "main",
    private: bool = False,
    message: str | None = None,
    card: str | Path | None = None,
    half: bool = False,
) -> dict[str, Any]:
    """Publish a model on the Hugging Face Hub, as `export` writes it, in one commit.

    Args:
        name: The model, as `eventzoo.load` takes it.
        repo_id: `organisation/name`, which is made if it is not there.
        revision: The branch, which is made if it is not there.
        private: Whether nobody else shall see the repository.
        message: The commit's message.
        card: As `export` takes it.
        half: As `export` takes it.

    Returns:
        The entry `weights` of a card for what is published, as far as it is known: `hub`, `sha256`, `seed`, `command`, `licence`,
        `data`.

    Raises:
        EventZooError: As `export`; or there is no login, no right to write, no network, or the Hub refuses. No file is published then.
    """
    from huggingface_hub import get_token

    if not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", repo_id):
        raise EventZooError(f"{repo_id!r} is no repository of the Hugging Face Hub: write ORGANISATION/NAME")
    if get_token() is None:
        raise EventZooError("publishing needs a token of the Hugging Face Hub that may write: log in with `hf auth login`, or set HF_TOKEN")
    source, model = _source(name, card)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "model")
        _write(folder, source, model, half, repo_id.rpartition("/")[2], f"hf-hub:{repo_id}")
        commit = _upload(folder, repo_id, revision, private, message or f"Upload by eventzoo {__version__}")
        weights = source.card.weights if source.card else None
        known: dict[str, Any] = {"seed": weights.seed, "command": weights.command, "licence": weights.licence} if weights else {}
        if weights and weights.data:
            known["data"] = weights.data
        return {**known, "sha256": checksums(folder), "hub": {"repo_id": repo_id, "revision": commit}}


def _upload(folder: Path, repo_id: str, revision: str, private: bool, message: str) -> str:
    """Commit a folder's files, and return the commit."""
    from huggingface_hub import CommitOperationAdd, HfApi, constants
    from huggingface_hub.errors import HfHubHTTPError

    api = HfApi(library_name="eventzoo", library_version=__version__)
    files = [CommitOperationAdd(file.name, str(file)) for file in sorted(folder.iterdir())]
    try:
        api.create_repo(repo_id, private=private or None, exist_ok=True)
        if private and not api.model_info(repo_id).private:
            raise EventZooError(f"{repo_id} is there already, and public; make it private on {constants.ENDPOINT}/{repo_id}/settings")
        if revision != "main":
            api.create_branch(repo_id, branch=revision, exist_ok=True)
        return api.create_commit(repo_id, files, commit_message=message, revision=revision).oid  # upload_folder may take several
    except EventZooError:
        raise
    except Exception as error:  # the client lets through what httpx and xet raise, which have no names of its own
        refused = next((reason for reason in (error, error.__cause__) if isinstance(reason, HfHubHTTPError)), None)
        if refused is None:
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
            raise EventZooError(f"{repo_id} cannot be published on {constants.ENDPOINT}: {reason}") from error
        status = refused.response.status_code
        said = f" ({refused.server_message})" if refused.server_message else ""
        advice = "; log in with `hf auth login`, with a token that may write there" if status in (401, 403) else ""
        raise EventZooError(f"{constants.ENDPOINT} refuses to publish {repo_id}, with status {status}{said}{advice}") from error


def _source(name: str, card: str | Path | None) -> tuple[SavedModel, EventModel]:
    """A saved model with what is known of it, and the model itself."""
    source = locate(name)
    if card is not None and source.card is not None:
        raise EventZooError(f"{name} has its card in the zoo; leave out {card}")
    with fetched(source.repo_id):
        model = EventModel.from_folder(source.folder)
    if card is not None:
        source = replace(source, card=read_card(Path(card)))
    if source.card is not None and source.card.task != model.head.task:
        raise EventZooError(f"{source.card.path} is the card of a model for {source.card.task}, but {name} is one for {model.head.task}")
    if source.card is not None and source.card.weights is not None:
        for file, checksum in source.card.weights.sha256.items():
            check_sha256(source.folder / file, checksum, str(source.card.path))
    return source, model


def _write(folder: Path, source: SavedModel, model: EventModel, half: bool, title: str, place: str) -> None:
    with new_folder(folder) as scratch:
        if half:
            model.save(scratch, half=True)
        else:
            for file in (CONFIG, WEIGHTS):
                shutil.copyfile(source.folder / file, scratch / file)
        (scratch / PAGE).write_text(page(scratch, title, place, source.card, half), encoding="utf-8")
