"""All data of a glTF as one buffer, wherever the file keeps it: in itself, in its text, beside it.

Reference: glTF 2.0, 3.6.1 "Buffers and Buffer Views" and 4.4 "GLB File Format Specification",
https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote_to_bytes

Header = dict[str, Any]
Fetch = Callable[[str], bytes]
"""The content of a file beside the mesh, by the name that the mesh gives; ValueError if none."""

_JSON, _BINARY = b"JSON", b"BIN\0"


def split_glb(content: bytes) -> tuple[Header, bytes | None]:
    """Header and binary of a .glb, without what lies behind its end; None where it has no binary.

    Raises:
        ValueError: if it contradicts itself.
    """
    if content[:4] != b"glTF" or len(content) < 20:
        raise ValueError("expected a binary glTF, whose first bytes are glTF")
    version, end = struct.unpack("<II", content[4:12])
    if version != 2:
        raise ValueError(f"it is a binary glTF of version {version}, expected 2")
    if end > len(content):
        raise ValueError(f"it says {end:,} bytes, and holds {len(content):,}")
    content = content[:end]
    (length,) = struct.unpack("<I", content[12:16])
    header = read_header(content[20 : 20 + length])
    at = 20 + length
    if content[at + 4 : at + 8] != _BINARY:
        return header, None
    (length,) = struct.unpack("<I", content[at : at + 4])
    return header, content[at + 8 : at + 8 + length]


def read_header(text: bytes) -> Header:
    """The header of a glTF.

    Raises:
        ValueError: if it is none.
    """
    header = json.loads(text.removeprefix(b"\xef\xbb\xbf"))
    if not isinstance(header, dict) or "asset" not in header:
        raise ValueError("expected the header of a glTF, with its asset")
    if not str(header["asset"]["version"]).startswith("2."):
        raise ValueError(f"it is a glTF of version {header['asset']['version']}, expected 2.0")
    return header


def glb(header: Header, binary: bytes) -> bytes:
    """A .glb of a header whose one buffer is the binary."""
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 4)
    binary += b"\0" * (-len(binary) % 4)
    chunks = struct.pack("<I4s", len(text), _JSON) + text
    chunks += struct.pack("<I4s", len(binary), _BINARY) + binary
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def joined(header: Header, binary: bytes | None, fetch: Fetch) -> tuple[Header, bytes]:
    """The header with one buffer, and that.

    Args:
        header: of a glTF; it is left as it is.
        binary: that of a .glb, which is the first buffer.
        fetch: gives files beside it.

    Raises:
        ValueError: if a buffer has no data, or less than the file says; or a view leaves it.
    """
    buffers = header.get("buffers", [])
    datas = [
        _data(i, buffer, header, binary if i == 0 else None, fetch)
        for i, buffer in enumerate(buffers)
    ]
    starts, whole = [], b""
    for data in datas:
        whole += b"\0" * (-len(whole) % 4)
        starts.append(len(whole))
        whole += data
    views = []
    for view in header.get("bufferViews", []):
        index, start = view["buffer"], view.get("byteOffset", 0)
        if not (
            0 <= index < len(datas)
            and start >= 0
            and 0 <= view["byteLength"] <= len(datas[index]) - start
        ):
            raise ValueError("a view of its data ends behind the data")
        views.append({**view, "buffer": 0, "byteOffset": starts[index] + start})
    header = {**header, "buffers": [{"byteLength": len(whole)}], "bufferViews": views}
    return header, whole


def packed(content: bytes, fetch: Fetch) -> bytes:
    """A .gltf with the data that lies beside it, as one .glb; itself where that cannot be.

    Whoever reads the latter says what is wrong with it.
    """
    try:
        return glb(*joined(read_header(content), None, fetch))
    except Exception:  # As many ways as in a reader.
        return content


def _data(index: int, buffer: Header, header: Header, binary: bytes | None, fetch: Fetch) -> bytes:
    uri = buffer.get("uri")
    if uri is None and binary is None:
        meshopt = [n for n in header.get("extensionsUsed", []) if n.endswith("meshopt_compression")]
        but = f": it is compressed by {meshopt[0]}, export it without that" if meshopt else ""
        raise ValueError(f"its buffer {index} has no data{but}")
    if uri is None:
        data = binary or b""
    elif uri.startswith("data:"):
        kind, _, text = uri.partition(",")
        raw = unquote_to_bytes(text)
        data = base64.b64decode(raw) if kind.endswith(";base64") else raw
    else:
        data = fetch(uri)
    if len(data) < buffer["byteLength"]:
        raise ValueError(
            f"its buffer {index} says {buffer['byteLength']:,} bytes, and holds {len(data):,}"
        )
    return data[: buffer["byteLength"]]
