"""Headers of .ply files, held against the file's size before anything is allocated."""

from __future__ import annotations

import re

_SIZES = {
    "char": 1, "int8": 1, "uchar": 1, "uint8": 1, "short": 2, "int16": 2, "ushort": 2, "uint16": 2,
    "int": 4, "int32": 4, "uint": 4, "uint32": 4, "float": 4, "float32": 4, "double": 8,
    "float64": 8,
}  # fmt: skip
_END = b"end_header"


def check_ply_counts(head: bytes, size: int) -> None:
    """Nothing for a file that can hold the elements that its header names.

    Args:
        head: the first bytes of the file, its header among them.
        size: of the whole file, in bytes.

    Raises:
        ValueError: for a header that names more than the file has bytes for.
    """
    header, _, _ = head.partition(_END)
    text = header.decode("latin-1")
    is_text = re.search(r"^format\s+ascii", text, re.MULTILINE) is not None
    needed = 0
    for part in re.split(r"^element\s+", text, flags=re.MULTILINE)[1:]:
        name, _, rest = part.partition("\n")
        words = name.split()
        if len(words) != 2 or not words[1].isdigit():
            # Whoever reads the file says what is wrong with the line.
            return
        needed += int(words[1]) * max(_least_row(rest, is_text=is_text), 1)
        if needed > size - len(header):
            raise ValueError(
                f"its header names {int(words[1]):,} of {words[0]}, for which the file is too short"
            )


def _least_row(properties: str, *, is_text: bool) -> int:
    """Bytes that a row of an element takes at least."""
    least = 0
    for line in properties.splitlines():
        words = line.split()
        if words[:1] == ["property"] and len(words) > 2:
            # A list may be empty: then it is its length alone. A text has a digit and a space.
            kind = words[2] if words[1] == "list" else words[1]
            least += 2 if is_text else _SIZES.get(kind, 1)
    return least
