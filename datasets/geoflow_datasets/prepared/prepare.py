"""Prepare a source once; run again to go on, or to add what has come since.

Each file is read once, by this process, and made in a process of its own limits. What is done is
kept at once, by the content of its file: a run that is killed anywhere loses what its processes
had at hand, and the next one does the rest. Files that have not changed are not even read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from rich.progress import Progress as Bar

from geoflow.atomic import draft_of, reading, sync, write_json
from geoflow.geometry.read_points import is_cloud_header
from geoflow_datasets.attribution import ATTRIBUTION_FILE
from geoflow_datasets.cloud_folder import CLOUDS, CloudOptions
from geoflow_datasets.layouts import category_of
from geoflow_datasets.mesh_folder import MESHES, MeshOptions
from geoflow_datasets.prepared.collection import Collection, Item
from geoflow_datasets.prepared.engines import ENGINES, Crew, Engine
from geoflow_datasets.prepared.index import PENDING, REFUSED, TAKEN, UNREAD, Index, Outcome, Row
from geoflow_datasets.prepared.limited import Limits, Refusal
from geoflow_datasets.prepared.makers import MAKERS, SHARES, Job, Made, Maker, make
from geoflow_datasets.prepared.shards import Shards
from geoflow_datasets.splits import GROUPS_FILE, OFFICIAL_FILE, SPLITS_FILE, extend_splits

CARD, REPORT = "prepared.json", "report.json"
FORMAT = 1
"""Version of a prepared folder."""
NO_CATEGORY = "thing"
"""The category of files in no category's folder, unless another is given."""
_NOTES = (ATTRIBUTION_FILE, SPLITS_FILE, GROUPS_FILE, OFFICIAL_FILE)


@dataclass(frozen=True)
class Options:
    """How a source is prepared."""

    shapes: MeshOptions | CloudOptions = field(default_factory=MeshOptions)
    """How files become shapes."""
    category: str = NO_CATEGORY
    """Of files in no category's folder."""
    limits: Limits = field(default_factory=Limits)
    """Of one file."""


@dataclass(frozen=True)
class Summary:
    """What a run did, and what the folder holds."""

    made: int
    """Files that this run made shapes of, or refused."""
    read: int
    """Files that it read."""
    taken: int
    refused: int


def kind_of(source: Path) -> str:
    """Whether a source holds meshes or clouds.

    Raises:
        ValueError: if it holds neither, or both.
    """
    collection = Collection(source)
    try:
        names = [i.name for i in collection.items((*MESHES.suffixes, *CLOUDS.suffixes))]
        suffixes = {PurePosixPath(name).suffix.lower() for name in names}
        # .ply files are of both kinds; the first one's header tells.
        plain = {suffix for suffix in suffixes if suffix != ".ply"}
        found = [m.kind for m in (MESHES, CLOUDS) if plain & set(m.suffixes)]
        if not plain and suffixes:
            (first, *_) = collection.items((".ply",))
            found = [(CLOUDS if is_cloud_header(collection.read(first)) else MESHES).kind]
    finally:
        collection.close()
    if not found:
        expected = ", ".join(dict.fromkeys((*MESHES.suffixes, *CLOUDS.suffixes)))
        raise ValueError(f"{source} holds nothing to prepare; expected files {expected}")
    if len(found) > 1:
        raise ValueError(f"{source} holds meshes and clouds: choose by --kind")
    return found[0]


def prepare(
    source: Path,
    out: Path,
    options: Options,
    *,
    workers: int | None = None,
    engine: Engine[Job, Made] | None = None,
    show_progress: bool = False,
) -> Summary:
    """Make shapes of what is new in a source; forget what is gone from it.

    Args:
        source: a folder or an archive.
        out: the prepared folder, new or of an earlier run.
        options: those of the earlier run, but for the limits.
        workers: processes; default: one per core.
        engine: who does the work, of `ENGINES`; default: `workers` processes of this machine.
        show_progress: draw a progress bar.

    Raises:
        ValueError: if the source holds nothing usable, or `out` was prepared with other options.
        BlockingIOError: if another process prepares it.
        OSError: if something cannot be written.
    """
    kind, maker = next((k, m) for k, m in MAKERS.items() if isinstance(options.shapes, m.options))
    if out.resolve().is_relative_to(source.resolve()):
        raise ValueError(f"{out} lies in {source}, whose files are read: choose another --out")
    collection = Collection(source)
    items = collection.items(maker.preparation.suffixes)
    if not items:
        expected = ", ".join(maker.preparation.suffixes)
        raise ValueError(f"{source} holds no {kind}; expected files {expected}")
    out.mkdir(parents=True, exist_ok=True)
    try:
        lock = FileLock(out / ".lock").acquire(timeout=0)
    except Timeout as error:
        raise BlockingIOError(f"{out} is being prepared by another process: wait for it") from error
    with lock, Index(out) as index:
        _check_card(out, _card(kind, maker, options), has_shapes=any(True for _ in index.stamps()))
        index.begin(str(options.limits))
        run = _Run(collection, items, index, Shards(out), options)
        with Bar(disable=not show_progress) as bar:
            task = bar.add_task(kind, total=len(items))
            jobs = run.jobs(lambda: bar.advance(task))
            engine = engine or ENGINES["processes"](make, Crew(options.limits, workers))
            for done in engine(jobs):
                run.keep(done)
        collection.copy_notes(_NOTES, out)
        collection.close()
        index.set_categories({item.name: _category(item, options) for item in items})
        _settle_splits(out, index)
        taken, refused = _write_report(out / REPORT, index)
    return Summary(run.made, run.read, taken, refused)


class _Run:
    """The work of one run: jobs in the order of the files, and what comes back."""

    def __init__(
        self,
        collection: Collection,
        items: list[Item],
        index: Index,
        shards: Shards,
        options: Options,
    ) -> None:
        self._collection, self._items, self._options = collection, items, options
        self._index, self._shards = index, shards
        self._at_hand: set[str] = set()
        self.made = self.read = 0

    def jobs(self, advance: Callable[[], None]) -> Iterator[Job]:
        """What is left to do; each file is read when a process is free for it."""
        known = self._index.stamps()
        for item in self._items:
            if not item.stamp or known.get(item.name) != item.stamp:
                job = self._job(item)
                if job is not None:
                    yield job
            advance()

    def keep(self, done: list[tuple[Job, Made | Refusal]]) -> None:
        """Write shapes, then say in the index that they are there."""
        made = {
            job.place: result.arrays
            for job, result in done
            if isinstance(result, Made) and result.arrays is not None
        }
        self._shards.write(made)
        self._index.finish(self._outcome(job, result) for job, result in done)
        self._at_hand -= {job.key for job, _ in done}
        self.made += len(done)

    def _outcome(self, job: Job, result: Made | Refusal) -> Outcome:
        if isinstance(result, Refusal):
            limits = str(self._options.limits) if result.by_limit else None
            state = PENDING if result.is_lost else REFUSED
            return Outcome(job.key, state, {"refused": result.reason}, limits)
        state = REFUSED if result.arrays is None else TAKEN
        return Outcome(job.key, state, result.report, look=result.look)

    def _job(self, item: Item) -> Job | None:
        """What is to be made of a file; None where that is done, at hand, or cannot be read."""
        options, category = self._options, _category(item, self._options)
        suffix = PurePosixPath(item.name).suffix.lower()
        if item.size > options.limits.memory:
            self._refuse(item, f"it has {item.size / 1e9:.3g} GB, more than a mesh may need")
            return None
        try:
            content = self._collection.read(item)
        except OSError as error:
            self._refuse(item, f"it cannot be read: {error}")
            return None
        self.read += 1
        found = hashlib.sha256(f"{suffix} {item.turn} ".encode() + content).hexdigest()[:32]
        place = self._index.place(item.name, category, item.stamp, found)
        if place is None or found in self._at_hand:
            return None
        self._at_hand.add(found)
        return Job(found, place, content, suffix, item.turn, options.shapes)

    def _refuse(self, item: Item, reason: str) -> None:
        """Say why a file could not be read; the next run tries it again."""
        key = hashlib.sha256(item.name.encode("utf-8", "surrogateescape")).hexdigest()
        self._index.place(item.name, _category(item, self._options), item.stamp, key)
        self._index.finish([Outcome(key, UNREAD, {"refused": reason})])


def _category(item: Item, options: Options) -> str:
    return category_of(Path(), Path(item.name)) or options.category


def _card(kind: str, maker: Maker, options: Options) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "kind": kind,
        "version": maker.preparation.version,
        "options": asdict(options.shapes),
    }


def read_card(folder: Path) -> dict[str, Any]:
    """What a folder was prepared as.

    Raises:
        DamagedError: if that cannot be read.
        ValueError: for a format of another version.
    """
    with reading(folder / CARD):
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        found, kind, _, options = (card[name] for name in ("format", "kind", "version", "options"))
        if kind not in MAKERS or not isinstance(options, dict):
            raise ValueError(f"it holds {kind!r}, made with {options!r}")
    if found != FORMAT:
        raise ValueError(f"{folder} has format {found}, expected {FORMAT}: prepare it again")
    return dict(card)


def _check_card(out: Path, card: Mapping[str, Any], *, has_shapes: bool) -> None:
    """Write what is prepared into a new folder; ValueError where it holds something else."""
    if not (out / CARD).is_file() or not has_shapes:
        write_json(out / CARD, card)
        return
    has = read_card(out)
    for name, value in card.items():
        if has[name] != value:
            raise ValueError(
                f"{out} was prepared with {name} {has[name]}, asked for is {value}: "
                "choose another --out"
            )


def _settle_splits(out: Path, index: Index) -> None:
    """Give new shapes their splits; those of the others stay."""
    shards = Shards(out)
    rows = [row for row in index.rows() if row.is_taken]
    if not rows:
        return
    names = [row.name for row in rows]
    kept = {row.name: row.split for row in rows if row.split is not None}
    shares = np.stack([shards.read(row.place, SHARES) for row in rows]).astype(np.float32)
    splits = extend_splits(out, names, shares, kept)
    index.set_splits(dict(zip(names, splits, strict=True)))


def _write_report(path: Path, index: Index) -> tuple[int, int]:
    """A line for each file, as one list; how many were taken and refused."""
    draft, counts = draft_of(path), [0, 0]
    try:
        with draft.open("w", encoding="utf-8") as file:
            file.write("[")
            for i, row in enumerate(index.rows()):
                counts[not row.is_taken] += 1
                file.write(f"{',' if i else ''}\n  {json.dumps(_said(row))}")
            file.write("\n]\n")
        sync(draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return counts[0], counts[1]


def _said(row: Row) -> dict[str, Any]:
    place = {"split": row.split, "place": row.place} if row.is_taken else {}
    return {"name": row.name, "category": row.category, **place, **row.report}
