"""What every model is: networks, a configuration and a card, in one file with one reader.

A model's file is model.safetensors: its tensors by `module.parameter`, and a card that holds the
kind (a key of KINDS), the configuration, and what is told of data and training. config.json beside
it is the card for people.
"""

from __future__ import annotations

import re
import tempfile
from abc import ABC, abstractmethod
from dataclasses import dataclass
from importlib import resources
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from geoflow.atomic import reading, write_json, write_text
from geoflow.condition import choices
from geoflow.models import format1, hub
from geoflow.models.blueprint import blueprint, check_fits
from geoflow.models.checkpoint import (
    CheckpointError,
    in_int8,
    load_card,
    load_shapes,
    load_tensors,
    load_weights,
    save_checkpoint,
    with_prefix,
    without_prefix,
)
from geoflow.models.config import from_json, to_json
from geoflow.models.finite import finite

WEIGHTS = "model.safetensors"
M = TypeVar("M", bound="Model")


class Model(ABC):
    """Networks that were trained, or wait to be."""

    kind: ClassVar[str]
    """Key of KINDS."""
    config_type: ClassVar[type]
    """Dataclass of the configuration."""
    half: ClassVar[bool] = False
    """Whether network weights are stored in float16; computation is float32 in any case."""
    float8: ClassVar[str] = "$^"
    """Pattern of the names of those that are stored in float8 (e4m3) instead."""
    int8: ClassVar[str] = "$^"
    """Pattern of the names of those that are stored in int8, with a scale for each row."""
    config: Any
    card: dict[str, Any]

    @classmethod
    @abstractmethod
    def build(cls: type[M], config: Any) -> M:
        """Networks with fresh weights.

        Raises:
            ValueError: for a configuration that no network has.
        """

    @abstractmethod
    def modules(self) -> dict[str, nn.Module]:
        """All networks by the prefix of their tensors; `scale` is stored in full precision."""

    @property
    def categories(self) -> tuple[str, ...]:
        """Names that a sample can be asked for; empty where there is no such choice."""
        return ()

    def completed(self: M) -> M:
        """Itself, with fresh weights for networks that its file leaves out."""
        return self

    def starting(self: M, config: Any) -> M:
        """This model as the start of a run of a configuration; a kind says what may differ."""
        return self

    @classmethod
    def from_pretrained(cls: type[M], name_or_folder: str | Path, *, device: str = "cpu") -> M:
        """A shipped model, a folder of a model or a run, or a Hub repository ORG/NAME.

        Raises:
            CheckpointError: if there is no such model, it is of another kind, or its file is
                damaged; what its card asks for is compared with its header before any of it is
                allocated.
        """
        found = describe(name_or_folder)
        if found.kind != cls.kind:
            raise CheckpointError(
                f"{name_or_folder} is a model of kind {found.kind!r}, "
                f"{cls.__name__} needs {cls.kind!r}"
            )
        config = found.config(cls.config_type)
        with reading(found.path, CheckpointError):
            there = format1.tensors(load_shapes(found.path), found.kind, found.format)
            check_fits(there, blueprint(cls.build, config))
        written = load_tensors(found.path)
        with reading(found.path, CheckpointError):
            tensors = format1.tensors(written, found.kind, found.format)
            model = cls.build(config)
            for prefix, module in model.modules().items():
                load_weights(module, without_prefix(prefix, tensors), source=str(found.path))
        model.card = found.card
        return model.to(device)

    def save_pretrained(self, folder: str | Path, *, half: bool | None = None) -> None:
        """Write weights, with configuration and card inside, and a readable card.

        Args:
            folder: created if missing.
            half: store network weights in float16; default: as models of this kind are.

        Raises:
            FloatingPointError: for weights that are not finite; nothing is written.
        """
        halved = self.half if half is None else half
        whole: dict[str, Tensor] = {}
        for prefix, module in self.modules().items():
            whole |= with_prefix(prefix, module.state_dict())
        tensors: dict[str, Tensor] = {}
        for name, tensor in whole.items():
            in_half = halved and not name.startswith("scale.")
            tensors |= self._stored(name, tensor) if in_half else {name: tensor}
            finite(tensor.float(), f"weights ({name})")
        card = {"kind": self.kind, "model": to_json(self.config), "card": self.card}
        save_checkpoint(Path(folder) / WEIGHTS, tensors, card)
        write_json(Path(folder) / "config.json", card)

    def _stored(self, name: str, tensor: Tensor) -> dict[str, Tensor]:
        """A weight in few bits, by its name in the file."""
        if re.fullmatch(self.int8, name):
            return in_int8(name, tensor)
        # Larger numbers would silently become the largest of float8.
        fits = bool((tensor.abs() <= torch.finfo(torch.float8_e4m3fn).max).all())
        small = fits and re.fullmatch(self.float8, name) is not None
        stored = tensor.to(torch.float8_e4m3fn if small else torch.float16)
        finite(stored.float(), f"weights ({name})")
        return {name: stored}

    def push_to_hub(
        self, repository: str, *, private: bool = False, message: str = "Model of geoflow"
    ) -> str:
        """Upload what `save_pretrained` writes to ORG/NAME; the address of the commit.

        Args:
            repository: made if there is none.
            private: whether a new one is.
            message: of the commit.

        Raises:
            ValueError: for another name than ORG/NAME.
            CheckpointError: without huggingface_hub, or if the Hub refuses.
            FloatingPointError: for weights that are not finite; nothing is sent.
        """
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder)
            write_text(Path(folder) / "README.md", hub.readme(repository, self.kind))
            return hub.push(Path(folder), repository, private=private, message=message)

    def to(self: M, device: str) -> M:
        """Move all networks, ready to sample; returns itself."""
        for module in self.modules().values():
            module.to(device).eval()
        return self

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        modules = self.modules().values()
        tensors = (chain(module.parameters(), module.buffers()) for module in modules)
        return next(chain.from_iterable(tensors)).device


@dataclass(frozen=True)
class ModelFile:
    """A file of weights and what it is, known without reading the weights."""

    path: Path
    kind: str
    """Key of KINDS."""
    model: dict[str, Any]
    """The configuration as it was written."""
    card: dict[str, Any]
    format: int

    @property
    def categories(self) -> tuple[str, ...]:
        """Names that a sample can be asked for; empty where there is no such choice."""
        return tuple(self.model.get("categories", ()))

    @property
    def choices(self) -> tuple[str, ...]:
        """What a sample can be asked to be, the default first: any thing, too, where it may be."""
        network = self.model.get("transformer")
        guided = isinstance(network, dict) and bool(network.get("guided"))
        return choices(self.categories, guided=guided)

    @property
    def has_samples(self) -> bool:
        """Whether something is made of noise with it: some encode and decode alone."""
        return bool(self.model.get("generates", True))

    def config(self, config_type: type) -> Any:
        """The configuration.

        Raises:
            CheckpointError: if it is not one of that type.
        """
        try:
            return from_json(config_type, self.model)
        except ValueError as error:
            raise CheckpointError(f"{self.path} has no usable card: {error}") from error


def shipped() -> dict[str, ModelFile]:
    """The models inside the package, by name."""
    root = Path(str(resources.files("geoflow") / "shipped"))
    found = {folder.name: _model_file(folder) for folder in sorted(root.iterdir())}
    return {name: model for name, model in found.items() if model is not None}


def describe(name_or_folder: str | Path) -> ModelFile:
    """What a shipped model is, a folder of a model or a run, or a repository of the Hub.

    Reads no weights; what the Hub has is fetched into the local cache, where it is not up to date.

    Raises:
        CheckpointError: if there is no such model, or its file is damaged.
    """
    inside = shipped()
    if str(name_or_folder) in inside:
        return inside[str(name_or_folder)]
    folder = Path(name_or_folder)
    found = _model_file(folder) or _model_file(folder / "model")
    if found is None and hub.is_repository(name_or_folder):
        found = _model_file(hub.fetch(str(name_or_folder)))
    if found is None:
        raise CheckpointError(
            f"no model {str(name_or_folder)!r}: expected a folder with {WEIGHTS}, "
            f"one of the shipped models: {', '.join(inside) or 'none'}; or ORG/NAME on the Hub"
        )
    return found


def _model_file(folder: Path) -> ModelFile | None:
    for name in (WEIGHTS, *format1.WEIGHTS):
        path = folder / name
        if not path.is_file():
            continue
        number, card = load_card(path)
        try:
            card = format1.card(name, card) if number == 1 else card
            found = ModelFile(path, card["kind"], card["model"], card.get("card", {}), number)
            _check_card(found)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(f"{path} has no usable card: {error!r}") from error
        return found
    return None


def _check_card(found: ModelFile) -> None:
    """Raise TypeError where a card's parts are not what all cards have."""
    if not isinstance(found.kind, str):
        raise TypeError(f"kind is {found.kind!r}, expected a word")
    if not isinstance(found.model, dict) or not isinstance(found.card, dict):
        raise TypeError("model and card are no mappings")
    names = found.model.get("categories", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"categories are {names!r}, expected words")
