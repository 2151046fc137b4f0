"""What a mesh must be to stay a solid once a program has merged its equal vertices."""

from __future__ import annotations

import manifold3d
import numpy as np
import trimesh


def faults(mesh: trimesh.Trimesh) -> list[str]:
    """Why a mesh of about unit size is no solid after merging at six decimals; empty if it is."""
    keys, index = np.unique(np.round(mesh.vertices, 6), axis=0, return_inverse=True)
    merged = trimesh.Trimesh(keys, index.reshape(-1)[mesh.faces], process=False)
    distinct = np.unique(np.sort(merged.faces, axis=1), axis=0)
    solid = manifold3d.Manifold(
        manifold3d.Mesh(keys.astype(np.float32), merged.faces.astype(np.uint32))
    )
    holds = {
        "two vertices at one place": len(keys) == len(mesh.vertices),
        "a face without area": bool((merged.area_faces > 0.0).all()),
        "a face twice": len(distinct) == len(mesh.faces),
        "an edge not in two faces": merged.is_watertight,
        "faces wound differently": merged.is_winding_consistent,
        f"manifold3d: {solid.status()}": solid.status() == manifold3d.Error.NoError,
    }
    return [fault for fault, held in holds.items() if not held]
