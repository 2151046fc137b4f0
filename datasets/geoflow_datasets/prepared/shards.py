"""Shards: folders of .npy files, one array each, with room for a fixed number of shapes.

The format is numpy's own, for what training does: a few thousand random numbers of random shapes.
A row of a .npy file is at a known place, so that a shape is one read of each array, without a
library, an index or a lock, and the file can be memory-mapped; arrays of half-precision points do
not compress. Formats that stream whole archives (WebDataset) read 180 kB for every shape whatever
is asked for, in their own order; those of compressed chunks (Zarr, HDF5, Parquet) unpack many
shapes for one. A row is written at its place at once: a file begins sparse and is never rewritten.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from io import FileIO
from pathlib import Path

import numpy as np

from geoflow.arrays import npy_header
from geoflow.atomic import DamagedError, disk_full_named, reading, sync

ROWS = 256
"""Shapes of a shard."""
Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Layout:
    """Where the rows of an array are in each shard's file."""

    dtype: np.dtype
    shape: tuple[int, ...]
    """Of a row."""
    offset: int
    """Bytes before the first row."""

    @cached_property
    def count(self) -> int:
        """Numbers of a row."""
        return int(np.prod(self.shape, dtype=np.int64))

    def start(self, place: int) -> int:
        """The first byte of a place's row in its shard."""
        return self.offset + (place % ROWS) * self.count * self.dtype.itemsize


class Shards:
    """The shards of a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, shapes: Mapping[int, Arrays]) -> None:
        """Write shapes by place; they are on the disk on return.

        Raises:
            OSError: if the disk is full, naming the file.
        """
        layouts: dict[Path, Layout] = {}
        for place, arrays in shapes.items():
            for name, array in arrays.items():
                path = self._path(place, name)
                with disk_full_named(path, ROWS * array.nbytes):
                    if path not in layouts:
                        layouts[path] = _begun(path, array)
                    layout = layouts[path]
                    row = np.broadcast_to(array, layout.shape).astype(layout.dtype)
                    # Not through a map: a full disk then ends the process (SIGBUS).
                    with path.open("r+b") as file:
                        file.seek(layout.start(place))
                        file.write(row.tobytes())
        for path in layouts:
            sync(path)

    @cached_property
    def layouts(self) -> dict[str, Layout]:
        """How each array lies in the shards, as the first one says.

        Raises:
            DamagedError: if there is no shard, or the first one is damaged.
        """
        first = next(iter(sorted(self.folder.glob("[0-9]*"))), None)
        if first is None:
            raise DamagedError(f"{self.folder} holds no shards")
        found = {}
        for path in sorted(first.glob("*.npy")):
            found[path.stem] = _layout(path)
        return found

    def read(self, place: int, name: str) -> np.ndarray:
        """One array of one shape; errors as of `rows`."""
        return self.rows([place], name)[0]

    def rows(self, places: Sequence[int], name: str) -> np.ndarray:
        """An array of some shapes, each row read by itself: nothing else comes into memory.

        Raises:
            DamagedError: if a shard is cut short.
        """
        layout = self.layouts[name]
        found = np.empty((len(places), *layout.shape), dtype=layout.dtype)
        for row, place in zip(found, places, strict=True):
            path = self._path(place, name)
            file = _kept_open(str(path))
            file.seek(layout.start(place))
            if file.readinto(memoryview(row.reshape(-1)).cast("B")) < row.nbytes:
                raise DamagedError(f"{path} is damaged: it ends before shape {place % ROWS}")
        return found

    def _path(self, place: int, name: str) -> Path:
        return self.folder / f"{place // ROWS:06d}" / f"{name}.npy"


@lru_cache(maxsize=256)
def _kept_open(path: str) -> FileIO:
    """A shard's file, left open: opening takes longer than reading. The oldest are closed."""
    return FileIO(path)


def _layout(path: Path) -> Layout:
    """As the header of a shard's file says; DamagedError if it says nothing of the kind."""
    with reading(path), path.open("rb") as file:
        shape, is_fortran, dtype = npy_header(file, path.stat().st_size)
        if is_fortran or shape[:1] != (ROWS,):
            raise ValueError(f"expected {ROWS} rows, one after the other, got {shape}")
        return Layout(dtype, shape[1:], file.tell())


def _begun(path: Path, row: np.ndarray) -> Layout:
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        # A header that a kill cut short must never be met: the file gets its name when it is whole.
        draft = path.with_name(f".{path.name}")
        shape = (ROWS, *row.shape)
        np.lib.format.open_memmap(draft, mode="w+", dtype=row.dtype, shape=shape).flush()
        draft.replace(path)
    return _layout(path)
