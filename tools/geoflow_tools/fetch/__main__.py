"""`python -m geoflow_tools.fetch SOURCE --out FOLDER` writes a collection of real meshes.

The folder is one that `geoflow train --data FOLDER` takes: a folder for each category,
`attribution.csv` with creators and licences, and `splits.json` with what is held out.
"""

from __future__ import annotations

from typing import Annotated

import tyro

from geoflow_tools.fetch import pybullet, sweethome3d

_Sweethome3d = Annotated[sweethome3d.Options, tyro.conf.subcommand("sweethome3d")]
_Pybullet = Annotated[pybullet.Options, tyro.conf.subcommand("pybullet")]


def main() -> None:
    """Fetch what is asked for, and say how much it was."""
    options = tyro.cli(_Sweethome3d | _Pybullet, description=__doc__)
    room = sweethome3d if isinstance(options, sweethome3d.Options) else pybullet
    print(f"{room.fetch(options)} models written to {options.out}")


if __name__ == "__main__":
    main()
