"""What every trained generator is: a flow map of latent tokens, and networks that decode them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from geoflow.atomic import write_text
from geoflow.backbones import TokenTransformer
from geoflow.backbones.latent_scale import LatentScale
from geoflow.condition import Condition
from geoflow.flow_map import FlowMap
from geoflow.models.checkpoint import (
    CheckpointError,
    load_card,
    load_checkpoint,
    load_weights,
    save_checkpoint,
    with_prefix,
    without_prefix,
)
from geoflow.models.config import ModelConfig, Representation, from_json, to_json
from geoflow.samplers import sample_flow_map, sample_ode
from geoflow.seeds import step_generator
from geoflow.symmetry import upright_frame

WEIGHTS = "model.safetensors"
A = TypeVar("A", bound=torch.nn.Module)
G = TypeVar("G", bound="LatentGenerator[Any]")


def shipped_models(representation: Representation | None = None) -> dict[str, Path]:
    """Folders of the models inside the package by name; of all kinds, or of one."""
    root = Path(str(resources.files("geoflow") / "shipped"))
    found = {path.parent.name: path.parent for path in sorted(root.glob(f"*/{WEIGHTS}"))}
    if representation is None:
        return found
    return {
        name: folder
        for name, folder in found.items()
        if read_config(folder / WEIGHTS).representation == representation
    }


def find_model(name_or_folder: str | Path) -> Path:
    """File of weights of a shipped model, or of a folder that a model or a run wrote.

    Raises:
        CheckpointError: if there is none.
    """
    shipped = shipped_models()
    folder = shipped.get(str(name_or_folder), Path(name_or_folder))
    for path in (folder / WEIGHTS, folder / "model" / WEIGHTS):
        if path.is_file():
            return path
    raise CheckpointError(
        f"no model {str(name_or_folder)!r}: expected a folder with {WEIGHTS}, "
        f"or one of the shipped models: {', '.join(shipped) or 'none'}"
    )


@dataclass
class LatentGenerator(Generic[A]):
    """Networks, their configuration, and the data card that travels with them."""

    autoencoder: A
    flow_map: FlowMap
    scale: LatentScale
    config: ModelConfig
    card: dict[str, Any] = field(default_factory=dict)
    representation: ClassVar[Representation]

    @classmethod
    def build(cls: type[G], config: ModelConfig) -> G:
        """Networks with fresh weights."""
        size = config.autoencoder
        return cls(
            cls.build_autoencoder(config),
            FlowMap(TokenTransformer(config.transformer), config.interpolant, config.prediction),
            LatentScale(size.num_tokens, size.scalars, size.vectors, size.frame_size),
            config,
        )

    @staticmethod
    def build_autoencoder(config: ModelConfig) -> A:
        """The autoencoder of this representation, with fresh weights."""
        raise NotImplementedError

    @classmethod
    def from_pretrained(cls: type[G], name_or_folder: str | Path, *, device: str = "cpu") -> G:
        """A shipped model by name, or any folder that `save_pretrained` or a run wrote.

        Raises:
            CheckpointError: if there is no such model, it is of another representation, or its
                files are damaged.
        """
        path = find_model(name_or_folder)
        tensors, card = load_checkpoint(path)
        config = _config(path, card)
        if config.representation != cls.representation:
            raise CheckpointError(
                f"{name_or_folder} is a model of representation {config.representation!r}, "
                f"{cls.__name__} needs {cls.representation!r}"
            )
        generator = cls.build(config)
        generator.card = card.get("card", {})
        for prefix, module in generator._modules().items():
            load_weights(module, without_prefix(prefix, tensors), source=str(path))
        return generator.to(device)

    def save_pretrained(self, folder: str | Path, *, half: bool = True) -> None:
        """Write weights, with configuration and card inside, and a readable card.

        Args:
            folder: created if missing.
            half: store network weights in float16; computation stays float32.
        """
        folder = Path(folder)
        tensors: dict[str, Tensor] = {}
        for prefix, module in self._modules().items():
            kept = {
                name: value.half() if half and prefix != "scale" else value
                for name, value in module.state_dict().items()
            }
            tensors |= with_prefix(prefix, kept)
        card = {"model": to_json(self.config), "card": self.card}
        save_checkpoint(folder / WEIGHTS, tensors, card)
        write_text(folder / "config.json", json.dumps(card, indent=2) + "\n")

    def to(self: G, device: str) -> G:
        """Move all networks; returns itself."""
        for module in self._modules().values():
            module.to(device).eval()
        return self

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.autoencoder.parameters()).device

    def noise(self, num: int, *, seed: int = 0, first: int = 0) -> Float[Tensor, "b k c"]:
        """Unit noise of samples first..first+num-1; sample i is the same in any batch."""
        shape = (self.config.autoencoder.num_tokens, self.config.autoencoder.channels)
        return torch.stack(
            [
                torch.randn(shape, generator=step_generator(seed, "sample", first + i))
                for i in range(num)
            ]
        ).to(self.device)

    def sample_latents(
        self,
        noise: Float[Tensor, "b k c"],
        *,
        steps: int = 2,
        category: str | None = None,
        frame: Float[Tensor, "b m 3"] | None = None,
        ode: bool = False,
    ) -> Float[Tensor, "b k c"]:
        """Latent tokens from noise, in `steps` network evaluations.

        Args:
            noise: unit Gaussian.
            steps: applications of the flow map, or Euler steps of the ODE.
            category: a name of `config.categories`; default: the first.
            frame: where the samples stand; default: upright.
            ode: follow the ODE of the diagonal, as the many-step reference.

        Raises:
            ValueError: for an unknown category or steps < 1.
        """
        way = self.trajectory(noise, steps=steps, category=category, frame=frame, ode=ode)
        *_, last = way
        return last

    @torch.no_grad()
    def trajectory(
        self,
        noise: Float[Tensor, "b k c"],
        *,
        steps: int = 2,
        category: str | None = None,
        frame: Float[Tensor, "b m 3"] | None = None,
        ode: bool = False,
        times: Float[Tensor, " n"] | None = None,
    ) -> Iterator[Float[Tensor, "b k c"]]:
        """As `sample_latents`, the tokens at every time of the sampler's grid, noise first.

        Args:
            noise: unit Gaussian.
            steps: equal intervals of the grid; ignored where `times` is given.
            category: a name of `config.categories`; default: the first.
            frame: where the samples stand; default: upright.
            ode: follow the ODE of the diagonal.
            times: grid that rises to 1.

        Raises:
            ValueError: for an unknown category, steps < 1, or a grid that does not rise to 1.
        """
        condition = Condition(self.frame_for(len(noise), frame), self._category(category, noise))
        sampler = sample_ode if ode else sample_flow_map
        states = sampler(self.flow_map, noise, steps=steps, cond=condition, times=times)
        for state in states:
            yield self.scale.denormalise(state, condition.frame)

    def frame_for(
        self, num: int, frame: Float[Tensor, "b m 3"] | None = None
    ) -> Float[Tensor, "b m 3"] | None:
        """The given frame, or the upright one of this model's symmetry."""
        chosen = upright_frame(self.config.symmetry, num) if frame is None else frame
        return None if chosen is None else chosen.to(self.device)

    def _category(self, name: str | None, like: Tensor) -> Tensor:
        names = self.config.categories
        if name is not None and name not in names:
            raise ValueError(f"category must be one of {', '.join(names)}, got {name!r}")
        index = 0 if name is None else names.index(name)
        return torch.full((len(like),), index, dtype=torch.long, device=like.device)

    def _modules(self) -> dict[str, torch.nn.Module]:
        return {"autoencoder": self.autoencoder, "flow": self.flow_map, "scale": self.scale}


def read_config(path: Path) -> ModelConfig:
    """The configuration of a file of weights.

    Raises:
        CheckpointError: if the file is missing or damaged, or its card cannot be used.
    """
    return _config(path, load_card(path))


def _config(path: Path, card: dict[str, Any]) -> ModelConfig:
    try:
        return from_json(ModelConfig, card["model"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} has no usable card: {error}") from error
