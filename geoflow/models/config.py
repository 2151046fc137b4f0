"""What files store of themselves: frozen dataclasses as JSON, checked when they are read.

A field's type is its check: `Count` and its like in `geoflow.typing` carry ranges.
"""

from __future__ import annotations

import dataclasses
import re
import typing
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


def to_json(config: Any) -> dict[str, Any]:
    """A dataclass as JSON-ready nested dictionaries."""
    return dataclasses.asdict(config)


def from_json(kind: type[T], data: Any) -> T:
    """Build a dataclass from what `to_json` gave.

    Raises:
        ValueError: for a field that the dataclass does not have, of another type, or out of range;
            the message names the field, what was expected and what was found.
    """
    _refuse_unknown(kind, data, "")
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        said, _, place = str(error).partition(" - at ")
        path = place.strip("`").removeprefix("$").lstrip(".")
        raise ValueError(
            f"{kind.__name__}.{path}: {said}, found {_at(data, path)!r}"
            if path
            else f"{kind.__name__}: {said}, found {type(data).__name__}"
        ) from error


def _refuse_unknown(kind: type, data: Any, path: str) -> None:
    """Fields that a dataclass does not have, at any depth: msgspec passes over them."""
    if not isinstance(data, dict):
        return
    hints = typing.get_type_hints(kind)
    unknown = set(data) - set(hints)
    if unknown:
        raise ValueError(
            f"{kind.__name__} has no field {path}{', '.join(sorted(unknown))}; "
            f"known: {', '.join(hints)}"
        )
    for name, hint in hints.items():
        if dataclasses.is_dataclass(hint) and name in data:
            _refuse_unknown(typing.cast(type, hint), data[name], f"{path}{name}.")


def _at(data: Any, path: str) -> Any:
    """The value at a path such as `autoencoder.heads` or `categories[0]`."""
    for part in re.findall(r"[^.\[\]]+", path):
        data = data[int(part)] if isinstance(data, list | tuple) else data.get(part)
    return data
