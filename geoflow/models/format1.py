"""Models that versions before 0.2 wrote: three names of files, names of tensors that have changed.

Only what this module reads of them is left of that format; nothing writes it.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from geoflow.backbones.renamed import rename
from geoflow.models.checkpoint import with_prefix, without_prefix

WEIGHTS = {"points.safetensors": "distribution", "rig.safetensors": "joints"}
"""Kinds by the file of weights; model.safetensors said itself what it was."""
_BACKBONES = {
    "sdf": {"flow.backbone": "token-transformer"},
    "points": {
        "flow.backbone": "token-transformer",
        "autoencoder.flow.backbone": "point-decoder",
    },
    "distribution": {"flow.backbone": "mlp"},
    "joints": {"flow.backbone": "joint-transformer"},
}
"""Where the networks of a kind stand, and which they are."""


def card(name: str, written: dict[str, Any]) -> dict[str, Any]:
    """The card of a file of that name, as it is written now.

    Raises:
        KeyError: if it has no configuration.
    """
    model = dict(written["model"])
    kind = WEIGHTS.get(name) or model.pop("representation", "sdf")
    if kind == "sdf":
        model.pop("points", None)
    if kind == "distribution":
        model["grid_power"] = 1.0
    return {"kind": kind, "model": model, "card": written.get("card", {})}


def tensors(written: dict[str, Tensor], kind: str, number: int) -> dict[str, Tensor]:
    """Tensors by today's names; those of later formats as they are."""
    if number > 1:
        return written
    if kind == "joints":
        written = {f"flow.{name}": value for name, value in written.items()}
    moved = {
        name.replace("autoencoder.law.", "autoencoder.flow.", 1): value
        for name, value in written.items()
    }
    for prefix, backbone in _BACKBONES[kind].items():
        inside = without_prefix(prefix, moved)
        if any(name.startswith("backbone.") for name in inside):
            # A preconditioned network stands one deeper.
            prefix, inside = f"{prefix}.backbone", without_prefix("backbone", inside)
        others = {name: value for name, value in moved.items() if not name.startswith(f"{prefix}.")}
        moved = others | with_prefix(prefix, rename(inside, backbone))
    return moved
