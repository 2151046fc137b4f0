"""Files that appear whole or keep their old content."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def write_bytes(path: Path, content: bytes) -> None:
    """Write a temporary file beside `path`, then rename it.

    Raises:
        OSError: if the folder does not exist or cannot be written; nothing is left behind.
    """
    draft = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        draft.write_bytes(content)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """As `write_bytes`, in UTF-8."""
    write_bytes(path, text.encode())


def write_json(path: Path, content: Any) -> None:
    """As `write_text`, JSON for people.

    Raises:
        FloatingPointError: for a number that is not finite, which JSON does not have.
    """
    try:
        text = json.dumps(content, indent=2, allow_nan=False)
    except ValueError as error:
        raise FloatingPointError(
            f"{path} is not written: a number in it is not finite (NaN or infinite)"
        ) from error
    write_text(path, text + "\n")
