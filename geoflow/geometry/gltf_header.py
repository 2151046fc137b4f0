"""What a glTF says of itself, its content as trimesh reads it right, and what is refused by name.

Reference: Khronos Group, glTF 2.0 specification, https://registry.khronos.org/glTF/specs/2.0/
"""

from __future__ import annotations

from typing import Any

from geoflow.geometry.claims import Claim, Prepared
from geoflow.geometry.gltf_buffers import Fetch, glb, joined, read_header, split_glb
from geoflow.geometry.gltf_pose import NORMALISED, is_posed, posed
from geoflow.geometry.gltf_scene import check_indices, flattened

_DRACO = "KHR_draco_mesh_compression"
# What needs these is read right, or differs in its looks alone.
_READ = (
    _DRACO, "KHR_mesh_quantization", "KHR_materials_", "KHR_texture_", "EXT_texture_",
    "MSFT_texture_", "KHR_lights_", "KHR_xmp", "EXT_mesh_features", "EXT_structural_metadata",
)  # fmt: skip
_INSTANCES = "EXT_mesh_gpu_instancing"


def prepare_gltf(content: bytes, fetch: Fetch) -> Prepared:
    """A glTF of either form as a .glb: its data in it, its figures posed, its scene a list.

    Args:
        content: of a .glb or a .gltf.
        fetch: gives files beside it.

    Raises:
        ValueError: if it contradicts itself, or needs what cannot be read.
    """
    header, binary = split_glb(content) if content[:4] == b"glTF" else (read_header(content), None)
    check_header(header)
    header, binary = joined(header, binary, fetch)
    check_indices(header)
    if is_posed(header):
        header, binary = posed(header, binary)
    return glb(flattened(header), binary), _claims(header)


def check_header(header: dict[str, Any]) -> None:
    """Raise ValueError for what would be read wrongly, or as less than it is."""
    for name in header.get("extensionsRequired", []):
        if not name.startswith(_READ) and name != _INSTANCES:
            raise ValueError(f"it needs {name}: export it without that extension")
    if any(_INSTANCES in node.get("extensions", {}) for node in header.get("nodes", [])):
        raise ValueError(f"its copies are made by {_INSTANCES}: export it with the copies as nodes")


def _claims(header: dict[str, Any]) -> list[Claim]:
    """A claim of each set of triangles, in the file's order."""
    claims = []
    for part in (part for mesh in header.get("meshes", []) for part in mesh["primitives"]):
        mode = part.get("mode", 4)
        if mode == 6:
            raise ValueError("it holds triangle fans: export it as triangles")
        if mode in (4, 5):
            claims.append(_claim_of_part(part, mode, header["accessors"]))
    return claims


def _claim_of_part(part: dict[str, Any], mode: int, accessors: list[dict[str, Any]]) -> Claim:
    position = accessors[part["attributes"]["POSITION"]]
    corners = accessors[part["indices"]] if "indices" in part else position
    compressed = "Draco" if _DRACO in part.get("extensions", {}) else None
    for accessor in (position, corners):
        if "sparse" in accessor:
            raise ValueError("its triangles are in sparse accessors: export it without them")
        if "bufferView" not in accessor and compressed is None:
            raise ValueError("its triangles have no data (an accessor without bufferView)")
    scale = NORMALISED.get(position["componentType"], 1.0) if position.get("normalized") else 1.0
    count = corners["count"]
    if mode == 4 and count % 3:
        raise ValueError(f"{count} corners are no triangles")
    low, high = position.get("min"), position.get("max")
    return Claim(
        count // 3 if mode == 4 else None,
        None if low is None else tuple(float(x) for x in low),
        None if high is None else tuple(float(x) for x in high),
        1 / scale,
        compressed,
    )
