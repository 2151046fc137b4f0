"""Shards: folders of .npy files, one array each, with room for a fixed number of shapes.

The format is numpy's own, for what training does: a few thousand random numbers of random shapes.
A row of a .npy file is at a known place, so that a shape is one read of each array, without a
library, an index or a lock, and the file can be memory-mapped; arrays of half-precision points do
not compress. Formats that stream whole archives (WebDataset) read 180 kB for every shape whatever
is asked for, in their own order; those of compressed chunks (Zarr, HDF5, Parquet) unpack many
shapes for one. A row is written at its place at once: a file begins sparse and is never rewritten.
"""

from __future__ import annotations

import os
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
            buffer = memoryview(row.reshape(-1)).cast("B")
            if _read_at(path, layout.start(place), buffer) < row.nbytes:
                raise DamagedError(f"{path} is damaged: it ends before shape {place % ROWS}")
        return found

    def _path(self, place: int, name: str) -> Path:
        return self.folder / f"{place // ROWS:06d}" / f"{name}.npy"


def _read_at(path: Path, start: int, buffer: memoryview) -> int:
    """Fill the buffer from that byte on; returns how much there was."""
    if hasattr(os, "preadv"):
        shard = _kept_open(str(path))
        if os.fstat(shard.fileno()).st_nlink == 0:  # The folder was removed, and may be made anew.
            _kept_open.cache_clear()
            shard = _kept_open(str(path))
        # Not by seeking: workers that were forked share the place where a file is read.
        return os.preadv(shard.fileno(), [buffer], start)
    with path.open("rb") as file:
        file.seek(start)
        return file.readinto(buffer)


@lru_cache(maxsize=256)
def _kept_open(path: str) -> FileIO:
    """A shard's file, left open: opening takes longer than reading. The oldest are closed."""
    return _Shard(path)


class _Shard(FileIO):
    """A file that closes when nobody has it any longer, as the cache means it to."""

    def __del__(self) -> None:
        self.close()


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
