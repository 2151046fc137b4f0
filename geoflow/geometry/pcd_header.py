"""Headers of .pcd files, held against the file's size before anything is allocated.

Reference: Point Cloud Library, the PCD file format,
https://pointclouds.org/documentation/tutorials/pcd_file_format.html
"""

from __future__ import annotations

import operator
import re
import struct
from collections.abc import Mapping

_HEADER = 65_536
_MOST_FIELDS = 1_000
"""Numbers of a point; a reader makes a name for each."""
# The compression, LZF, writes three bytes for up to 264.
_RATIO = 88


def prepare_pcd(content: bytes) -> bytes:
    """A .pcd file with a header of what is checked alone, so that its reader sees no other.

    Raises:
        ValueError: for one that names more than the file has bytes for, or no points.
    """
    header = re.match(rb"(?:.*\n)*?DATA[ \t]+(\w+)[^\n]*\n", content[:_HEADER])
    if header is None:
        raise ValueError("its header is that of no .pcd file")
    lines = (line.split() for line in header[0].splitlines())
    said = {words[0].upper(): words[1:] for words in lines if len(words) > 1}
    points = next(iter(_numbers(said, b"POINTS")), 0)
    sizes, counts = (_numbers(said, name) for name in (b"SIZE", b"COUNT"))
    fields, types = (said.get(name, []) for name in (b"FIELDS", b"TYPE"))
    if not 0 < len(fields) == len(types) == len(sizes) == len(counts):
        raise ValueError("its header must name as many fields as types, sizes and counts")
    if sum(counts) > _MOST_FIELDS:
        raise ValueError(f"its header names {sum(counts):,} numbers for each point")
    if points < 1:
        raise ValueError("its header names no points")
    row, body = sum(map(operator.mul, sizes, counts)), content[header.end() :]
    if not _holds(body, header[1].lower(), points, row, sum(counts)):
        raise ValueError(f"its header names {points:,} points, for which the file is too short")
    clean = {
        b"VERSION": [b"0.7"], b"FIELDS": fields, b"SIZE": said[b"SIZE"], b"TYPE": types,
        b"COUNT": said[b"COUNT"], b"WIDTH": said[b"POINTS"], b"HEIGHT": [b"1"],
        b"POINTS": said[b"POINTS"], b"DATA": [header[1]],
    }  # fmt: skip
    return b"".join(b" ".join([name, *words]) + b"\n" for name, words in clean.items()) + body


def _holds(body: bytes, encoding: bytes, points: int, row: int, numbers: int) -> bool:
    """Whether there are bytes for so many points of so many bytes or numbers each."""
    if encoding == b"ascii":
        # A digit, and what divides it from the next.
        return 2 * points * numbers <= len(body) + 1
    if encoding == b"binary":
        return points * row <= len(body)
    packed, unpacked = struct.unpack_from("<II", body) if len(body) >= 8 else (0, 0)
    return packed <= len(body) - 8 and points * row <= unpacked <= _RATIO * packed


def _numbers(said: Mapping[bytes, list[bytes]], name: bytes) -> list[int]:
    found = said.get(name, [])
    if not all(re.fullmatch(rb"\d{1,18}", word) for word in found):
        raise ValueError(f"its header has {name.decode()} that is no number")
    return list(map(int, found))
