"""Checkpoints: safetensors with a JSON card, written whole or not at all, no code inside."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from geoflow.atomic import DamagedError, draft_of, reading, write_bytes

FORMAT = 2
"""Of files that are written; format 1 is read by `geoflow.models.format1`."""
_LENGTH, _METADATA = 8, "__metadata__"
# Of a tensor in int8, beside it: what each row is to be multiplied by.
_SCALE, _MOST = ".row_scale", 127


class CheckpointError(DamagedError):
    """A checkpoint is missing, damaged or of another kind."""


def save_checkpoint(
    path: Path, tensors: dict[str, Tensor], card: dict[str, Any], *, keep_previous: bool = False
) -> None:
    """Write tensors and a JSON card as one file, atomically; folders are made.

    Equal content gives equal files.

    Args:
        path: of the file.
        tensors: by name.
        card: what JSON can hold.
        keep_previous: leave the file that was there as `previous(path)`.
    """
    header = {"format": str(FORMAT), "card": json.dumps(card)}
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    # Written by hand, since safetensors' own files cannot be read by other users.
    path.parent.mkdir(parents=True, exist_ok=True)
    if keep_previous and path.is_file():
        _keep(path)
    write_bytes(path, _in_order(save(contiguous, metadata=header)))


def previous(path: Path) -> Path:
    """Where the checkpoint before is kept."""
    return path.with_name(f"{path.stem}.before{path.suffix}")


def _keep(path: Path) -> None:
    draft = draft_of(previous(path))
    try:
        try:
            os.link(path, draft)
        except OSError:  # Not all file systems have two names for a file.
            shutil.copyfile(path, draft)
        draft.replace(previous(path))
    finally:
        draft.unlink(missing_ok=True)


def _in_order(content: bytes) -> bytes:
    """The file with a header in a fixed order; safetensors writes its metadata in any."""
    length = int.from_bytes(content[:_LENGTH], "little")
    header = json.loads(content[_LENGTH : _LENGTH + length])
    tensors = {name: header[name] for name in header if name != _METADATA}
    ordered = sorted(tensors, key=lambda name: (tensors[name]["data_offsets"], name))
    written = {_METADATA: dict(sorted(header[_METADATA].items()))}
    written |= {name: dict(sorted(tensors[name].items())) for name in ordered}
    text = json.dumps(written, separators=(",", ":")).encode()
    # The numbers begin at a multiple of eight bytes.
    text += b" " * (-len(text) % _LENGTH)
    return len(text).to_bytes(_LENGTH, "little") + text + content[_LENGTH + length :]


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_checkpoint` wrote.

    Raises:
        CheckpointError: if the file is missing, damaged, or of another format.
    """
    found, card = load_card(path)
    if found != FORMAT:
        raise CheckpointError(f"{path} has checkpoint format {found}, expected {FORMAT}")
    return load_tensors(path), card


def load_card(path: Path) -> tuple[int, dict[str, Any]]:
    """Format and JSON card of a checkpoint of any format, without its tensors.

    Raises:
        CheckpointError: if the file is missing or damaged, or a later version wrote it.
    """
    with _opened(path) as file:
        header = file.metadata() or {}
    if not {"format", "card"} <= set(header):
        raise CheckpointError(f"{path} is no checkpoint of geoflow: it has no card")
    with reading(path, CheckpointError):
        number, card = int(header["format"]), json.loads(header["card"])
    if not 1 <= number <= FORMAT or not isinstance(card, dict):
        raise CheckpointError(f"{path} has checkpoint format {number}, expected {FORMAT} or older")
    return number, card


def load_shapes(path: Path) -> dict[str, Tensor]:
    """All tensors of a checkpoint, without their numbers: they take no memory.

    Raises:
        CheckpointError: if the file is missing or damaged.
    """
    with _opened(path) as file:
        return {
            name: torch.zeros(file.get_slice(name).get_shape(), device="meta")
            for name in file.keys()  # noqa: SIM118
            if not name.endswith(_SCALE)
        }


def load_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a checkpoint, of any format; those in int8 in float32.

    Raises:
        CheckpointError: if the file is missing or damaged.
    """
    with _opened(path) as file:
        written = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    found = {name: tensor for name, tensor in written.items() if not name.endswith(_SCALE)}
    for name, scale in written.items():
        if name.endswith(_SCALE):
            rows = found.get(name.removesuffix(_SCALE))
            if rows is None or rows.ndim == 0 or scale.shape != rows.shape[:1]:
                raise CheckpointError(f"{path} is damaged: {name} fits no tensor")
            shape = (-1, *[1] * (rows.ndim - 1))
            found[name.removesuffix(_SCALE)] = rows.float() * scale.float().reshape(shape)
    return found


def in_int8(name: str, tensor: Tensor) -> dict[str, Tensor]:
    """A tensor in int8, and the scale of each row (its first index), as `load_tensors` reads them.

    Rounded so, a number moves by at most 1/254 of its row's largest; what was rounded once stays as
    it is.
    """
    largest = tensor.detach().flatten(1).abs().amax(1).float()
    # In bfloat16, whose seven bits times 127 are exact.
    scale = (largest / _MOST).bfloat16()
    per_row = torch.where(scale > 0, scale.float(), 1.0).reshape(-1, *[1] * (tensor.ndim - 1))
    whole = (tensor.detach() / per_row).round().clamp(-_MOST, _MOST)
    return {name: whole.to(torch.int8), name + _SCALE: scale}


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    if not path.is_file():
        raise CheckpointError(f"no checkpoint at {path}")
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} cannot be read as safetensors: {error}") from error


def with_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors renamed to `prefix.name`."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def without_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors named `prefix.name`, as `name`."""
    start = f"{prefix}."
    return {
        name.removeprefix(start): tensor
        for name, tensor in tensors.items()
        if name.startswith(start)
    }


def load_weights(module: nn.Module, tensors: dict[str, Tensor], *, source: str) -> None:
    """Load weights, exactly the module's own.

    Raises:
        CheckpointError: if names or shapes differ, or a weight is not finite.
    """
    # First, since not all that is defined of numbers is of those in eight bits.
    weights = {name: tensor.float() for name, tensor in tensors.items()}
    broken = [name for name, tensor in weights.items() if not bool(tensor.isfinite().all())]
    if broken:
        raise CheckpointError(
            f"weights of {source} are not finite (NaN or infinite), first {broken[0]}"
        )
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        said = " ".join(str(error).split())
        raise CheckpointError(f"weights of {source} do not fit the network: {said}") from error
