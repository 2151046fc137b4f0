"""Headers of .laz files, held against the file's size before their reader makes room for them.

lazrs ends the process where it is asked for more memory than there is, and reads on for minutes
where a file ends before its points.

Reference: ASPRS, LAS 1.4 specification; Martin Isenburg, LASzip, PE&RS 79(2), 2013.
"""

from __future__ import annotations

import struct

_HEADER, _RECORD = 227, 54
_COMPRESSED = 0x80
_LASZIP = (b"laszip encoded", 22204)
_VARIABLE = 2**32 - 1
# A scan has 2 to 10 bytes for each point; so many points for each byte would all be one.
_POINTS_PER_BYTE = 100


def check_laz(content: bytes) -> None:
    """Nothing for a file that can hold the points and the chunks that it names.

    Raises:
        ValueError: for one that is cut short, or names more than it has bytes for.
    """
    if len(content) < _HEADER or content[:4] != b"LASF":
        raise ValueError("expected a .las or .laz file, whose first bytes are LASF")
    (form,) = struct.unpack_from("<B", content, 104)
    num = _points(content)
    (row,) = struct.unpack_from("<H", content, 105)
    size, start, count = struct.unpack_from("<HII", content, 94)
    if size + count * _RECORD > start:
        raise ValueError(f"it names {count:,} records before its points, which begin too early")
    if not form & _COMPRESSED:
        if num * row > len(content) - start:
            raise ValueError(f"its header names {num:,} points, for which the file is too short")
        return
    if num > _POINTS_PER_BYTE * len(content):
        raise ValueError(f"its header names {num:,} points, for which the file is too short")
    chunk = _chunk_size(_record(content, size, count), row)
    chunks = _chunks(content, start)
    if chunk != _VARIABLE and chunks * chunk < num:
        raise ValueError(f"it has {chunks:,} chunks of {chunk:,} points, its header names {num:,}")


def _points(content: bytes) -> int:
    minor, num = content[25], struct.unpack_from("<I", content, 107)[0]
    if minor < 4 or num:
        return int(num)
    if len(content) < 255:
        raise ValueError("it ends inside its header")
    return int(struct.unpack_from("<Q", content, 247)[0])


def _record(content: bytes, at: int, count: int) -> bytes:
    """What says how the points are compressed."""
    for _ in range(count):
        if at + _RECORD > len(content):
            break
        user, record, length = struct.unpack_from("<2x16sHH", content, at)
        at += _RECORD + length
        if (user.rstrip(b"\0"), record) == _LASZIP:
            return content[at - length : at]
    raise ValueError("it has no record of how it is compressed")


def _chunk_size(record: bytes, row: int) -> int:
    """Points of a chunk, where the parts of a point are as long as points are."""
    if len(record) >= 34:
        (num,) = struct.unpack_from("<H", record, 32)
        if len(record) >= 34 + 6 * num:
            sizes = [struct.unpack_from("<2xH", record, 34 + 6 * i)[0] for i in range(num)]
            (found,) = struct.unpack_from("<I", record, 12)
            if found > 0 and all(sizes) and sum(sizes) == row:
                return int(found)
    raise ValueError("its record of how it is compressed does not fit its points")


def _chunks(content: bytes, start: int) -> int:
    """Chunks that the table at the end names, each of which takes a byte at least."""
    (table,) = struct.unpack_from("<q", content, start) if start + 8 <= len(content) else (-1,)
    if table == -1:
        # It was written to a stream, and its place stands at the very end.
        (table,) = struct.unpack_from("<q", content, len(content) - 8)
    if not start <= table <= len(content) - 8:
        raise ValueError("it ends before its table of chunks")
    (found,) = struct.unpack_from("<4xI", content, table)
    if found > len(content):
        raise ValueError(f"it names {found:,} chunks, for which it is too short")
    return int(found)
