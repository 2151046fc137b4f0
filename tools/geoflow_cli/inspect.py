"""`geoflow inspect`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from geoflow_cli.errors import Failure, UsageError
from geoflow_cli.options import Inspect

if TYPE_CHECKING:
    from geoflow_datasets.inspection import Inspection

_WHY = {
    "winding": "it has a clear inside",
    "thickened": "parts of it are sheets, or thinner than the least thickness",
    "shell": "it encloses nothing",
}


def inspect(options: Inspect) -> None:
    """Say of every file what was read and how it would be signed, or why it is refused.

    Raises:
        UsageError: if no file is named, or a folder holds none.
        Failure: if a file is refused.
    """
    files = [path for given in options.files for path in _files(given)]
    if not files:
        raise UsageError("name at least one mesh file: geoflow inspect FILE…")
    from geoflow_datasets.inspection import inspect_mesh

    found = []
    for path in files:
        found.append(inspect_mesh(path, up=options.up))
        if not options.json:
            print(_lines(found[-1]), flush=True)
    if options.json:
        print(json.dumps([asdict(each) for each in found], indent=2))
    refused = [each for each in found if each.refused is not None]
    if refused:
        raise Failure(f"{len(refused)} of {len(found)} files refused, first {refused[0].file}")


def _files(path: Path) -> list[Path]:
    """The file, or the meshes of a folder."""
    if not path.is_dir():
        return [path]
    from geoflow.geometry.mesh import SUFFIXES
    from geoflow_datasets.files import files_in

    found = [file for file in files_in(path) if file.suffix.lower() in SUFFIXES]
    if not found:
        raise UsageError(f"{path} holds no meshes; expected files {', '.join(SUFFIXES)}")
    return found


def _lines(found: Inspection) -> str:
    lines = [f"{found.file}:"]
    if found.extents is not None:
        lines += [
            f"  {found.vertices:,} vertices, {found.faces:,} faces, {found.parts:,} parts, "
            f"{' x '.join(f'{x:.5g}' for x in found.extents)}, area {found.area:.5g}, "
            f"volume {found.volume:.5g}",
            f"  {'' if found.watertight else 'not '}watertight, "
            f"{'' if found.manifold else 'not '}manifold, "
            f"{'' if found.winding_consistent else 'faces wound differently, '}"
            f"{found.inward_parts} inward parts, {found.hidden_cavities} hidden cavities",
        ]
    if found.aspect is not None:
        lines.append("  aspect of triangles {:.3g} (99 %: {:.3g})".format(*found.aspect))
    if found.missing:
        lines.append(f"  files that it names and that cannot be read: {', '.join(found.missing)}")
    if found.signed is not None:
        method = str(found.signed["method"])
        shown = [
            f"{name.replace('_', ' ')} {value:.3g}"
            for name, value in found.signed.items()
            if isinstance(value, float)
        ]
        why = f" ({_WHY[method]})" if method in _WHY else ""
        lines.append(f"  signed as {method}{why}: {', '.join(shown)}")
    if found.refused is not None:
        lines.append(f"  refused: {found.refused}")
    return "\n".join(lines)
