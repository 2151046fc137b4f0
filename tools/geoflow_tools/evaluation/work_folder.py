"""The folder of an evaluation: the options that it was started with, and what is done so far."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from geoflow.atomic import reading, write_text

OPTIONS = "options.json"


def open_work_folder(folder: Path, options: dict[str, Any]) -> None:
    """Write the folder's options, or compare them with those that are there.

    Raises:
        ValueError: if the folder holds something else, or was started with other options.
        DamagedError: if its options cannot be read.
    """
    path = folder / OPTIONS
    if not path.is_file():
        if folder.is_dir() and any(folder.iterdir()):
            raise ValueError(f"{folder} is in the way: it holds no evaluation")
        folder.mkdir(exist_ok=True)
        write_text(path, json.dumps(options, indent=2) + "\n")
        return
    with reading(path):
        before = dict(json.loads(path.read_text(encoding="utf-8")))
    names = dict.fromkeys([*options, *before])
    differing = [name for name in names if before.get(name) != options.get(name)]
    if differing:
        told = "; ".join(
            f"{name}: {before.get(name)!r}, now {options.get(name)!r}" for name in differing
        )
        raise ValueError(
            f"{folder} was started with other options ({told}): "
            "repeat them, delete the folder, or choose another --out"
        )
