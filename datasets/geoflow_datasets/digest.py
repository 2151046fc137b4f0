"""Keys of what is cached: a digest of all that a result depends on."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType


def digest(parts: Iterable[str | bytes]) -> str:
    """Sixteen hexadecimal digits that tell sequences of parts apart."""
    found = hashlib.sha256()
    for part in parts:
        # Names of files may be no UTF-8.
        content = os.fsencode(part) if isinstance(part, str) else part
        # The length parts them: "ab", "c" is not "a", "bc".
        found.update(f"{len(content)}:".encode() + content)
    return found.hexdigest()[:16]


def digest_of_sources(*modules: ModuleType) -> str:
    """A digest of the modules' source files; of all in the folder of a package."""
    files: list[Path] = []
    for module in modules:
        path = Path(str(module.__file__))
        files += sorted(path.parent.glob("*.py")) if path.name == "__init__.py" else [path]
    return digest(path.read_bytes() for path in files)


def seed_of(name: str) -> int:
    """A seed of 32 bits from a name, the same everywhere."""
    return int(hashlib.sha256(os.fsencode(name)).hexdigest()[:8], 16)
