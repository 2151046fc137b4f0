"""Models on the Hugging Face Hub: fetched and pushed by huggingface_hub, as data alone.

A repository ORG/NAME holds what a model's folder holds: model.safetensors, config.json, README.md.
Nothing else is fetched and nothing of it is run. HF_ENDPOINT names another server, HF_HUB_OFFLINE=1
keeps to the local cache; both are huggingface_hub's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from geoflow.models.checkpoint import CheckpointError

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
# What a repository is made of; the weights come last, so that a folder with them is whole.
_FILES = ("README.md", "config.json", "model.safetensors")


def is_repository(name: str | Path) -> bool:
    """Whether a name can be a repository's; what begins with a folder that is here is a path."""
    return bool(_REPOSITORY.fullmatch(str(name))) and not Path(name).parent.exists()


def fetch(repository: str) -> Path:
    """Folder of a repository's model in the local cache, brought up to date if there is a network.

    Raises:
        CheckpointError: without huggingface_hub, or if the model is neither there nor in the cache.
    """
    hub = _library(f"no model {repository!r} here, and to look on the Hub")
    with _one_line(f"the Hub's model {repository}"):
        path = hub.hf_hub_download(repository, _FILES[-1])
        for name in _FILES[:-1]:
            try:
                hub.hf_hub_download(repository, name)
            except hub.errors.EntryNotFoundError:
                # Both are for people: the weights hold a card of their own.
                continue
    return Path(path).parent


def push(folder: Path, repository: str, *, private: bool, message: str) -> str:
    """Upload a model's folder, to a new repository if there is none; the address of the commit.

    Raises:
        ValueError: for a name that is not ORG/NAME.
        CheckpointError: without huggingface_hub, or if the Hub refuses.
    """
    if not _REPOSITORY.fullmatch(repository):
        raise ValueError(f"a repository is named ORG/NAME, got {repository!r}")
    hub = _library("to push a model")
    with _one_line(f"pushing {repository}"):
        api = hub.HfApi(library_name="geoflow")
        api.create_repo(repository, private=private, exist_ok=True)
        made = api.upload_folder(
            repo_id=repository,
            folder_path=folder,
            commit_message=message,
            allow_patterns=list(_FILES),
        )
    return str(made.commit_url)


def readme(repository: str, kind: str) -> str:
    """The page of a repository, with the tags by which the Hub sorts."""
    return (
        f"---\nlibrary_name: geoflow\ntags: [3d, flow-map, {kind}]\n---\n\n"
        f"# {repository}\n\nA model of geoflow, of kind `{kind}`; config.json has its data and "
        "training.\n\n```python\nimport geoflow\n\n"
        f'model = geoflow.load("{repository}")\n```\n'
    )


def _library(purpose: str) -> ModuleType:
    try:
        import huggingface_hub
        import huggingface_hub.errors
    except ImportError as error:
        raise CheckpointError(
            f"{purpose}, huggingface_hub is needed: pip install 'geoflow[hub]'"
        ) from error
    return huggingface_hub


@contextmanager
def _one_line(what: str) -> Iterator[None]:
    """Errors of the Hub and of the network as one line that names what was asked for.

    Raises:
        CheckpointError: in their place.
    """
    import huggingface_hub.errors as errors

    try:
        yield
    except errors.LocalEntryNotFoundError as error:
        raise CheckpointError(
            f"{what}: not in the local cache, and the Hub cannot be reached: check the network, "
            "HF_ENDPOINT and HF_HUB_OFFLINE"
        ) from error
    except (errors.HfHubHTTPError, errors.HFValidationError, OSError) as error:
        said = " ".join(str(error).split())
        raise CheckpointError(f"{what}: {type(error).__name__}: {said[:300]}") from error
