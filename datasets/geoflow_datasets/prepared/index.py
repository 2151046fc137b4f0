"""What a prepared folder holds: a database of its files and shapes, in SQLite.

A shape is known by the content of its file, so that a file that is moved, renamed or twice there
is not made again. Its place in the shards is settled before it is made: the same files give the
same shards whatever is ready first, on however many processes, and however often they are killed.
SQLite keeps what it was told to keep when a process ends in the middle, reads without loading all,
and is part of Python.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geoflow.atomic import DamagedError

INDEX = "index.sqlite"
_TABLES = """
CREATE TABLE IF NOT EXISTS shapes (
    content TEXT PRIMARY KEY, place INTEGER UNIQUE, state TEXT NOT NULL, report TEXT, limits TEXT,
    look BLOB
);
CREATE TABLE IF NOT EXISTS files (
    name BLOB PRIMARY KEY, stamp TEXT NOT NULL, content TEXT NOT NULL, category TEXT NOT NULL,
    split TEXT
);
"""
PENDING, TAKEN, REFUSED, UNREAD = "pending", "taken", "refused", "unread"
"""States of a shape: to be made, made, refused for good, and a file that could not be read."""


@dataclass(frozen=True)
class Row:
    """A file, with what became of its shape."""

    name: str
    category: str
    split: str | None
    content: str
    place: int
    state: str
    report: Mapping[str, Any]

    @property
    def is_taken(self) -> bool:
        """Whether there is a shape."""
        return self.state == TAKEN


@dataclass(frozen=True)
class Outcome:
    """What became of a shape."""

    content: str
    state: str
    report: Mapping[str, Any]
    limits: str | None = None
    """Those that refused it."""
    look: bytes | None = None
    """Points of a refused mesh that could be read, float16 (n, 3)."""


class Index:
    """The database of a folder, open; use it as a context.

    Args:
        folder: of a preparation.
        is_read_only: never write, and need no right to.
    """

    def __init__(self, folder: Path, *, is_read_only: bool = False) -> None:
        self._path, self._is_read_only = folder / INDEX, is_read_only
        mode = "ro" if is_read_only else "rwc"
        with self._understood():
            self._db = sqlite3.connect(f"{self._path.resolve().as_uri()}?mode={mode}", uri=True)
            if not is_read_only:
                # A commit is one write; others may read meanwhile.
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute("PRAGMA synchronous=NORMAL")
                self._db.executescript(_TABLES)

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._is_read_only:
            # One file again, which can be read where nothing can be written.
            self._db.execute("PRAGMA journal_mode=DELETE")
        self._db.close()

    def begin(self, limits: str) -> None:
        """Have tried again what could not be read, and what other limits than these refused."""
        with self._db:
            self._db.execute(
                "DELETE FROM files WHERE content IN (SELECT content FROM shapes WHERE state = ?)",
                (UNREAD,),
            )
            self._db.execute("DELETE FROM shapes WHERE state = ?", (UNREAD,))
            self._db.execute(
                "UPDATE shapes SET state = ?, report = NULL, limits = NULL, look = NULL "
                "WHERE limits IS NOT NULL AND limits != ?",
                (PENDING, limits),
            )

    def stamps(self) -> dict[str, str]:
        """Stamps of the files whose shapes need no work, by name."""
        rows = self._db.execute(
            "SELECT name, stamp FROM files JOIN shapes USING (content) WHERE state != ?", (PENDING,)
        )
        return {os.fsdecode(name): stamp for name, stamp in rows}

    def place(self, name: str, category: str, stamp: str, content: str) -> int | None:
        """Keep which content a file has; the place to make it at, None where nothing is to do."""
        with self._db:
            self._db.execute(
                "INSERT INTO files (name, stamp, content, category) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (name) DO UPDATE SET stamp = excluded.stamp, "
                "split = CASE WHEN content = excluded.content THEN split END, "
                "content = excluded.content, category = excluded.category",
                (os.fsencode(name), stamp, content, category),
            )
            self._db.execute(
                "INSERT OR IGNORE INTO shapes (content, place, state) "
                "VALUES (?, (SELECT COALESCE(MAX(place) + 1, 0) FROM shapes), ?)",
                (content, PENDING),
            )
            ((place, state),) = self._db.execute(
                "SELECT place, state FROM shapes WHERE content = ?", (content,)
            )
        return int(place) if state == PENDING else None

    def finish(self, done: Iterable[Outcome]) -> None:
        """Keep what became of shapes."""
        with self._db:
            self._db.executemany(
                "UPDATE shapes SET state = ?, report = ?, limits = ?, look = ? WHERE content = ?",
                [(o.state, json.dumps(o.report), o.limits, o.look, o.content) for o in done],
            )

    def set_categories(self, categories: Mapping[str, str]) -> None:
        """Keep the files of these names alone, each with its category."""
        with self._db:
            self._db.execute("CREATE TEMP TABLE listed (name BLOB PRIMARY KEY, category TEXT)")
            self._db.executemany(
                "INSERT INTO listed VALUES (?, ?)",
                ((os.fsencode(name), category) for name, category in categories.items()),
            )
            self._db.execute("DELETE FROM files WHERE name NOT IN (SELECT name FROM listed)")
            self._db.execute(
                "UPDATE files SET category = "
                "(SELECT category FROM listed WHERE listed.name = files.name)"
            )
            self._db.execute("DROP TABLE listed")

    def set_splits(self, splits: Mapping[str, str]) -> None:
        """Keep the splits of files by name."""
        with self._db:
            self._db.executemany(
                "UPDATE files SET split = ? WHERE name = ?",
                ((split, os.fsencode(name)) for name, split in splits.items()),
            )

    def rows(self) -> Iterator[Row]:
        """All files, by name."""
        with self._understood():
            for name, category, split, content, place, state, report in self._db.execute(
                "SELECT name, category, split, content, place, state, report "
                "FROM files JOIN shapes USING (content) ORDER BY name"
            ):
                said = json.loads(report or "{}")
                yield Row(os.fsdecode(name), category, split, content, place, state, said)

    def look(self, content: str) -> bytes | None:
        """Points of a refused mesh that could be read, float16 (n, 3)."""
        ((look,),) = self._db.execute("SELECT look FROM shapes WHERE content = ?", (content,))
        return look

    @contextmanager
    def _understood(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.DatabaseError, ValueError) as error:
            raise DamagedError(f"{self._path} cannot be read: {error}") from error
