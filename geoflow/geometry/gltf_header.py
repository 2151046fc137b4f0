"""What a glTF says of itself, its content as trimesh reads it right, and what is refused by name.

Reference: Khronos Group, glTF 2.0 specification, https://registry.khronos.org/glTF/specs/2.0/
"""

from __future__ import annotations

import json
import struct
from typing import Any

from geoflow.geometry.claims import Claim, Prepared
from geoflow.geometry.gltf_pose import NORMALISED, is_posed, posed

_DRACO = "KHR_draco_mesh_compression"
# What needs these is read right, or differs in its looks alone.
_READ = (
    _DRACO, "KHR_mesh_quantization", "KHR_materials_", "KHR_texture_", "EXT_texture_",
    "MSFT_texture_", "KHR_lights_", "KHR_xmp", "EXT_mesh_features", "EXT_structural_metadata",
)  # fmt: skip
_INSTANCES = "EXT_mesh_gpu_instancing"
_JSON, _BINARY = b"JSON", b"BIN\0"


def prepare_glb(content: bytes) -> Prepared:
    """A binary glTF without what lies behind its end, its figures posed, and its claims.

    Raises:
        ValueError: if it contradicts itself, or needs what cannot be read.
    """
    if content[:4] != b"glTF" or len(content) < 20:
        raise ValueError("expected a binary glTF, whose first bytes are glTF")
    (end,) = struct.unpack("<I", content[8:12])
    if end > len(content):
        raise ValueError(f"it says {end:,} bytes, and holds {len(content):,}")
    content = content[:end]
    (length,) = struct.unpack("<I", content[12:16])
    header = json.loads(content[20 : 20 + length])
    check_header(header)
    if is_posed(header):
        # The binary chunk is the second, where there is one.
        header, binary = posed(header, content[28 + length :])
        content = _glb(header, binary)
    return content, _claims(header)


def prepare_gltf(content: bytes) -> Prepared:
    """A glTF as text, as it is, and its claims.

    Raises:
        ValueError: if it contradicts itself, or needs what cannot be read.
    """
    header = json.loads(content)
    check_header(header)
    if is_posed(header):
        raise ValueError("it is posed by skins or morph targets: export it as .glb")
    return content, _claims(header)


def _glb(header: dict[str, Any], binary: bytes) -> bytes:
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), _JSON) + text
    chunks += struct.pack("<I4s", len(binary), _BINARY) + binary
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def check_header(header: dict[str, Any]) -> None:
    """Raise ValueError for what would be read wrongly, or as less than it is."""
    for name in header.get("extensionsRequired", []):
        if not name.startswith(_READ) and name != _INSTANCES:
            raise ValueError(f"it needs {name}: export it without that extension")
    if any(_INSTANCES in node.get("extensions", {}) for node in header.get("nodes", [])):
        raise ValueError(f"its copies are made by {_INSTANCES}: export it with the copies as nodes")
    sizes = [buffer["byteLength"] for buffer in header.get("buffers", [])]
    for view in header.get("bufferViews", []):
        if view["buffer"] >= len(sizes) or (
            view.get("byteOffset", 0) + view["byteLength"] > sizes[view["buffer"]]
        ):
            raise ValueError("a view of its data ends behind the data")


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
