"""The Hugging Face Hub."""

from pathlib import Path


def fetch(repo_id: str, revision: str) -> Path:
    """The folder of a model's repository on this computer, fetched if it is not there yet."""
    raise NotImplementedError(repo_id, revision)
