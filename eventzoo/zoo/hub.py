"""The Hugging Face Hub: a saved model's two files, fetched once into the cache of Hugging Face's own client.

Endpoint, cache, token and offline mode are the client's, by its environment variables: HF_ENDPOINT, HF_HOME, HF_TOKEN, HF_HUB_OFFLINE.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from eventzoo import __version__
from eventzoo.errors import EventZooError


def fetch(repo_id: str, revision: str = "") -> Path:
    """The folder on this computer with a repository's `config.json` and `model.safetensors`, fetched if they are not there yet.

    Both are of the same commit. A commit that is there needs no network. The commit of a branch or tag is asked for; without network, it
    is the one that was last seen.

    Args:
        repo_id: `organisation/name`.
        revision: A branch, a tag, or a full commit; `main` if empty.

    Raises:
        EventZooError: There is no such repository, revision or file, or no right to it; it cannot be reached and is not there; or it
            did not arrive whole.
    """
    folder = _file("config.json", repo_id, revision or "main").parent
    _file("model.safetensors", repo_id, folder.name)  # a folder's name is its commit
    return folder


@contextmanager
def fetched(repo_id: str | None) -> Iterator[None]:
    """An error about the files of this repository, if it is one, tells how to be rid of them."""
    try:
        yield
    except EventZooError as error:
        if repo_id is None:
            raise
        cure = f"if they are damaged, `hf cache rm model/{repo_id}` removes them, and the next load fetches them anew"
        raise EventZooError(f"{str(error).rstrip('.')}. The files are those of hf-hub:{repo_id}; {cure}") from error


def _file(name: str, repo_id: str, revision: str) -> Path:
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache

    ours = {"library_name": "eventzoo", "library_version": __version__}
    try:
        if not isinstance(try_to_load_from_cache(repo_id, name, revision=revision), str):
            # what hf_hub_download asks for too, but for half a minute where there is no network
            get_hf_file_metadata(hf_hub_url(repo_id, name, revision=revision), **ours)  # type: ignore[arg-type]  # none of them is a float
        return Path(hf_hub_download(repo_id, name, revision=revision, **ours))  # type: ignore[call-overload]
    except Exception as error:  # the client lets through what httpx and xet raise, which have no names of its own
        raise EventZooError(_reason(error, name, repo_id, revision)) from error


def _reason(error: Exception, name: str, repo_id: str, revision: str) -> str:
    """What is wrong when a file cannot be had, and what to do."""
    from huggingface_hub import constants, errors

    what = f"hf-hub:{repo_id}@{revision}"
    match error:
        case errors.HFValidationError():
            return (
                f"{repo_id!r} is no repository of the Hugging Face Hub: write hf-hub:ORGANISATION/NAME or hf-hub:ORGANISATION/NAME@REVISION"
            )
        case errors.GatedRepoError():
            page = f"{constants.ENDPOINT}/{repo_id}"
            return f"{what} is only for those who asked for access, at {page}; log in with `hf auth login` when it was granted"
        case errors.RepositoryNotFoundError():
            return (
                f"{constants.ENDPOINT} has no model repository {repo_id}, or it is private: check the name; for a private one, log in "
                "with `hf auth login`"
            )
        case errors.RevisionNotFoundError():
            return f"{repo_id} has no branch, tag or commit {revision!r}; see {constants.ENDPOINT}/{repo_id}/commits/main"
        case errors.RemoteEntryNotFoundError():
            return f"{what} has no {name}: it is not a model that eventzoo saved"
        case errors.OfflineModeIsEnabled() | errors.LocalEntryNotFoundError() if constants.HF_HUB_OFFLINE:
            return (
                f"{name} of {what} is not in {constants.HF_HUB_CACHE}, and HF_HUB_OFFLINE forbids to fetch it; unset that, or name a "
                "model that is here"
            )
        case errors.HfHubHTTPError() if error.response.status_code in (401, 403):
            return f"{constants.ENDPOINT} refuses {what}: check the name, and log in with `hf auth login`, with a token that may read it"
        case errors.HfHubHTTPError():
            answer = f"{constants.ENDPOINT} answered {error.response.status_code} when asked for {name} of {what}"
            return f"{answer}; try again later, or look at HF_ENDPOINT"
        case OSError(errno=int()):
            return f"{name} of {what} cannot be kept in {constants.HF_HUB_CACHE}: {error.strerror}; HF_HOME names another place"
        case OSError() if "Consistency check failed" in str(error):
            return f"{name} of {what} did not arrive whole: {str(error).splitlines()[0]} Load it again"
    reason = f"{type(error).__name__}: {str(error).rstrip('.')}"
    return (
        f"{name} of {what} cannot be fetched from {constants.ENDPOINT}, and is not in {constants.HF_HUB_CACHE}: {reason}. Check the "
        "network and HF_ENDPOINT; what is installed or was fetched before loads without"
    )
