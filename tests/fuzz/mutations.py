"""Damaged copies of a file: its bytes, the words and numbers of its text, the parts of its JSON."""

from __future__ import annotations

import copy
import json
import random
import re
import struct
from collections.abc import Callable
from typing import Any

HOSTILE: tuple[Any, ...] = (
    None, True, -1, 0, 1, 2, 255, 65_537, 10**9, 2**63, 10**30, 0.5, -1e300, 1e308, float("nan"),
    float("inf"), "", "x", "\u2603" * 3, "9" * 50, [], [[]], {}, {"a": 1}, [1, "a"], [None],
)  # fmt: skip
NUMBERS = (b"0", b"-1", b"1", b"4294967295", b"99999999999999", b"1e999", b"nan", b"-inf", b"0x1")


def mutated_bytes(content: bytes, rng: random.Random) -> bytes:
    """One to three cuts, repetitions, flips, insertions, or other numbers in the text."""
    made = bytearray(content)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(made) + 1) if made else 0
        size = rng.choice((1, 2, 4, 8, 64, 1024))
        act = rng.randrange(7)
        if act == 0 and made:
            made[min(at, len(made) - 1)] ^= 1 << rng.randrange(8)
        elif act == 1:
            del made[at:]
        elif act == 2:
            del made[at : at + size]
        elif act == 3:
            made[at:at] = made[at : at + size]
        elif act == 4:
            made[at : at + size] = rng.randbytes(size)
        elif act == 5:
            made[at : at + 4] = struct.pack("<I", rng.choice((0, 2**31, 2**32 - 1, 1_000_000)))
        else:
            made[:] = _other_number(bytes(made), rng)
    return bytes(made)


def mutated_json(content: bytes, rng: random.Random) -> bytes:
    """One or two parts replaced, removed or added; sometimes bytes."""
    if rng.random() < 0.2:
        return mutated_bytes(content, rng)
    whole = [json.loads(content)]
    for _ in range(rng.randint(1, 2)):
        _mutate(whole, rng)
    return json.dumps(whole[0]).encode()


def mutated_safetensors(content: bytes, rng: random.Random) -> bytes:
    """Bytes, parts of the header, or parts of the card in it."""
    way = rng.random()
    if way < 0.25:
        return mutated_bytes(content, rng)
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + length])
    if way < 0.75:
        card = mutated_json(header["__metadata__"]["card"].encode(), rng)
        header["__metadata__"]["card"] = card.decode("utf-8", "replace")
    else:
        _mutate([header], rng)
    said = json.dumps(header).encode()
    return struct.pack("<Q", len(said)) + said + content[8 + length :]


MUTATORS: dict[str, Callable[[bytes, random.Random], bytes]] = {
    ".json": mutated_json,
    ".safetensors": mutated_safetensors,
}
"""By suffix; of all others the bytes."""


def _other_number(content: bytes, rng: random.Random) -> bytes:
    found = list(re.finditer(rb"-?\d+(\.\d+)?", content[:4096]))
    if not found:
        return content
    at = rng.choice(found)
    return content[: at.start()] + rng.choice(NUMBERS) + content[at.end() :]


def _mutate(whole: list[Any], rng: random.Random) -> None:
    """Replace, remove or add a part at a random place."""
    holder: Any = whole
    while True:
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        if not keys:
            return
        key = rng.choice(keys)
        inner = holder[key]
        if isinstance(inner, dict | list) and inner and rng.random() < 0.85:
            holder = inner
            continue
        act = rng.randrange(5)
        if act == 0 and isinstance(holder, dict):
            del holder[key]
        elif act == 1 and isinstance(holder, dict):
            holder["more"] = copy.deepcopy(rng.choice(HOSTILE))
        else:
            holder[key] = copy.deepcopy(rng.choice(HOSTILE))
        return
