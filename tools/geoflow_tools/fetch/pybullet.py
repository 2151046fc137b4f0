"""The random objects of pybullet's wheel: a thousand lumps, most of them closed.

`pip download pybullet --no-deps` gets the wheel, which is unzipped and never imported. They were
made for Quillen et al., "Deep reinforcement learning for vision-based robotic grasping", 2018.
"""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

from geoflow.geometry.read_mesh import MeshError, read_mesh_bytes
from geoflow_datasets.attribution import Credit
from geoflow_tools.fetch.collection import Model, write_collection

_MODEL = re.compile(r"pybullet_data/random_urdfs/(\d+)/\1\.obj")
_CATEGORY = "lump"


@dataclass(frozen=True)
class Options:
    """Write the random objects of pybullet's wheel as .obj files, +Y up."""

    wheel: Path
    """The wheel's file."""
    out: Path
    """Folder to write."""


def fetch(options: Options) -> int:
    """Write the models; how many.

    Raises:
        FileNotFoundError: if there is no wheel.
        ValueError: if it holds no random objects.
    """
    if not options.wheel.is_file():
        raise FileNotFoundError(
            f"no wheel {options.wheel}: pip download pybullet --no-deps gets one"
        )
    models = []
    with zipfile.ZipFile(options.wheel) as wheel:
        for name in sorted(wheel.namelist()):
            if match := _MODEL.fullmatch(name):
                number = match.group(1)
                credit = Credit(
                    f"{_CATEGORY}/{number}.obj",
                    f"random object {number}",
                    "Erwin Coumans and Bullet contributors",
                    "zlib",
                )
                try:
                    mesh = read_mesh_bytes(wheel.read(name), ".obj", up="z")
                except MeshError:  # 62 of the thousand hold NaN.
                    continue
                models.append(Model(mesh, credit))
    if not models:
        raise ValueError(f"{options.wheel} holds no {_MODEL.pattern}")
    return write_collection(options.out, models)
